"""Implement ``adept deploy``: convert a fine-tuned detector, predictors included, for another framework."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from adept_hub.arguments.existing import check_run
from adept_hub.io.paths import is_dir, not_a


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments; does not import torch."""
    from adept_hub.spec import FRAMEWORKS

    formats = (*FRAMEWORKS, "onnx")
    parser.add_argument("run", metavar="RUN", help="the --out of adept finetune, or a detector folder in it")
    parser.add_argument("--to", required=True, choices=formats, metavar="FRAMEWORK", help=", ".join(formats))
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="the folder to write")
    parser.add_argument(
        "--batch", metavar="N|dynamic",
        help="images per pass of the ONNX graph, fixed or any number (default: the graph takes one image)",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print the paths of the files as JSON")


def run(args: argparse.Namespace) -> int:
    """Write the deployed detector.

    Raises:
        AdeptError: the run cannot be deployed.
    """
    check_run(args.run, "finetune")
    from adept_hub.detectors.folder import find_detector
    from adept_hub.errors import SourceError
    from adept_training.deploying.deploy import deploy
    from adept_training.runtime.cpus import use_threads

    folder = find_detector(args.run)
    if folder is None:
        is_there = os.path.lexists(args.run) and not is_dir(Path(args.run))
        why = not_a("a run folder", Path(args.run)) if is_there else f"{args.run} contains no fine-tuned detector."
        raise SourceError(f"{why}\n{_instead(args)}")
    use_threads(0)
    paths = deploy(folder, args.to, args.out, args.batch)
    if args.json:
        sys.stdout.write(json.dumps({"framework": args.to, "files": [str(path) for path in paths]}, indent=2) + "\n")
        return 0
    for path in paths:
        sys.stdout.write(f"{path}  {path.stat().st_size:,} bytes\n")
    return 0


def _instead(args: argparse.Namespace) -> str:
    """Return the command that makes a detector of ``args.run``, or exports it if it is a source."""
    from adept_hub.errors import AdeptError
    from adept_hub.hub.fetch import fetch
    from adept_hub.words.command_line import command_line

    try:
        fetch(args.run)
    except AdeptError:
        return "RUN is the --out of adept finetune."
    if args.to == "onnx":
        return f"Fine-tune it first: {command_line('finetune', args.run, '--data', 'DATA', '--out', 'runs/finetune')}"
    return f"Its pre-trained parts: {command_line('export', args.run, '--to', args.to, '--out', args.out)}"
