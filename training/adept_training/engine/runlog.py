"""A run's log.jsonl as it counts: one line of history, whatever interrupted and resumed it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from adept_hub.errors import NotARunError
from adept_training.engine.journal import ending

LOG, RECIPE = "log.jsonl", "recipe.yaml"


@dataclass(frozen=True)
class RunLog:
    """The records that count, in order, each with its ``kind``."""

    folder: Path
    records: list[dict[str, Any]]
    #: Lines that are no records: a run that was killed leaves at most one.
    torn: int

    def of(self, kind: str) -> list[dict[str, Any]]:
        """All records of one kind."""
        return [record for record in self.records if record["kind"] == kind]

    @property
    def start(self) -> dict[str, Any]:
        """The last start or continuation."""
        return self.of("start")[-1]

    @property
    def step(self) -> int:
        """The last step told of."""
        return max(int(record.get("step", 0)) for record in self.records)

    @property
    def state(self) -> str:
        """``done``, ``interrupted`` (a signal), ``stopped`` (an error) or ``unfinished`` (still running, or killed)."""
        last = self.records[-1]
        if last["kind"] != "end":
            return "unfinished"
        return ending(last)

    def recipe(self) -> dict[str, Any]:
        """The recipe as it was written beside the log, by section."""
        path = self.folder / RECIPE
        found: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else {}
        return found

    def series(self, name: str) -> tuple[list[float], list[float]]:
        """Steps and values of one scalar."""
        found = [(record["step"], record[name]) for record in self.records if name in record and "step" in record]
        return [float(step) for step, _ in found], [float(value) for _, value in found]


def read_log(folder: Path) -> RunLog:
    """Read the log of the run in ``folder``.

    A run that was killed and resumed repeats the steps since its last checkpoint: what a continuation takes up again
    is dropped from the record before it.

    Raises:
        NotARunError: no log there, or nothing in it.
    """
    path = folder / LOG
    if not path.is_file():
        raise NotARunError(
            f"{folder} holds no pre-training run: there is no {LOG}.\nRUN is the --out of adept pretrain."
        )
    kept: list[dict[str, Any]] = []
    torn = 0
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            torn += 1
            continue
        if not isinstance(record, dict) or "kind" not in record:
            raise NotARunError(f"{path} is no log of pre-training: a line of it has no kind.")
        if record["kind"] == "start":
            kept = [old for old in kept if old["kind"] != "end" and old.get("step", 0) <= record["step"]]
        kept.append(record)
    if not any(record["kind"] == "start" for record in kept):
        raise NotARunError(f"{path} has no record of a start.\nIs {folder} the --out of adept pretrain?")
    return RunLog(folder, kept, torn)
