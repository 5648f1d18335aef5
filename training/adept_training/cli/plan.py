"""Implement ``adept plan``: print a pre-training run that fits, and the command."""

from __future__ import annotations

import argparse
import sys

from adept_hub.words.pulse import doing
from adept_training.images.sources import check_images

DESCRIPTION = """\
Look at the machine and the images for half a minute, and plan a pre-training run: recipe, size of the views, images
that will be seen and whether they are enough, expected end, disk, and the command. Nothing is written.

  adept plan photos                                          as long as it needs, one night at most
  adept plan photos --minutes 60                             weights in an hour
  adept plan photos --data coco:few.json:photos              choose the boxes by a few labeled images
  adept plan photos --recipe own_photos_cpu --minutes 60     with this recipe
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments; does not import torch."""
    parser.description = DESCRIPTION
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "images", metavar="IMAGES", help="a folder, a text file of paths, WebDataset shards or hf-datasets:NAME"
    )
    parser.add_argument(
        "--minutes", type=float, metavar="M",
        help="until the weights are there, boxes included (default: what the method needs, at most a night)",
    )  # fmt: skip
    parser.add_argument(
        "--data",
        nargs="+",
        action="extend",
        metavar="DATA",
        help="a few labeled images, as for finetune, to choose boxes (default: none)",
    )
    parser.add_argument("--skip-damaged", action="store_true", help="with --data: leave damaged images out")
    parser.add_argument(
        "--recipe", metavar="FILE|NAME", help="plan this recipe (default: compare the bundled ones for your own images)"
    )
    parser.add_argument("--set", dest="settings", action="append", default=[], metavar="SECTION.FIELD=VALUE",
                        help="fix one value of the recipe; repeatable (default: none)")  # fmt: skip
    parser.add_argument("--out", metavar="RUN", help="folder of the run in the command (default: a new one in runs)")
    parser.add_argument("--quiet", action="store_true", help="print no progress")
    parser.add_argument("--json", action="store_true", help="print the plan as JSON")


def run(args: argparse.Namespace) -> int:
    """Print the plan.

    Raises:
        AdeptError: images, data or recipe are invalid.
    """
    check_images(args.images)
    from adept_hub.cli.output import print_json, print_line

    with doing(lambda: "loading the libraries of adept plan"):
        from adept_training.planning.planner import plan
        from adept_training.planning.text import as_lines

    found = plan(
        args.images, minutes=args.minutes, data=args.data, recipe=args.recipe, settings=args.settings, out=args.out,
        skip_damaged=args.skip_damaged,
        progress=None if args.quiet else lambda text: print_line(f"looking at: {text}", sys.stderr),
    )  # fmt: skip
    if args.json:
        print_json(found.as_json())
        return 0
    for line in as_lines(found):
        print_line(line)
    return 0
