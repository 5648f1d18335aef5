"""``adept data check``: everything that is wrong with a labelled data set, in one go."""

from __future__ import annotations

import argparse
import json
import sys


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    from adept_training.downstream.sources import HELP

    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    check = verbs.add_parser("check", help="missing files, impossible boxes, unknown categories, duplicates, ...")
    check.add_argument("data", nargs="+", metavar="DATA", help=HELP)
    check.add_argument("--quick", action="store_true", help="read image headers only; contents are not compared")
    check.add_argument("--json", action="store_true", help="every case, as JSON on standard output")
    check.add_argument("--debug", action="store_true", help=argparse.SUPPRESS)


def run(args: argparse.Namespace) -> int:
    """Check and report; 0 sound (warnings allowed), 1 damaged.

    Raises:
        DataError: ``args.data`` names no data set.
    """
    from adept_training.downstream.check import check_data
    from adept_training.downstream.problems import as_json, report_lines

    data, problems = check_data(args.data, decode_all=not args.quick)
    errors = sum(problem.severity == "error" for problem in problems)
    if args.json:
        splits = {s.name: {"images": len(s), "objects": s.objects, "masks": s.has_masks} for s in data.splits()}
        report = {
            "data": data.spec, "sound": errors == 0, "errors": errors, "warnings": len(problems) - errors,
            "classes": list(data.classes), "splits": splits, "problems": as_json(problems),
        }  # fmt: skip
        sys.stdout.write(json.dumps(report, indent=2) + "\n")
        return int(errors > 0)
    for split in data.splits():
        masks = "boxes and masks" if split.has_masks else "boxes"
        sys.stdout.write(f"{split.name}: {len(split)} sound images, {split.objects} objects ({masks})\n")
    sys.stdout.write(f"{len(data.classes)} classes: {', '.join(data.classes[:8])}{', ...' * (len(data.classes) > 8)}\n")
    for line in report_lines(problems):
        sys.stdout.write(line + "\n")
    verdict = f"{errors} errors" if errors else "Sound"
    sys.stdout.write(f"{verdict}, {len(problems) - errors} warnings.\n")
    if errors:
        sys.stdout.write("Repair them, or train without what is damaged: adept finetune ... --skip-damaged\n")
    return int(errors > 0)
