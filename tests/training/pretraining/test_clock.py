"""What a pre-training does by the clock: checkpoints by minutes, the remaining time, and its threads."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import adept_training.pretraining.pretrain as module
import adept_training.pretraining.run as run_module
from adept_training.method.adept import Adept
from adept_training.pretraining.asked import Asked
from adept_training.pretraining.pretrain import pretrain
from adept_training.pretraining.run import Run
from adept_training.runtime import journal
from adept_training.runtime.journal import Meter
from tests.training.support import RandomBoxes, tiny, write_photographs

QUICK = ("method.name=soco", "views.sizes=[32,32,32]", "engine.precision=fp32")


def _pretrain(folder: Path, *settings: str) -> None:
    source = write_photographs(folder / "photographs", 8)
    pretrain(tiny(*QUICK, *settings), source, RandomBoxes(), folder / "run", asked=Asked(report=False))


class Clock:
    """The clock of the training loop, moved by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now


def test_a_checkpoint_is_due_after_so_many_minutes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, saved = Clock(), []
    real = module.set_lr

    def twenty_seconds(*words: Any) -> float:
        clock.now += 20
        return real(*words)

    monkeypatch.setattr(module, "time", clock)
    monkeypatch.setattr(module, "set_lr", twenty_seconds)
    monkeypatch.setattr(Run, "save", lambda self: saved.append(self.progress.step))
    _pretrain(tmp_path, "schedule.epochs=5", "engine.checkpoint_minutes=1")
    assert saved == [4, 8, 10], "after 80 seconds, after 80 more, and at the end"


@pytest.mark.parametrize(("minutes", "least", "most"), [("null", 1200.0, 1200.0), ("2", 40.0, 120.0)])
def test_the_remaining_time_is_that_of_the_steps_or_of_the_limit(
    minutes: str, least: float, most: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four images a step at one image in a hundred seconds; three steps are left after the first."""
    shown: list[float] = []
    real = Meter.take
    monkeypatch.setattr(Meter, "take", lambda self: real(self) | {"images_per_s": 0.01})
    monkeypatch.setattr(run_module, "progress_line", lambda *words: shown.append(words[-1]) or "")
    _pretrain(tmp_path, "schedule.epochs=2", "engine.log_every=1", f"engine.max_minutes={minutes}")
    assert least <= shown[0] <= most
    assert shown[-1] == 0


@pytest.mark.parametrize(
    ("every", "seconds"),
    # 400 s a step, 100 s a probe: the one after the second step, and the last
    [(2, [1200 + 200, 800 + 200, 400 + 100, 100]), (0, [1200 + 100, 800 + 100, 400 + 100, 100])],
)
def test_the_remaining_time_is_that_of_the_probes_too(
    every: int, seconds: list[float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[float] = []
    real = Meter.take
    monkeypatch.setattr(Meter, "take", lambda self: real(self) | {"images_per_s": 0.01})
    monkeypatch.setattr(Run, "probe", lambda self: setattr(self, "probe_seconds", 100.0) or {})
    monkeypatch.setattr(run_module, "progress_line", lambda *words: shown.append(words[-1]) or "")
    _pretrain(tmp_path, "schedule.epochs=2", "engine.log_every=1", f"engine.probe_every={every}")
    assert shown == seconds


def test_probes_and_checkpoints_do_not_slow_the_steps_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    real, values = module.set_lr, list[dict[str, float]]()

    def passes(seconds: float) -> None:
        clock.now += seconds

    monkeypatch.setattr(module, "time", clock)
    monkeypatch.setattr(journal, "time", SimpleNamespace(perf_counter=clock.perf_counter, time=lambda: 0.0))
    monkeypatch.setattr(module, "set_lr", lambda *words: passes(20) or real(*words))
    monkeypatch.setattr(Run, "save", lambda self: passes(1000))
    monkeypatch.setattr(Run, "probe", lambda self: passes(1000) or {})
    monkeypatch.setattr(Run, "log", lambda self, means, *_: values.append(means))
    _pretrain(
        tmp_path, "schedule.epochs=2", "engine.log_every=1", "engine.probe_every=1", "engine.checkpoint_minutes=0"
    )
    assert [one["images_per_s"] for one in values] == [4 / 20] * 4


def test_the_threads_of_the_recipe_are_torch_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr("adept_training.runtime.cpus.available_cpus", lambda: 8)
    monkeypatch.setattr(torch, "set_num_threads", asked.append)
    _pretrain(tmp_path, "schedule.epochs=1", "engine.threads=3")
    assert asked[:1] == [3]


def test_the_warm_up_ends_by_the_schedule_s_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which is ahead of the run's own under a time limit: here by two steps for each one."""
    warm: list[tuple[int, bool]] = []
    forward = Adept.forward
    places = iter([0, 3, 6, 9, 12])
    monkeypatch.setattr(Run, "agree", lambda self, stopped: (False, next(places), self.steps))
    monkeypatch.setattr(
        Adept, "forward", lambda self, batch: warm.append((len(warm), self.warm)) or forward(self, batch)
    )
    _pretrain(tmp_path, "schedule.epochs=2", "schedule.warmup_epochs=1.5")
    assert warm == [(0, False), (1, True), (2, True), (3, True)], "the warm-up has three steps"
