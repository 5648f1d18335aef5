"""Implement ``adept predict``: find objects in images."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from adept_hub.arguments.existing import check_source
from adept_hub.spec import DEVICES
from adept_training.images.sources import check_images

if TYPE_CHECKING:
    from adept_training.predicting.pseudo import PseudoLabels
    from adept_training.predicting.write import Predicted

_FORMATS = ("pictures", "coco", "yolo", "csv")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments; does not import torch."""
    parser.add_argument(
        "sources", nargs="+", metavar="RUN|SOURCE",
        help="a fine-tuned run, or a source, which shows regions without classes; several: side by side",
    )  # fmt: skip
    parser.add_argument("images", metavar="IMAGES", help="an image, a folder, a text file of paths, or shards")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="new folder of pictures and files")
    parser.add_argument("--score", type=float, help="least score of a detection (default: 0.3; with --pseudo 0.7)")
    parser.add_argument("--pseudo", action="store_true",
                        help="also write pseudo.json, labels for a second round of adept finetune")  # fmt: skip
    parser.add_argument(
        "--most",
        type=int,
        metavar="N",
        help="detections per image (default: 100; regions: 12)",
    )
    parser.add_argument("--batch-size", type=int, default=1, metavar="N", help="images per pass (default: %(default)s)")
    parser.add_argument("--format", dest="formats", nargs="+", choices=_FORMATS, default=list(_FORMATS),
                        help="what to write (default: all)")  # fmt: skip
    parser.add_argument("--device", default="auto", choices=DEVICES, help="where to run (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print the counts as JSON")


def run(args: argparse.Namespace) -> int:
    """Predict; return 0 when done, 130 when interrupted with the finished images written.

    Raises:
        AdeptError: an argument is invalid, or no image can be read.
    """
    for one in args.sources:
        check_source(one)
    check_images(args.images)
    from adept_hub.detectors.load import load_detector
    from adept_hub.errors import OptionValueError
    from adept_hub.io.folder_lock import own_folder
    from adept_training.predicting.pseudo import PSEUDO_SCORE, PseudoLabels
    from adept_training.predicting.source import open_one_or_many
    from adept_training.predicting.write import PredictOptions, check_out, predict_images
    from adept_training.runtime.cpus import use_threads

    if args.score is None:
        args.score = PSEUDO_SCORE if args.pseudo else 0.3
    if not 0 <= args.score <= 1:
        raise OptionValueError(f"--score is {args.score:g}; a score is between 0 and 1.")
    for option, value in (("--most", args.most), ("--batch-size", args.batch_size)):
        if value is not None and value < 1:
            raise OptionValueError(f"{option} is {value}; it must be at least 1.")
    check_out(args.out)
    source = open_one_or_many(args.images)
    use_threads(0)
    predictors = [load_detector(one, device=args.device) for one in args.sources]
    command = shlex.join(["adept", *sys.argv[1:]])
    pseudo = PseudoLabels.of(predictors, source, args.score, command) if args.pseudo else None
    options = PredictOptions(args.score, args.most, args.batch_size, tuple(args.formats), pseudo)
    with own_folder(args.out):
        done = predict_images(predictors, source, args.out, options, " and ".join(args.sources), command, sys.stderr)
    _tell(args, done, pseudo)
    return 130 if done.interrupted else 0


def _tell(args: argparse.Namespace, done: Predicted, pseudo: PseudoLabels | None) -> None:
    from adept_training.predicting.write import PAGE

    if args.json:
        report = {
            "out": str(done.out), "images": done.images, "interrupted": done.interrupted,
            "detections": dict(zip(args.sources, done.detections, strict=True)), "unreadable": done.unreadable,
        }  # fmt: skip
        sys.stdout.write(json.dumps(report, indent=2) + "\n")
        return
    for source, count in zip(args.sources, done.detections, strict=True):
        sys.stdout.write(f"{source}: {count} detections in {done.images} images\n")
    if done.unreadable:
        first, why = next(iter(done.unreadable.items()))
        sys.stdout.write(f"caution: {len(done.unreadable)} images cannot be read, the first: {first}: {why}\n")
    if not any(done.detections) and done.images:
        sys.stdout.write(f"Nothing has a score of {args.score:g}. Try a lower one: --score {args.score / 3:.2g}\n")
    if done.interrupted:
        sys.stdout.write("Interrupted: what was finished is written.\n")
    sys.stdout.write(f"Page: {done.out / PAGE}\n")
    if pseudo is not None and any(done.detections):
        sys.stdout.write(f"Next:\n  {pseudo.next_round(args.sources[0], done.out)}\n")
