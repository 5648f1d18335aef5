"""A signal during statistics or an evaluation takes effect between two batches, and the next session catches up."""

from __future__ import annotations

import io
import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import adept_training.runtime.progress as progress
from adept_training.finetuning.recipe import load_finetune_recipe
from adept_training.finetuning.run import finetune
from adept_training.labels.datasets import open_data
from adept_training.runtime.state import saved_states
from tests.training.conftest import TINY

STATISTICS, VAL, TEST = "measuring statistics of training images", "evaluating on val", "evaluating on test"
#: Iterations 3 and 6 are evaluated: phases in the order of an undisturbed run, with batches or images.
PHASES = [(STATISTICS, 2), (VAL, 8), (STATISTICS, 2), (VAL, 8), (TEST, 8)]


class Counted:
    """Counts the items of every phase, and sends signals at one of them."""

    def __init__(self, phase: int | None, item: int, *signals: int) -> None:
        self.at, self.signals, self.phases = (phase, item), signals, []

    def __call__(self, items: Any, total: int, what: str, unit: str) -> Iterator[Any]:
        self.phases.append([what, 0])
        place = len(self.phases) - 1
        for item in TRACK(items, total, what, unit):
            self.phases[place][1] += 1
            if (place, self.phases[place][1]) == self.at:
                for number in self.signals:
                    signal.raise_signal(number)
            yield item


TRACK = progress.track


def _finetune(
    source: str, voc: Path, run: Path, counted: Counted, monkeypatch: pytest.MonkeyPatch, **options: Any
) -> tuple[Any, list[str]]:
    for module in ("adept_training.finetuning.loop", "adept_training.metrics.predict"):
        monkeypatch.setattr(f"{module}.track", counted)
    stream, recipe = io.StringIO(), load_finetune_recipe(None, [*TINY, "detector.head_norm=0"])
    data = open_data(f"voc:{voc}")
    outcome = finetune(source, data, recipe, run, accelerator="cpu", stream=stream, **options)
    return outcome, stream.getvalue().splitlines()


@pytest.fixture
def source(make_checkpoint) -> str:
    return str(make_checkpoint()[0])


@pytest.fixture(autouse=True)
def default_interrupt() -> Iterator[None]:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in a shell's background jobs
    yield
    signal.signal(signal.SIGINT, before)


def test_a_signal_stops_within_a_phase_and_nothing_is_lost(
    source: str, voc: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Counted(None, 0)
    _finetune(source, voc, tmp_path / "whole", whole, monkeypatch)
    assert [tuple(phase) for phase in whole.phases] == PHASES

    run, resume = tmp_path / "run", {}
    # The phase of a session, counted from its start, and the item at which a signal comes.
    for phase, item, step, number in (
        (0, 1, 3, signal.SIGINT), (1, 2, 3, signal.SIGTERM), (2, 1, 6, signal.SIGINT), (1, 2, 6, signal.SIGINT),
        (2, 2, 6, signal.SIGINT),
    ):  # fmt: skip
        counted = Counted(phase, item, number)
        outcome, lines = _finetune(source, voc, run, counted, monkeypatch, **resume)
        assert outcome.interrupted
        assert outcome.iterations == step
        assert lines[-1] == f"interrupted after {step} iterations; its state is saved"
        assert counted.phases[-1][1] == item, "nothing after the signal"
        assert len(counted.phases) == phase + 1
        assert saved_states(run / "checkpoints")[-1].stem == f"step-{step:08d}"
        assert not (run / "metrics.json").exists()
        resume = {"resume": True}
    outcome, _ = _finetune(source, voc, run, Counted(None, 0), monkeypatch, resume=True)
    assert not outcome.interrupted
    reports = [json.loads((folder / "metrics.json").read_text()) for folder in (run, tmp_path / "whole")]
    assert [report.pop("seconds") > 0 for report in reports] == [True, True]
    assert reports[0] == reports[1]
    for name in ("best", "last"):
        for file in ("model.safetensors", "predictors.safetensors"):
            assert (run / name / file).read_bytes() == (tmp_path / "whole" / name / file).read_bytes()


def test_a_second_interrupt_does_not_wait_for_the_batch(
    source: str, voc: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = Counted(1, 3, signal.SIGINT, signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        _finetune(source, voc, tmp_path / "run", counted, monkeypatch)
    assert counted.phases == [[STATISTICS, 2], [VAL, 3]]
    assert saved_states(tmp_path / "run" / "checkpoints") == []


def test_all_processes_stop_if_one_does(monkeypatch: pytest.MonkeyPatch) -> None:
    from adept_training.runtime.launch import any_of

    class Two:
        world_size, device = 2, torch.device("cpu")

        def all_reduce(self, flags: torch.Tensor, reduce_op: str) -> torch.Tensor:
            assert reduce_op == "max"
            return torch.maximum(flags, torch.tensor([1.0, 0.0]))  # of the other process

    assert any_of(Two(), False, False) == [True, False]
    assert any_of(Two(), False, True) == [True, True]
    Two.world_size = 1
    assert any_of(Two(), False, True) == [False, True]
