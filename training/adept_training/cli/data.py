"""Implement ``adept data``: check or convert a labeled data set, or write the subset of a label budget."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    from adept_hub.cli.command import show_example
    from adept_training.labels.sources import HELP

    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    check = verbs.add_parser("check", help="find missing files, invalid boxes, unknown categories, duplicates, ...")
    check.add_argument("data", nargs="+", metavar="DATA", help=HELP)
    check.add_argument("--quick", action="store_true", help="read image headers only; do not compare contents")
    check.add_argument("--json", action="store_true", help="print every problem as JSON")
    subset = verbs.add_parser("subset", help="write the image ids of a label budget (and COCO annotations)")
    subset.add_argument("data", nargs="+", metavar="DATA", help=HELP)
    subset.add_argument(
        "--labels",
        required=True,
        metavar="BUDGET",
        help="share, images or objects per class of train: 1%%, 3img, 5shot",
    )
    subset.add_argument("--seed", type=int, default=0, help="of the draw (default: %(default)s)")
    subset.add_argument("--out", required=True, type=Path, metavar="DIR", help="the folder to write")
    subset.add_argument("--skip-damaged", action="store_true", help="leave damaged images and objects out")
    convert = verbs.add_parser("convert", help="write the data set in another format: COCO, Pascal VOC or YOLO")
    convert.add_argument("data", nargs="+", metavar="DATA", help=HELP)
    convert.add_argument("--to", required=True, choices=("coco", "voc", "yolo"), help="the format to write")
    convert.add_argument("--out", required=True, type=Path, metavar="DIR", help="the folder to write")
    convert.add_argument(
        "--images",
        choices=("copy", "link", "none"),
        default="copy",
        help="copy the images, link to them (symbolic links), or write labels only (default: copy)",
    )
    convert.add_argument("--skip-damaged", action="store_true", help="leave damaged images and objects out")
    for verb, example in (
        (check, "adept data check yolo:data.yaml"),
        (subset, "adept data subset yolo:data.yaml --labels 10% --out tenth"),
        (convert, "adept data convert yolo:data.yaml --to coco --out converted"),
    ):
        verb.formatter_class, verb.epilog = argparse.RawDescriptionHelpFormatter, show_example(example)
        verb.add_argument("--debug", action="store_true", help=argparse.SUPPRESS)


def run(args: argparse.Namespace) -> int:
    """Check or convert the data, or write a subset; return 0 if sound (warnings allowed) or written, 1 if damaged.

    Raises:
        DataError: ``args.data`` is not a valid data set, or ``--labels`` not a valid budget.
        ImageDecodeError: an image to copy cannot be read.
        OutputExistsError, DiskFullError: ``--out`` cannot be written; it appears whole or not at all.
    """
    return {"check": _check, "convert": _convert, "subset": _subset}[args.verb](args)


def _convert(args: argparse.Namespace) -> int:
    from adept_training.converting.convert import convert_data

    converted = convert_data(args.data, args.to, args.out, images=args.images, skip_damaged=args.skip_damaged)
    for role, split in converted.data.roles().items():
        sys.stdout.write(f"{role}: {len(split)} images, {split.objects} objects\n")
    for line in converted.lost:
        sys.stdout.write(f"Not the same: {line}\n")
    if converted.images_to is not None:
        sys.stdout.write(f"First put the images into {converted.images_to}, by the names of their labels.\n")
    sys.stdout.write(f"Use it with: --data {shlex.join(converted.words)}\n")
    sys.stdout.write(f"  adept data check {shlex.join(converted.words)}\n")
    return 0


def _subset(args: argparse.Namespace) -> int:
    from adept_hub.io.write import atomic_folder
    from adept_training.labels.datasets import open_data
    from adept_training.labels.subsets import draw, parse_budget, save_subset
    from adept_training.metrics.coco_files import save_annotations

    budget = parse_budget(args.labels)
    with atomic_folder(args.out) as folder:  # refuses an existing folder before the data are read
        data = open_data(args.data, skip_damaged=args.skip_damaged)
        selected = draw(data.train, budget, args.seed)
        ids = save_subset(folder / "subset.json", selected, budget, args.seed)
        files = save_annotations(folder / "annotations.json", selected)
    sys.stdout.write(f"{len(selected)} of {len(data.train)} images, {selected.objects} objects.\n")
    sys.stdout.write(f"Image ids (--labels {args.out / 'subset.json'}): {_listed(args.out, ids)}\n")
    sys.stdout.write(f"COCO annotations (for any framework): {_listed(args.out, [path for path, _ in files])}\n")
    words = [f"coco:{args.out / path.name}:{part.folder}" for path, part in files]
    sys.stdout.write("".join(f"  adept data check {shlex.quote(word)}\n" for word in words))
    return 0


def _listed(folder: Path, paths: list[Path]) -> str:
    return ", ".join(str(folder / path.name) for path in paths)


def _check(args: argparse.Namespace) -> int:
    from adept_hub.words.text import one_line
    from adept_training.labels.check import check_data
    from adept_training.labels.problems import as_json, report_lines

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
    names = ", ".join(one_line(name, 40) for name in data.classes[:8])
    sys.stdout.write(f"{len(data.classes)} classes: {names}{', ...' * (len(data.classes) > 8)}\n")
    for line in report_lines(problems):
        sys.stdout.write(line + "\n")
    verdict = f"{errors} errors" if errors else "Sound"
    sys.stdout.write(f"{verdict}, {len(problems) - errors} warnings.\n")
    if errors:
        sys.stdout.write("Fix them, or leave the damaged images and objects out: fine-tune with --skip-damaged\n")
    return int(errors > 0)
