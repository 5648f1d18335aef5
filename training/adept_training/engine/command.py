"""``adept pretrain``: arguments and the run behind them."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from adept_hub.spec import METHODS

TRACKER_NAMES = ("tensorboard", "wandb", "mlflow", "trackio")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments; costs no torch."""
    parser.add_argument("--images", required=True, help="a folder, a text file of paths, or WebDataset shards")
    parser.add_argument("--method", choices=[m for m in METHODS if m != "scratch"], help="which losses")
    parser.add_argument("--out", required=True, type=Path, metavar="RUN", help="folder of this run")
    parser.add_argument("--recipe", metavar="FILE|NAME", help="a YAML file or a shipped recipe")
    parser.add_argument("--proposals", type=Path, metavar="DIR", help="of adept proposals; else RUN/proposals")
    parser.add_argument("--init", metavar="SOURCE", help="weights to start from; required by adept_separate")
    parser.add_argument("--resume", action="store_true", help="continue the run in --out exactly where it stopped")
    parser.add_argument("--set", dest="settings", action="append", default=[], metavar="SECTION.FIELD=VALUE",
                        help="change one value of the recipe; repeatable")  # fmt: skip
    parser.add_argument("--preview", action="store_true",
                        help="first draw views, boxes, levels and positive anchors: RUN/preview.png")  # fmt: skip
    parser.add_argument("--track", dest="trackers", action="append", default=[], choices=TRACKER_NAMES,
                        help="log there too; repeatable")  # fmt: skip
    if not any("--json" in action.option_strings for action in parser._actions):
        parser.add_argument("--json", action="store_true", help="the outcome as JSON on standard output")


def run(args: argparse.Namespace) -> int:
    """Run it; 0 done, 130 interrupted with the state saved.

    Raises:
        AdeptError: a user's mistake.
    """
    from adept_hub.fetch import fetch
    from adept_training.engine.asked import Asked, next_commands
    from adept_training.engine.pretrain import pretrain
    from adept_training.engine.recipe import load_recipe
    from adept_training.engine.run_report import REPORT
    from adept_training.engine.trackers import require_trackers
    from adept_training.images import open_images
    from adept_training.proposals import ProposalTable, run_proposals

    require_trackers(args.trackers)
    given = None if args.proposals is None else str(args.proposals)
    asked = Asked(args.images, given, args.init, tuple(args.trackers), preview=args.preview)
    recipe_source = args.recipe
    if args.resume and recipe_source is None and (args.out / "recipe.yaml").is_file():
        recipe_source = args.out / "recipe.yaml"
    recipe = load_recipe(recipe_source, args.settings, args.method)
    source = open_images(args.images)
    # Before the boxes, which may take hours.
    init = None if args.init is None else fetch(args.init).folder
    where: Path | None = args.proposals
    if where is None:
        where = args.out / "proposals"
        sys.stderr.write(f"No --proposals given: making them with preset {recipe.data.proposals!r} into {where}\n")
        run_proposals(source, where, preset=recipe.data.proposals)
    table = ProposalTable.open(where)
    outcome = pretrain(
        recipe, source, table, args.out,
        init=init, resume=args.resume, stream=sys.stderr, proposals=table.metadata, asked=asked,
    )  # fmt: skip
    if args.json:
        report = {
            "run": str(outcome.folder), "export": str(outcome.folder / "export"), "steps": outcome.steps,
            "planned_steps": outcome.planned_steps, "interrupted": outcome.interrupted,
            "first": outcome.first, "last": outcome.last,
        }  # fmt: skip
        sys.stdout.write(json.dumps(report, indent=2) + "\n")
    elif outcome.interrupted:
        sys.stdout.write(f"Report: {args.out / REPORT}\nSaved. Continue:\n  {asked.resume(args.out)}\n")
    else:
        commands = "".join(f"  {command}\n" for command in next_commands(args.out, recipe.export.licence))
        sys.stdout.write(f"Report: {args.out / REPORT}\nWeights: {outcome.folder / 'export'}\nNext:\n{commands}")
    return 130 if outcome.interrupted else 0
