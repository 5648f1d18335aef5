"""Record the evaluations of a fine-tuning in evaluations.json, and recover them from the log if that is damaged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from adept_hub.detectors.folder import read_detector
from adept_hub.errors import AdeptError, ResumeError
from adept_hub.io.read import MAX_LOG, BoundedReader
from adept_hub.io.write import atomic_file

EVALUATIONS, LOG, BEST = "evaluations.json", "log.jsonl", "best"

#: Finished iterations and validation AP (percent; None: no objects) of every evaluation, in order.
History = list[tuple[int, float | None]]


def write_history(folder: Path, history: History) -> None:
    """Write evaluations.json.

    Raises:
        DiskFullError: the file cannot be written.
    """
    with atomic_file(folder / EVALUATIONS) as temporary:
        temporary.write_text(json.dumps(history) + "\n", encoding="utf-8")


def read_history(folder: Path, step: int) -> tuple[History, list[str]]:
    """Read the evaluations that are valid for a run that continues after ``step`` iterations.

    Returns:
        The evaluations, and one line per problem with the files. Without an intact best detector no evaluation is
                valid: the next one writes it.
    """
    path, problems = folder / EVALUATIONS, []
    if not path.exists():
        return [], []
    try:
        rows = BoundedReader(ResumeError).json(path)
        history = [row for row in map(_row, rows) if row is not None] if isinstance(rows, list) else []
        if not isinstance(rows, list) or len(history) < len(rows):
            raise ResumeError(f"{path} contains no valid evaluations.")
    except ResumeError as error:
        history, torn = _from_log(folder)
        problems.append(
            f"{' '.join(str(error).split())} Read {len(history)} from the log instead ({torn} lines incomplete)."
        )
    history = [(at, ap) for at, ap in history if at <= step]
    if history:
        try:
            read_detector(folder / BEST)
        except AdeptError as error:
            problems.append(
                f"The best detector so far is lost; the next evaluation selects one: {' '.join(str(error).split())}"
            )
            return [], problems
    return history, problems


def _row(row: object) -> tuple[int, float | None] | None:
    if not isinstance(row, (list, tuple)) or len(row) != 2:
        return None
    at, ap = row
    if isinstance(at, bool) or not isinstance(at, int) or at < 0:
        return None
    if ap is None:
        return at, None
    return (at, float(ap)) if isinstance(ap, (int, float)) and 0 <= ap <= 100 else None


def _from_log(folder: Path) -> tuple[History, int]:
    ap_by_iteration: dict[int, float | None] = {}
    try:
        records, torn = BoundedReader(ResumeError, MAX_LOG).json_lines(folder / LOG)
    except ResumeError:
        return [], 0
    for record in records:
        values: dict[str, Any] = record if record.get("kind") == "validation" else {}
        row = _row((values.get("step"), values.get("AP")))
        if row is not None:
            ap_by_iteration[row[0]] = row[1]
    return sorted(ap_by_iteration.items()), torn
