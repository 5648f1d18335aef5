"""``adept export``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import get_args

from adept_hub.arguments.existing import check_source
from adept_hub.cli.output import print_json
from adept_hub.cli.pull import add_source
from adept_hub.convert.options import DEFAULT_ANCHORS, Anchors, Detector, Levels, Norm
from adept_hub.spec import FRAMEWORKS, PARTS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_source(parser)
    parser.add_argument("--to", required=True, choices=FRAMEWORKS, metavar="FRAMEWORK", help=", ".join(FRAMEWORKS))
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="output folder")
    parser.add_argument("--detector", default="faster_rcnn", choices=get_args(Detector), help="default: %(default)s")
    parser.add_argument(
        "--num-classes",
        type=int,
        metavar="N",
        help="number of classes, the background included (default: the framework's)",
    )
    parser.add_argument("--norm", choices=get_args(Norm), help="norms of the framework's detector (default: SyncBN)")
    parser.add_argument("--anchors", choices=get_args(Anchors), help=f"anchors of the RPN (default: {DEFAULT_ANCHORS})")
    parser.add_argument("--levels", choices=get_args(Levels), help="assignment of boxes to levels (default: stock)")
    parser.add_argument(
        "--parts", nargs="+", choices=PARTS, default=PARTS, metavar="PART",
        help=f"parts to export, of {', '.join(PARTS)}; the framework initializes the others (default: all)",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Export, and print the written files and the next command."""
    check_source(args.source)
    from adept_hub.cards.random_share import random_share_caution
    from adept_hub.exporting import export
    from adept_hub.frameworks import find_framework
    from adept_hub.hub.fetch import FetchOptions, fetch

    overrides = {"num_classes": args.num_classes, "norm": args.norm, "anchors": args.anchors, "levels": args.levels}
    options = {name: value for name, value in overrides.items() if value is not None}
    paths = export(
        args.source,
        args.to,
        args.out,
        detector=args.detector,
        parts=args.parts,
        revision=args.revision,
        cache_dir=args.cache_dir,
        offline=args.offline,
        **options,
    )
    # The files are cached, so that nothing is downloaded again.
    config = fetch(args.source, FetchOptions(args.revision, args.cache_dir, args.offline)).config
    caution = random_share_caution(config.provenance.random_share)
    if args.json:
        files = [str(path) for path in paths]
        print_json({"framework": args.to, "detector": args.detector, "files": files, "caution": caution})
        return 0
    if caution:
        print(caution)
    for path in paths:
        print(f"{path}  {path.stat().st_size:,} bytes")
    print(f"\n{find_framework(args.to).next_steps(args.out)}")
    return 0
