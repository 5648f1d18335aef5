"""Settings of self-training that the rest of a run excludes are refused."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import adept_training
from adept_hub.errors import RecipeError
from adept_hub.io.schema import field_paths
from adept_training.finetuning.recipe import FinetuneRecipe, load_finetune_recipe
from adept_training.selftraining.teaching import check_self_training
from adept_training.selftraining.unlabeled import Unlabeled


def test_settings_without_unlabeled_images_are_refused(voc: Path, tmp_path: Path) -> None:
    assert {p for p in field_paths(FinetuneRecipe) if p.startswith("self_training.")}
    for call in (
        lambda **more: adept_training.finetune("scratch", f"voc:{voc}", tmp_path / "run", **more),
        lambda **more: adept_training.compare(["scratch", "x"], f"voc:{voc}", tmp_path / "run", **more),
    ):
        with pytest.raises(RecipeError, match=r"no unlabeled images, so they have no effect\.\nGive .*--unlabeled"):
            call(self_training={"weight": 1.5})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["self_training.thresholds=[0.5,0.6]"], "2 scores for 3 classes"),
        (["self_training.burn_in=10"], "10 of 10 iterations: the teacher never"),
        (["engine.augment=strong"], "augment=strong is for training without"),
        (["detector.detector=cascade_rcnn"], "class_loss=focal is for one box predictor"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings: list[str], message: str) -> None:
    images: Any = Unlabeled("x", SimpleNamespace(keys=list), "", 0)
    recipe = load_finetune_recipe(None, ["schedule.iterations=10", *settings])
    with pytest.raises(RecipeError, match=message):
        check_self_training(recipe, 3, images)
    check_self_training(load_finetune_recipe(None, ["schedule.iterations=10"]), 3, images)
