"""Read a run's log.jsonl as one line of history, despite interruptions and resumptions."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adept_hub.errors import AdeptError, NotARunError
from adept_hub.io.paths import is_dir, what_is
from adept_hub.io.read import MAX_LOG, BoundedReader
from adept_hub.io.schema import from_dict
from adept_training.pretraining.asked import Asked
from adept_training.runtime.journal import ending

LOG, RECIPE = "log.jsonl", "recipe.yaml"


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 53


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e300


def _are_boxes(value: object) -> bool:
    """Check for lists of boxes, one list per image."""
    return isinstance(value, list) and all(
        isinstance(boxes, list) and all(isinstance(box, list) and len(box) == 4 and all(map(_is_number, box))
                                        for box in boxes) for boxes in value
    )  # fmt: skip


#: Required fields of each kind of record, and the types of its fields.
_REQUIRED: Mapping[str, frozenset[str]] = {
    "start": frozenset({"step", "steps", "images"}), "train": frozenset({"step"}), "probe": frozenset({"step"}),
    "held_out": frozenset({"boxes"}), "proposals": frozenset({"step", "boxes"}),
}  # fmt: skip
_FIELDS: Mapping[str, Callable[[object], bool]] = {
    "kind": lambda value: isinstance(value, str), "step": _is_count, "steps": lambda v: _is_count(v) and v != 0,
    "images": _is_count, "processes": lambda v: _is_count(v) and v != 0, "seconds": _is_number, "boxes": _are_boxes,
    "interrupted": lambda value: isinstance(value, bool), "error": lambda value: isinstance(value, str),
}  # fmt: skip


@dataclass(frozen=True)
class RunLog:
    """The valid records, in order, each with its ``kind``."""

    folder: Path
    records: list[dict[str, Any]]
    #: Lines that are not valid records and are left out: a run that was killed leaves at most one.
    torn: int

    def of(self, kind: str) -> list[dict[str, Any]]:
        """Return all records of one kind."""
        return [record for record in self.records if record["kind"] == kind]

    @property
    def start(self) -> dict[str, Any]:
        """The last start or continuation."""
        return self.of("start")[-1]

    @property
    def step(self) -> int:
        """The last logged step."""
        return max(int(record.get("step", 0)) for record in self.records)

    @property
    def state(self) -> str:
        """``done``, ``interrupted`` (a signal), ``stopped`` (an error) or ``unfinished`` (still running, or killed)."""
        last = self.records[-1]
        if last["kind"] != "end":
            return "unfinished"
        return ending(last)

    @property
    def seconds(self) -> float:
        """The duration in the last record, which all advice is computed from; 0 if there is none."""
        value = self.records[-1].get("seconds", 0)
        return float(value) if _is_number(value) else 0.0

    def recipe(self) -> dict[str, Any]:
        """Return the recipe saved next to the log, by section; empty if it is missing or damaged."""
        return self._recipe

    @functools.cached_property
    def _recipe(self) -> dict[str, Any]:
        try:
            content = BoundedReader(NotARunError).yaml(self.folder / RECIPE)
        except NotARunError:
            return {}
        try:
            json.dumps(content)
        except (ValueError, TypeError, RecursionError):  # YAML can contain itself, and values that no recipe has
            return {}
        return content if isinstance(content, dict) and all(isinstance(key, str) for key in content) else {}

    def series(self, name: str) -> tuple[list[float], list[float]]:
        """Return steps and values of one scalar."""
        points = [(r["step"], r[name]) for r in self.records if "step" in r and _is_number(r.get(name))]
        return [float(step) for step, _ in points], [float(value) for _, value in points]


def read_log(folder: Path) -> RunLog:
    """Read the log of the run in ``folder``.

    A run that was killed and resumed repeats the steps since its last checkpoint: records of the repeated steps are
    dropped.

    Lines that are damaged, or lack a required field of their kind, are left out and counted.

    Raises:
        NotARunError: the log is missing or empty.
    """
    path = folder / LOG
    if not os.path.lexists(path):
        why = f"there is no {LOG}" if is_dir(folder) else f"it {what_is(folder)}"
        raise NotARunError(f"{folder} contains no pre-training run: {why}.\nRUN is the --out of adept pretrain.")
    valid_records: list[dict[str, Any]] = []
    records, torn = BoundedReader(NotARunError, MAX_LOG).json_lines(path)
    if records and not any("kind" in record for record in records):
        raise NotARunError(f"{path} is not a log of pre-training: its lines have no kind.")
    for record in records:
        if not _is_record(record):
            torn += 1
            continue
        if record["kind"] == "start":
            if not _is_asked(record.get("asked")):
                record.pop("asked", None)
            valid_records = [
                old for old in valid_records if old["kind"] != "end" and old.get("step", 0) <= record["step"]
            ]
        valid_records.append(record)
    if not any(record["kind"] == "start" for record in valid_records):
        raise NotARunError(f"{path} has no record of a start.\nIs {folder} the --out of adept pretrain?")
    return RunLog(folder, valid_records, torn)


def _is_asked(value: object) -> bool:
    try:
        from_dict(Asked, value)
    except AdeptError:
        return False
    return True


def _is_record(record: Mapping[str, Any]) -> bool:
    """Check whether a line has the fields that are read, with the right types."""
    if not all(test(record[name]) for name, test in _FIELDS.items() if name in record):
        return False
    kind = record.get("kind")
    if kind == "end" and not {"interrupted", "error"} & set(record):
        return False
    return kind is not None and _REQUIRED.get(kind, frozenset()) <= set(record)
