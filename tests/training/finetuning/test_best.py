"""Which detector a run keeps as its best: the one of highest validation AP, when several are known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import adept_training.finetuning.session as module
from adept_hub.detectors.folder import read_detector
from adept_training.finetuning.recipe import load_finetune_recipe
from adept_training.finetuning.run import finetune
from adept_training.labels.datasets import open_data
from adept_training.runtime.state import saved_states
from tests.training.conftest import TINY

SETTINGS = ["schedule.iterations=8", "engine.evaluations=4", "schedule.warmup=1", "norms.precise_batches=0"]


class Told:
    """An evaluation whose validation APs are told beforehand; the test split has one of its own."""

    def __init__(self, values: list[float | None]) -> None:
        self.values, self.weights = list(values), []

    def __call__(self, model: Any, split: Any, **_: Any) -> Any:
        ap: float | None = 77.0
        if split.name == "val":
            ap = self.values[len(self.weights)]
            self.weights.append(model.backbone.body.conv1.weight.detach().clone())
        figures = {"AP": ap, "AP50": ap}
        return type("Figures", (), {"flat": lambda _: figures, "as_json": lambda _: {"metrics": figures}})()


@pytest.fixture
def told(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Told:
    one = Told(request.param)
    monkeypatch.setattr(module, "evaluate", one)
    return one


def _seconds(run: Path) -> float:
    """Time of training by the newest checkpoint."""
    return float(torch.load(saved_states(run / "checkpoints")[-1], weights_only=True)["seconds"])


@pytest.mark.parametrize(
    ("told", "best"),
    [
        ([10.0, 30.0, 5.0, 20.0], 1),
        ([10.0, 30.0, 30.0, 20.0], 2),  # of equals, the later
        ([None, 0.0, None, None], 1),  # no object to count is no AP
        ([40.0, 3.0, 2.0, 1.0], 0),
    ],
    indirect=["told"],
)
def test_the_best_is_the_one_of_highest_validation_ap(
    told: Told, best: int, make_checkpoint, voc: Path, tmp_path: Path
) -> None:
    recipe = load_finetune_recipe(None, [*TINY, *SETTINGS])
    data = open_data(f"voc:{voc}")
    # The session ends between the second evaluation and the third, and another goes on.
    source, run = str(make_checkpoint()[0]), tmp_path / "run"
    finetune(source, data, recipe, run, accelerator="cpu", stop_at=5)
    seconds = [_seconds(run)]
    outcome = finetune(source, data, recipe, run, accelerator="cpu", resume=True)
    seconds += [_seconds(run), json.loads((run / "metrics.json").read_text())["seconds"] + 0.1]
    assert 0 < seconds[0] < seconds[1] < seconds[2], "the time of both sessions"
    assert len(told.weights) == 4
    assert all(not torch.equal(a, b) for a, b in zip(told.weights, told.weights[1:], strict=False))
    kept, config = read_detector(run / "best")
    assert torch.equal(kept.backbone.body.conv1.weight, told.weights[best])
    assert (config.iterations, outcome.best_iteration) == (2 * best + 2, 2 * best + 2)
    assert outcome.best_ap == told.values[best]
    assert outcome.chosen == "best"
    # What is reported is the report split's, and it is written beside the detector that it is of.
    assert config.metrics["AP"] == 77.0
    metrics = json.loads((run / "metrics.json").read_text())
    assert (metrics["chosen"], metrics["iteration"], metrics["metrics"]["AP"]) == ("best", 2 * best + 2, 77.0)
    assert metrics["validation"] == [[2 * (i + 1), ap] for i, ap in enumerate(told.values)]
    last, _ = read_detector(run / "last")
    assert torch.equal(last.backbone.body.conv1.weight, told.weights[-1])
