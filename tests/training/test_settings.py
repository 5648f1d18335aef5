"""--set and recipe files: a field that does not exist is refused, and the one that was meant is named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from adept_hub.errors import OptionTypeError, RecipeError
from adept_hub.io.schema import field_paths
from adept_training.finetuning.recipe import FinetuneRecipe, load_finetune_recipe
from adept_training.pretraining.recipe import Recipe, load_recipe

KINDS = [(Recipe, load_recipe), (FinetuneRecipe, load_finetune_recipe)]


@pytest.mark.parametrize(("cls", "load"), KINDS)
def test_every_field_mistyped_is_named(cls: type, load: Callable[..., Any], tmp_path: Path) -> None:
    paths = field_paths(cls)
    assert len(paths) > 30
    assert {path.partition(".")[0] for path in paths} == {field.name for field in fields(cls)}
    for path in paths:
        with pytest.raises(RecipeError, match=rf"--set {path}x=1: unknown field '.*Did you mean .*'{path}'") as caught:
            load(None, [f"{path}x=1"])
        assert len(str(caught.value).splitlines()) == 2
        section, _, name = path.rpartition(".")
        file = tmp_path / "recipe.yaml"
        *outer, inner = section.split(".")
        text = f"{inner}: {{{name}x: 1}}"
        file.write_text("".join(f"{above}: {{" for above in outer) + text + "}" * len(outer), encoding="utf-8")
        with pytest.raises(RecipeError, match=rf"unknown field '{name}x'.*Did you mean .*'{name}'"):
            load(file)


@pytest.mark.parametrize(("cls", "load"), KINDS)
def test_a_section_mistyped_missing_or_another(cls: type, load: Callable[..., Any]) -> None:
    path = next(path for path in field_paths(cls) if path.startswith("schedule.") and path.endswith("warmup_start"))
    name = path.rpartition(".")[2]
    for setting in (f"shcedule.{name}=1", f"engine.{name}=1", f"{name}=1"):
        with pytest.raises(RecipeError, match=f"Did you mean .*'{path}"):
            load(None, [setting])
    with pytest.raises(RecipeError, match=r"unknown field 'nonsense\.x'\.\nSections: "):
        load(None, ["nonsense.x=1"])


def test_a_recipe_of_almost_that_name() -> None:
    with pytest.raises(RecipeError, match=r"Did you mean .*'soco_r50_100ep'"):
        load_recipe("soco_r50_10ep")
    with pytest.raises(RecipeError, match=r"Did you mean .*'coco_1pct'"):
        load_finetune_recipe("coco_1pc")


@pytest.mark.parametrize("load", [load_recipe, load_finetune_recipe])
def test_settings_are_a_list_and_not_the_letters_of_one(load: Callable[..., Any]) -> None:
    with pytest.raises(OptionTypeError, match=r"Write settings=\['engine\.seed=3'\]\."):
        load(None, "engine.seed=3")
    assert load(None, (setting for setting in ["engine.seed=3"])).engine.seed == 3


def test_sections_within_sections_and_whole_ones() -> None:
    assert load_recipe(None, ["model.anchors.sizes=[8, 16, 32, 64]"]).model.anchors.sizes == (8, 16, 32, 64)
    assert load_recipe(None, ["model.anchors={sizes: [8, 16, 32, 64]}"]).model.anchors.sizes == (8, 16, 32, 64)
    with pytest.raises(RecipeError, match=r"Did you mean 'model\.anchors\.sizes'"):
        load_recipe(None, ["model.anchors.size=[8]"])
