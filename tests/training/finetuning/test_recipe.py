"""Recipes of fine-tuning: what is refused, and what the shipped ones say."""

from __future__ import annotations

from pathlib import Path

import pytest

from adept_hub.errors import RecipeError
from adept_training.finetuning.recipe import load_finetune_recipe, protocol_names


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("schedule.iterations=-1", "must be 0"),
        ("detector.rois=0", "must be 1"),
        ("nonsense.x=1", "unknown field"),
        ("optimizer.layers=last", "norms.policy=frozen"),
        ("detector.anchors=[1,2]", "need five"),
        ("detector.detector=cascade_rcnn;detector.classifier=cosine", "cosine is for one box predictor"),
        ("iterations=5", "section.field=value"),
    ],
)
def test_recipes_that_are_refused(setting: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        load_finetune_recipe(None, setting.split(";"))


def test_a_warmup_that_never_ends_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"never reached\.\nLet it follow .* schedule\.warmup=null"):
        load_finetune_recipe("coco_1x", ["schedule.iterations=500"])
    with pytest.raises(RecipeError, match=r"schedule\.warmup is -1; it must be 0"):
        load_finetune_recipe("coco_1x", ["schedule.warmup=-1"])
    recipe = load_finetune_recipe("coco_1x", ["schedule.iterations=500", "schedule.warmup=null"])
    assert recipe.warmup == 50
    assert load_finetune_recipe("coco_10pct").warmup == 1000


def test_every_shipped_protocol_is_a_recipe_with_the_paper_s_numbers() -> None:
    recipes = {name: load_finetune_recipe(name) for name in protocol_names()}
    iterations = {name: recipe.schedule.iterations for name, recipe in recipes.items()}
    assert iterations["coco_1x"] == 90_000
    assert iterations["coco_10pct"] == iterations["coco_1pct"] == 9_000
    assert iterations["soda10m_cascade"] == 3_726
    for name in ("coco_1x", "coco_10pct", "coco_1pct", "soda10m_cascade"):
        recipe = recipes[name]
        assert (recipe.engine.batch_size, recipe.peak_lr, recipe.optimizer.weight_decay) == (16, 0.02, 2.5e-5)
    coco = recipes["coco_1x"]
    assert [round(share * 90_000) for share in coco.schedule.steps] == [60_000, 80_000]
    assert recipes["soda10m_cascade"].detector.detector == "cascade_rcnn"
    assert recipes["voc_fewshot"].detector.classifier == "cosine"
    assert load_finetune_recipe("coco_1x").to_yaml() == coco.to_yaml()
    with pytest.raises(RecipeError, match="Bundled"):
        load_finetune_recipe("coco_2x")


def test_a_recipe_file_states_only_what_differs(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("extends: coco_10pct\nschedule:\n  iterations: 7700\n")
    mine, base = load_finetune_recipe(path, ["engine.seed=5"]), load_finetune_recipe("coco_10pct")
    assert (mine.schedule.iterations, mine.engine.seed) == (7700, 5)
    assert mine.schedule.warmup == base.schedule.warmup
    assert (mine.detector, mine.optimizer) == (base.detector, base.optimizer)
    assert load_finetune_recipe().optimizer != base.optimizer or load_finetune_recipe().detector != base.detector
