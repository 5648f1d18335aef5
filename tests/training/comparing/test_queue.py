"""The place of a run in a comparison, and the time that is left."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from adept_training.comparing import runs
from adept_training.comparing.queue import Queue
from adept_training.comparing.runs import ComparisonPlan, RunResult, run_plan
from adept_training.finetuning.recipe import load_finetune_recipe
from adept_training.labels.datasets import open_data
from adept_training.runtime import progress
from tests.house import SPEC, TUNE


class Clock:
    """Minutes that a test sets."""

    minutes = 0.0

    def __call__(self) -> float:
        return 1000 + 60 * self.minutes


def test_the_time_left_is_that_of_the_runs_so_far() -> None:
    clock = Clock()
    queue = Queue(total=40, missing=35, clock=clock)
    queue.number = 6
    assert queue.place() == "run 6 of 40"
    clock.minutes = 2
    assert queue.place(0.01) == "run 6 of 40", "the first percent of a run is of no use"
    assert queue.place(0.5) == "run 6 of 40, about 138 minutes left"  # 34.5 runs of 4 minutes
    queue.number, queue.finished, clock.minutes = 8, 2, 8
    assert queue.place() == "run 8 of 40, about 132 minutes left"  # 33 of 4 minutes
    assert queue.left(0.5) == ", about 104 minutes left"  # 32.5 of 3.2 minutes
    queue.finished = 35
    assert queue.left() == ""


def test_the_bar_of_a_run_has_its_place_and_the_time_left(
    voc: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    bars: list[Any] = []

    class Bar(progress._Bar):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            self.shown = [self.desc]
            bars.append(self)

        def update(self, n: float = 1) -> Any:
            self.shown.append(f"{self.desc}, {self.n + n}/{self.total}")
            return super().update(n)

    monkeypatch.setattr(runs, "progress_bar", lambda total, what, unit: Bar(total, what, unit, None, True))
    clock = Clock()
    monkeypatch.setattr(runs, "Queue", lambda total, missing: Queue(total, missing, clock=clock))

    def train(fit: Any, after_step: Any) -> None:
        for step in (1, 2, 3, 4):
            clock.minutes += 5
            after_step(step, None)

    monkeypatch.setattr(runs, "train", train)
    recipe = load_finetune_recipe(None, TUNE)
    plan = ComparisonPlan({"plain": "scratch"}, ("2img",), 3, {"": recipe}, SPEC)
    run_plan(plan, open_data(f"voc:{voc}"), tmp_path / "out", accelerator="cpu")
    first, second, third = bars
    assert first.shown[0] == "run 1 of 3: plain, 2img, seed 0"
    assert first.shown[1] == "run 1 of 3, about 55 minutes left: plain, 2img, seed 0, 1/4"
    assert second.shown[0] == "run 2 of 3, about 40 minutes left: plain, 2img, seed 1"
    assert third.shown[-1] == "run 3 of 3: plain, 2img, seed 2, 4/4"
    assert third.shown[-2] == "run 3 of 3, about 5 minutes left: plain, 2img, seed 2, 3/4"


def test_the_log_of_a_run_has_the_time_left(
    voc: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    monkeypatch.setattr(runs, "Queue", lambda total, missing: Queue(total, missing, clock=clock))
    seen: list[str] = []

    def run_cell(cell: Any, *_: Any, queue: Queue, **__: Any) -> RunResult:
        seen.append(queue.place())
        clock.minutes += 30
        return RunResult(*cell.key, 2, 7, 0.5, {"AP": 3.0, "AP50": None})

    monkeypatch.setattr(runs, "run_cell", run_cell)
    plan = ComparisonPlan({"plain": "scratch"}, ("2img",), 2, {"": load_finetune_recipe(None, TUNE)}, SPEC)
    with caplog.at_level(logging.INFO, "adept_training"):
        run_plan(plan, open_data(f"voc:{voc}"), tmp_path / "out")
    assert seen == ["run 1 of 2", "run 2 of 2, about 30 minutes left"]
    lines = [message for message in caplog.messages if "plain" in message]
    assert lines == [
        "1/2  plain, 2img, seed 0: AP 3.00, AP50 0.00  (0 s), about 30 minutes left",
        "2/2  plain, 2img, seed 1: AP 3.00, AP50 0.00  (0 s)",
    ]
