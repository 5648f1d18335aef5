"""Implement ``adept evaluate``: compute every metric of a fine-tuned detector, or of a source's RPN."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from adept_hub.arguments.existing import check_source
from adept_hub.spec import DEVICES

if TYPE_CHECKING:
    from adept_hub.spec import CheckpointConfig
    from adept_training.labels.records import Split
    from adept_training.metrics.evaluate import Evaluation


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments; does not import torch."""
    from adept_training.cli.finetune import add_data_arguments

    parser.add_argument("source", metavar="RUN|SOURCE", help="a fine-tuned run, or a source, whose RPN is evaluated")
    add_data_arguments(parser)
    parser.add_argument("--split", choices=("train", "val", "test"), help="split to evaluate (default: test, else val)")
    parser.add_argument("--detections", type=Path, nargs="+", metavar="JSON",
                        help="evaluate this file of COCO results, one per joined part (default: predict)")  # fmt: skip
    parser.add_argument("--save-detections", type=Path, metavar="JSON",
                        help="write COCO results here (NAME.part1.json, ... if joined; default: nowhere)")  # fmt: skip
    parser.add_argument(
        "--report", type=Path, metavar="DIR", help="write DIR/report.html and images of predictions (default: none)"
    )
    parser.add_argument(
        "--size", type=int, metavar="PIXELS", help="shorter image side of a source; a run has its own (default: 800)"
    )
    parser.add_argument("--device", default="auto", choices=DEVICES, help="where to run (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print every metric as JSON")


def run(args: argparse.Namespace) -> int:
    """Evaluate and print the metrics.

    Raises:
        AdeptError: the arguments, the run or the data are invalid.
    """
    if args.detections is None:
        check_source(args.source)
    from adept_hub.cli.output import print_json
    from adept_hub.words.command_line import command_line
    from adept_training.labels.datasets import open_data
    from adept_training.metrics.coco_files import save_detections
    from adept_training.metrics.report.page import write_predictions, write_report
    from adept_training.runtime.journal import tinted

    _check(args)
    split = open_data(args.data, skip_damaged=args.skip_damaged).split(args.split)
    evaluation = _evaluate(args, split)
    saved: list[Path] = []
    if args.save_detections is not None:
        saved = save_detections(args.save_detections, evaluation.split, evaluation.found)
    if args.report is not None:
        command = shlex.join(["adept", *sys.argv[1:]])
        title, weights = f"{args.source} on {split.name}", None if args.detections else _weights(args.source)
        write_report(evaluation, args.report / "report.html", title, command, weights)
        write_predictions(evaluation, args.report / "predictions")
    if args.json:
        written = {"detections": [str(path) for path in saved]} if saved else {}
        digest = {} if args.detections else {"weights": _digest(args.source)}
        print_json({"source": args.source, **digest, "split": split.name, **evaluation.as_json(), **written})
        return 0
    _print(evaluation, split.name)
    if saved:
        sys.stdout.write(f"Detections: {', '.join(map(str, saved))}\n")
    if evaluation.caution:
        sys.stdout.write("\n" + tinted(evaluation.caution, "caution", sys.stdout) + "\n")
    if evaluation.boxes is None:
        tuned = command_line("finetune", args.source, "--data", *args.data, "--out", "runs/finetune")
        sys.stdout.write(f"Fine-tune it: {tuned}\n")
    if args.report is not None:
        sys.stdout.write(f"Report: {args.report / 'report.html'}\n")
    return 0


def _check(args: argparse.Namespace) -> None:
    """Check the arguments before images are read."""
    from adept_hub.detectors.folder import find_detector
    from adept_hub.errors import DataError
    from adept_hub.hub.fetch import fetch
    from adept_training.labels.part_files import is_written

    if args.detections is None:
        if find_detector(args.source) is None:
            fetch(args.source)
        return
    for path in args.detections:
        if not is_written(path):
            raise DataError(f"{path} does not exist.\n--detections takes JSON files in COCO's results format.")


def _digest(source: str) -> str:
    """Return the SHA-256 of the weights of a detector or of a source, by which a card knows its own measurements."""
    from adept_hub.checkpoint.config_file import read_config
    from adept_hub.detectors.folder import find_detector
    from adept_hub.hub.fetch import fetch

    folder = find_detector(source)
    return (fetch(source).config if folder is None else read_config(folder)).sha256


def _evaluate(args: argparse.Namespace, split: Split) -> Evaluation:
    """Evaluate saved detections, a fine-tuned detector, or a source, which has an RPN but no classes yet."""
    from adept_hub.detectors.folder import find_detector
    from adept_hub.errors import SourceError
    from adept_training.calls.finetuning import evaluate_source
    from adept_training.cli.finetune import side_settings
    from adept_training.finetuning.recipe import load_finetune_recipe
    from adept_training.metrics.coco_files import load_detections
    from adept_training.metrics.evaluate import evaluate_detections

    if args.detections is not None:
        detections = load_detections(args.detections, split)
        return evaluate_detections(split, detections, masks=any(one.masks is not None for one in detections.values()))
    if args.save_detections is not None and find_detector(args.source) is None:
        raise SourceError(
            f"{args.source} is not fine-tuned, so it has no detections for --save-detections to write.\n"
            f"Fine-tune it first: adept finetune {args.source} --data {' '.join(args.data)} --out runs/mine"
        )
    return evaluate_source(args.source, split, load_finetune_recipe(None, side_settings(args.size)), args.device)


def _weights(source: str) -> CheckpointConfig:
    """Return the config of the weights that were evaluated."""
    from adept_hub.checkpoint.folder import read_config
    from adept_hub.detectors.folder import find_detector
    from adept_hub.hub.fetch import fetch

    folder = find_detector(source)
    return fetch(source).config if folder is None else read_config(folder)


def _print(evaluation: Evaluation, name: str) -> None:
    from adept_hub.cli.output import print_table

    flat = evaluation.flat()
    sys.stdout.write(f"{name}: {len(evaluation.split)} images, {evaluation.split.objects} objects\n\n")
    shown = [[key, "-" if value is None else f"{value:.2f}"] for key, value in flat.items()]
    print_table(["figure", "value"], shown, frozenset({1}))
    if evaluation.boxes is None:
        sys.stdout.write("\nA source has no classes yet: only its RPN can be evaluated.\n")
        return
    sys.stdout.write("\n")
    rows = [
        [key, *("-" if value != value else f"{value:.2f}" for value in (row["AP"], row["AP50"]))]
        for key, row in evaluation.boxes.per_class.items()
    ]
    print_table(["class", "AP", "AP50"], rows, frozenset({1, 2}))
