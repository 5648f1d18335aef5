"""What becomes of a plan at its pace, worked by hand."""

from __future__ import annotations

import datetime
import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import adept_training.pretraining.run as module
from adept_training.data.loader import Order
from adept_training.pretraining.asked import Asked
from adept_training.pretraining.pace import Pace
from adept_training.runtime.journal import Journal
from adept_training.runtime.state import TrainingProgress
from tests.training.support import tiny

NOON = datetime.datetime(2024, 2, 28, 12, 0)


def test_a_plan_that_the_clock_cuts_short() -> None:
    """440 steps of 20 s within five minutes, of which 3 steps have taken 60 s: 240 s are 12 more steps."""
    pace = Pace(3, 440, 20.0, limit=240.0, spent=60.0)
    assert pace.reachable == 15
    assert pace.seconds_left == 240
    (first,) = pace.lines(NOON, 5)
    assert "15 of 440 steps before engine.max_minutes (5)" in first
    assert "expected end 12:04, in 4:00" in first
    # 60 s + 437 x 20 s = 8,800 s; 60 s + 97 x 20 s = 2,000 s
    assert pace.minutes_for(440) == 147
    assert pace.minutes_for(100) == 34


def test_a_step_that_has_begun_is_finished() -> None:
    assert Pace(3, 440, 20.0, limit=241.0).reachable == 16
    assert Pace(3, 440, 20.0, limit=-5.0).reachable == 3
    assert Pace(439, 440, 20.0, limit=1e9).reachable == 440


def test_a_plan_that_fits() -> None:
    (line,) = Pace(3, 1003, 1.5).lines(NOON)
    assert line == "pace: 1.5 s per step, 1003 steps: expected end 12:25, in 25:00"
    assert "250 ms" in Pace(3, 23, 0.25, limit=60.0).lines(NOON, 1)[0]


def test_a_limit_that_leaves_enough_is_no_warning() -> None:
    (line,) = Pace(3, 1000, 1.0, limit=200.0).lines(NOON, 3.5)
    assert "203 of 1000 steps" in line


@pytest.mark.parametrize(("seconds", "warned"), [(10.0, False), (100.0, True)])
def test_days_are_warned_of(seconds: float, warned: bool) -> None:
    lines = Pace(3, 2003, seconds).lines(NOON)
    assert (len(lines) == 2) == warned
    if warned:
        assert "2024-03-01 19:33" in lines[0], "200,000 s are 2 days, 7 hours, 33 minutes; 2024 is a leap year"
        assert "2.3 days" in lines[1]


def test_the_time_of_earlier_sessions_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Resumed at step 20 with 4 of 5 minutes spent; steps 22 and 23 take 3 s each."""
    stream, clock = io.StringIO(), iter([100.0, 106.0])
    recipe = tiny("engine.max_minutes=5", "method.name=soco", "method.momentum=0.8", "method.momentum_bound=run")
    run: Any = SimpleNamespace(
        progress=TrainingProgress(21), steps=440, journal=Journal(None, stream),
        fabric=SimpleNamespace(device=torch.device("cpu")), seconds=lambda: 240.0, order=Order(7, 2, 0),
        asked=Asked("my photos"), folder=Path("a run"), recipe=recipe,
    )  # fmt: skip
    monkeypatch.setattr(module.time, "perf_counter", lambda: next(clock))
    module.Run.time_pace(run, 1)
    module.Run.time_pace(run, 2)
    run.progress.step = 23
    module.Run.time_pace(run, 3)
    # 60 s are 20 more steps
    told = stream.getvalue()
    assert "pace: 3.0 s per step; at this pace 43 of 440 steps before engine.max_minutes (5)" in told
    assert "method.momentum=0.8 has no effect: in a run of fewer than 5,000 steps the momentum is 0.535." in told
    # 43 steps of 2 images; BYOL wants 800 passes over 7, 2,800 steps: 240 s + 2,777 x 3 s are 143 minutes.
    assert "caution: 86 images will be seen (12.3 passes): too little, 1.5% of enough" in told
    # 440 steps are 2 epochs: 2,800 are 12.7.
    (line,) = (line for line in told.splitlines() if line.startswith("better"))
    assert line.startswith("better: stop it and give it time for 2,800 steps, about 143 minutes: adept pretrain ")
    assert line.endswith("--recipe 'a run/recipe.yaml' --set schedule.epochs=13 --set engine.max_minutes=143")
    assert told.count("--minutes") == 1, "that of adept plan: one advice on time"
