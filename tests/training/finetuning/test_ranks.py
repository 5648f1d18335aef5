"""What each process of a distributed fine-tuning draws: its own share of every batch, and samples of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from adept_training.finetuning import loop
from adept_training.finetuning.detector import build_detector
from adept_training.finetuning.loop import iteration_seed, make_fabric, prepare, train
from adept_training.finetuning.recipe import load_finetune_recipe
from adept_training.finetuning.samples import LabeledSamples
from adept_training.labels.datasets import open_data
from tests.conftest import SMALL
from tests.training.conftest import TINY


class Ranked:
    """A Fabric that is told which of two processes it is."""

    def __init__(self, fabric: Any, rank: int) -> None:
        self._fabric, self.global_rank, self.world_size = fabric, rank, 2

    def __getattr__(self, name: str) -> Any:
        return getattr(self._fabric, name)


@pytest.mark.parametrize("rank", [0, 1])
def test_a_process_has_a_share_and_a_seed_of_its_own(rank: int, voc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = ["engine.batch_size=4", "engine.seed=5", "detector.head_norm=0", "schedule.iterations=3"]
    recipe = load_finetune_recipe(None, [*TINY, *settings])
    samples = LabeledSamples.of(open_data(f"voc:{voc}").train, False, 0.5, 5)
    fit = prepare(build_detector("scratch", 2, recipe.detector, 0, SMALL), samples, recipe, make_fabric(recipe, "cpu"))
    whole = list(fit._batches(1, 3))
    fit.fabric, fit.step = Ranked(fit.fabric, rank), 1
    seeded, drawn = [], []
    monkeypatch.setattr(loop, "iteration_seed", lambda *words: seeded.append(words) or iteration_seed(*words))
    real = LabeledSamples.__getitems__
    monkeypatch.setattr(LabeledSamples, "__getitems__", lambda self, places: drawn.extend(places) or real(self, places))
    train(fit, lambda *_: False)
    assert seeded == [(5, 1, rank), (5, 2, rank)]
    assert drawn == [place for batch in whole for place in batch[2 * rank : 2 * rank + 2]]
