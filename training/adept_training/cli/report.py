"""Implement ``adept report``: write a page about one pre-training run or several."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adept_hub.arguments.existing import check_run

if TYPE_CHECKING:
    from adept_training.pretraining.watch.log import RunLog


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments; does not import torch."""
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="the --out of adept pretrain, in any state")
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="the page (default: report.html in RUN, if there is one)"
    )
    parser.add_argument("--json", action="store_true", help="print the metrics as JSON")
    parser.set_defaults(usage_error=parser.error)


def run(args: argparse.Namespace) -> int:
    """Write the page and print its path; exit with status 2 if several runs come without ``--out``.

    Raises:
        NotARunError: a folder contains no run.
    """
    if args.out is None and len(args.runs) > 1:
        args.usage_error("several runs on one page need --out FILE")
    for folder in args.runs:
        check_run(str(folder), "pretrain")
    from adept_training.pretraining.watch.log import read_log
    from adept_training.pretraining.watch.outcome import REPORT
    from adept_training.pretraining.watch.report import figures, write_report

    path: Path = args.out or args.runs[0] / REPORT
    write_report(args.runs, path)
    if args.json:
        logs = [read_log(folder) for folder in args.runs]
        summary = [
            {"run": str(log.folder), "state": log.state, "steps": log.step, "verdict": _verdict(log), **figures(log)}
            for log in logs
        ]
        sys.stdout.write(json.dumps({"report": str(path), "runs": summary}, indent=2) + "\n")
    else:
        sys.stdout.write(f"{path}\n")
    return 0


def _verdict(log: RunLog) -> dict[str, Any] | None:
    from adept_training.pretraining.watch.outcome import advice_of, as_json, verdict_of

    if log.state != "done":
        return None
    verdict = verdict_of(log)
    return as_json(verdict, advice_of(log, verdict, log.seconds))
