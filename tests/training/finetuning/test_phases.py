"""What follows the iterations of a fine-tuning: announced, in the ETA, and done once."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import adept_training.finetuning.loop as loop
import adept_training.finetuning.session as module
from adept_hub.detectors.folder import read_detector
from adept_training.finetuning.recipe import load_finetune_recipe
from adept_training.finetuning.run import finetune
from adept_training.labels.datasets import open_data
from adept_training.metrics.evaluate import evaluate
from tests.house import House
from tests.training.conftest import TINY, write_voc


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The phases of a run in order: ``statistics``, or the name of an evaluated split."""
    phases: list[str] = []
    statistics = loop.precise_statistics

    def measured(*args: Any) -> Any:
        phases.append("statistics")
        return statistics(*args)

    def evaluated(model: Any, split: Any) -> Any:
        phases.append(split.name)
        return evaluate(model, split)

    monkeypatch.setattr(loop, "precise_statistics", measured)
    monkeypatch.setattr(module, "evaluate", evaluated)
    return phases


@pytest.mark.parametrize("test", [True, False])
def test_no_phase_is_done_twice(test: bool, counted: list[str], make_checkpoint, voc: Path, tmp_path: Path) -> None:
    data = open_data(f"voc:{voc}")
    data = data if test else replace(data, test=None)
    recipe, stream = load_finetune_recipe(None, TINY), io.StringIO()
    outcome = finetune(str(make_checkpoint()[0]), data, recipe, tmp_path / "run", accelerator="cpu", stream=stream)
    assert counted == ["statistics", "val", "statistics", "val", *(["test"] if test else [])]
    # the report is that of the detector on disk, measured again or not
    best, _ = read_detector(tmp_path / "run" / outcome.chosen)
    assert outcome.report is not None
    assert evaluate(best, data.report_split).flat() == outcome.report.flat()
    assert read_detector(tmp_path / "run" / "best")[1].metrics == outcome.report.flat()

    lines = [line for line in stream.getvalue().splitlines() if re.match("iteration|evaluating", line)]
    phases = "norm statistics of 2 batches, then evaluation on val, 8 images"
    assert [line for line in lines if "images" in line] == [
        f"iteration 3: {phases}", f"iteration 6: {phases}",
        *(["evaluating the best detector on test, 8 images"] if test else []),
    ]  # fmt: skip
    etas = [line.partition("  ETA ")[2] for line in lines if "ETA" in line]
    assert len(etas) == 6
    unknown = f"plus norm statistics and {3 if test else 2} evaluations"
    assert all(re.fullmatch(rf"\d:\d\d {unknown}", eta) for eta in etas[:3]), etas
    assert all(re.fullmatch(r"\d:\d\d", eta) for eta in etas[3:]), "measured at iteration 3"


def test_the_eta_is_that_of_the_end_of_the_command(
    counted: list[str], house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With 7 s per batch of statistics and 60 s per image: the last step announces the minutes that follow."""
    monkeypatch.setattr(module.PhaseTimes, "measure", lambda self, phase: _Measured(self))
    recipe, stream = load_finetune_recipe(None, [*TINY, "schedule.iterations=4"]), io.StringIO()
    data = open_data(f"voc:{write_voc(tmp_path / 'voc', images=2)}")
    finetune(house.source, data, recipe, tmp_path / "run", accelerator="cpu", stream=stream)
    assert counted == ["statistics", "val", "statistics", "val", "test"]
    (last,) = (line for line in stream.getvalue().splitlines() if line.startswith("iteration 4/4"))
    assert last.endswith("  ETA 4:14")  # 2 batches, 2 images of val, 2 of test

    # A resumed session knows nothing of the speed, nor the evaluation of the best.
    run, alone = tmp_path / "two sessions", replace(data, test=None)
    finetune(house.source, alone, recipe, run, accelerator="cpu", stop_at=3)
    counted.clear()
    monkeypatch.setattr(module.PhaseTimes, "measure", lambda self, phase: _Measured(None))
    stream = io.StringIO()
    finetune(house.source, alone, recipe, run, accelerator="cpu", stream=stream, resume=True, stop_at=4)
    (line,) = (line for line in stream.getvalue().splitlines() if line.startswith("iteration 4/4"))
    assert line.endswith("plus norm statistics and 2 evaluations")


class _Measured:
    """A measurement that gives fixed speeds, or none."""

    def __init__(self, times: Any) -> None:
        self.times = times

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        if self.times is not None:
            self.times.seconds = {"norm statistics": 7.0, "evaluation": 60.0}
