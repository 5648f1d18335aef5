"""Implement ``adept pretrain``: pre-train a detector on unlabeled images."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from adept_hub.arguments.existing import check_source
from adept_hub.spec import DEVICES, METHODS
from adept_training.images.sources import check_images

if TYPE_CHECKING:
    from adept_training.pretraining.watch.outcome import PretrainResult

TRACKER_NAMES = ("tensorboard", "wandb", "mlflow", "trackio")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments; does not import torch."""
    from adept_training.cli.list_settings import add_list_argument
    from adept_training.runtime.first_process import add_wait_argument
    from adept_training.runtime.recipe_files import recipe_folder, shipped

    parser.add_argument(
        "--images", required=True, help="a folder, a text file of paths, WebDataset shards or hf-datasets:NAME"
    )
    parser.add_argument(
        "--method", choices=[m for m in METHODS if m != "scratch"], help="which losses (default: the recipe's)"
    )
    parser.add_argument("--out", required=True, type=Path, metavar="RUN", help="folder of the run")
    bundled = ", ".join(shipped(recipe_folder()))
    parser.add_argument(
        "--recipe", metavar="FILE|NAME", help=f"a YAML file, or a bundled recipe: {bundled} (default: the paper's)"
    )
    parser.add_argument(
        "--proposals", type=Path, metavar="DIR", help="the --out of adept proposals (default: make RUN/proposals)"
    )
    parser.add_argument(
        "--init",
        metavar="SOURCE",
        help="weights to start from, also a timm ResNet or LAYOUT:FILE; required by adept_separate (default: random)",
    )
    parser.add_argument(
        "--layout", metavar="L", help="layout of the file --init, the same as --init L:FILE (default: recognized)"
    )
    parser.add_argument(
        "--minutes",
        type=float,
        metavar="M",
        help="end the training after M minutes; the search for boxes and decoding, which precede it, are not counted "
        "(engine.max_minutes; default: the recipe's)",
    )
    parser.add_argument(
        "--steps",
        type=int,
        metavar="N",
        help="train N steps, in place of epochs (engine.max_steps; default: as many as the epochs are)",
    )
    parser.add_argument(
        "--epochs", type=float, metavar="N", help="passes over the images (schedule.epochs; default: the recipe's)"
    )
    parser.add_argument(
        "--batch-size", type=int, metavar="N", help="images per step (engine.batch_size; default: the recipe's)"
    )
    parser.add_argument("--device", default="auto", choices=DEVICES,
                        help="where to train; auto: CUDA GPUs if there are any (default: %(default)s)")  # fmt: skip
    parser.add_argument(
        "--license", metavar="L", help="license of the weights (default: the recipe's, or that of --init)"
    )
    parser.add_argument("--relicense", action="store_true", help="claim the right to grant a more permissive license")
    parser.add_argument("--resume", action="store_true", help="continue the run in --out exactly where it stopped")
    add_wait_argument(parser)
    parser.add_argument("--set", dest="settings", action="append", default=[], metavar="SECTION.FIELD=VALUE",
                        help="change one value of the recipe; repeatable; --list-settings lists them "
                        "(default: none)")  # fmt: skip
    add_list_argument(parser, "pretrain")
    parser.add_argument("--preview", action="store_true",
                        help="first draw views, boxes, levels and positive anchors to RUN/preview.png")  # fmt: skip
    parser.add_argument("--track", dest="trackers", action="append", default=[], choices=TRACKER_NAMES,
                        help="also log to this tracker; repeatable (default: none)")  # fmt: skip
    if not any("--json" in action.option_strings for action in parser._actions):
        parser.add_argument("--json", action="store_true", help="print the result as JSON")


def _settings(args: argparse.Namespace) -> list[str]:
    """Return the values of ``--set`` and of the shorthands, which take precedence."""
    short = {"engine.max_steps": args.steps, "schedule.epochs": args.epochs, "engine.batch_size": args.batch_size}
    return [*args.settings, *(f"{name}={value}" for name, value in short.items() if value is not None)]


def run(args: argparse.Namespace) -> int:
    """Pre-train; return 0 when done, 130 when interrupted with the state saved.

    Raises:
        AdeptError: the arguments, the images or the run folder are invalid.
    """
    check_images(args.images)
    if args.layout is None:
        check_source(args.init)
    from adept_training.calls.pretraining import pretrain

    outcome = pretrain(
        args.images, args.out, recipe=args.recipe, method=args.method, proposals=args.proposals, init=args.init,
        layout=args.layout,
        minutes=args.minutes, resume=args.resume, wait=args.wait, license=args.license or "unstated",
        relicense=args.relicense, settings=_settings(args), trackers=args.trackers, preview=args.preview,
        device=args.device, stream=sys.stderr,
    )  # fmt: skip
    _tell(args, outcome)
    return 130 if outcome.interrupted else 0


def _tell(args: argparse.Namespace, outcome: PretrainResult) -> None:
    from adept_hub.cards.random_share import random_share_caution
    from adept_training.pretraining.asked import Asked, next_commands
    from adept_training.pretraining.watch.outcome import REPORT, as_json

    verdict, advice = outcome.verdict, list(outcome.advice)
    if args.json:
        report = {
            "run": str(outcome.folder), "export": str(outcome.folder / "export"), "steps": outcome.steps,
            "planned_steps": outcome.planned_steps, "interrupted": outcome.interrupted,
            "finished_before": outcome.finished_before, "random_share": outcome.random_share,
            "first": outcome.first, "last": outcome.last,
            "verdict": None if verdict is None else as_json(verdict, advice),
        }  # fmt: skip
        sys.stdout.write(json.dumps(report, indent=2) + "\n")
        return
    if outcome.interrupted:
        proposals = None if args.proposals is None else str(args.proposals)
        again = Asked(
            args.images, proposals, args.init, tuple(args.trackers), layout=args.layout, device=args.device
        ).resume(args.out)
        sys.stdout.write(f"Report: {args.out / REPORT}\nSaved. Continue:\n  {again}\n")
        return
    if caution := random_share_caution(outcome.random_share):
        sys.stdout.write(f"{caution}\n")
    if outcome.finished_before:
        done = f"{outcome.steps} of {outcome.planned_steps} steps"
        judged = "" if verdict is None else f"\nVerdict: {verdict.sentence}"
        sys.stdout.write(f"{args.out} has already finished ({done}): nothing to resume, nothing changed.{judged}\n")
    if advice:
        sys.stdout.write("Try:\n" + "".join(f"  {text}\n" for text in advice))
    commands = "".join(f"  {command}\n" for command in next_commands(args.out, outcome.license))
    sys.stdout.write(f"Report: {args.out / REPORT}\nWeights: {outcome.folder / 'export'}\nNext:\n{commands}")
