"""``adept export``."""

from __future__ import annotations

import argparse
from pathlib import Path

from adept_hub.cli.output import print_json
from adept_hub.cli.pull import add_source
from adept_hub.spec import DETECTORS, FRAMEWORKS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_source(parser)
    parser.add_argument("--to", required=True, choices=FRAMEWORKS, metavar="FRAMEWORK", help=", ".join(FRAMEWORKS))
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="the folder to write")
    parser.add_argument("--detector", default="faster_rcnn", choices=DETECTORS, help="default: %(default)s")
    parser.add_argument("--num-classes", type=int, help="classes of your data, with the background as torchvision does")
    parser.add_argument("--json", action="store_true", help="for programs")


def run(args: argparse.Namespace) -> int:
    """Export, and say what was written and what to type next."""
    from adept_hub.convert.export import next_steps
    from adept_hub.load import export

    options = {} if args.num_classes is None else {"num_classes": args.num_classes}
    paths = export(
        args.source,
        args.to,
        args.out,
        detector=args.detector,
        revision=args.revision,
        cache_dir=args.cache_dir,
        offline=args.offline,
        **options,
    )
    if args.json:
        print_json({"framework": args.to, "detector": args.detector, "files": [str(path) for path in paths]})
        return 0
    for path in paths:
        print(f"{path}  {path.stat().st_size:,} bytes")
    print(f"\n{next_steps(args.to, args.out)}")
    return 0
