"""The detector of a run: whose anchors it has, when it is built, written and read back."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest

from adept_hub.detectors.files import DETECTOR
from adept_hub.detectors.folder import read_detector
from adept_hub.detectors.recipe import DetectorRecipe
from adept_hub.spec import AnchorSpec
from adept_training.finetuning.detector import build_detector
from adept_training.finetuning.recipe import load_finetune_recipe, protocol_names
from adept_training.finetuning.run import finetune
from adept_training.labels.datasets import open_data
from tests.conftest import SMALL
from tests.training.conftest import TINY

STOCK = (32, 64, 128, 256, 512)
#: As written below on P2-P5, and twice the last on P6.
OWN = (8, 16, 32, 64, 128)


@pytest.fixture
def source(make_checkpoint) -> str:
    return str(make_checkpoint(replace(SMALL, anchors=AnchorSpec((8.0, 16.0, 32.0, 64.0))))[0])


def sizes(model) -> tuple[float, ...]:
    """Square-root areas of the square anchors that the model really generates, level by level."""
    cells = model.rpn.anchor_generator.cell_anchors
    return tuple(float(level[1, 2] - level[1, 0]) for level in cells)


def test_a_recipe_without_anchors_has_the_source_s(source: str) -> None:
    assert sizes(build_detector(source, 2, DetectorRecipe(), 0)) == OWN
    named = DetectorRecipe(anchors=(10.0, 20.0, 30.0, 40.0, 50.0))
    assert sizes(build_detector(source, 2, named, 0)) == (10, 20, 30, 40, 50)


def test_scratch_alone_has_every_framework_s() -> None:
    assert sizes(build_detector("scratch", 2, DetectorRecipe(), 0)) == STOCK


def test_scratch_has_those_of_what_it_is_like(source: str, voc: Path, tmp_path: Path) -> None:
    settings = [word for word in TINY if not word.startswith("detector.anchors")]
    recipe = load_finetune_recipe(None, [*settings, "schedule.iterations=1", "engine.evaluations=0"])
    told = io.StringIO()
    finetune("scratch", open_data(f"voc:{voc}"), recipe, tmp_path, like=source, stream=told, accelerator="cpu")
    assert "anchors of 8, 16, 32, 64, 128 px" in told.getvalue()
    model, config = read_detector(tmp_path / "last")
    assert sizes(model) == OWN
    assert config.recipe.anchors == OWN  # spelled out for whoever deploys it
    assert "- 8.0" in (tmp_path / "recipe.yaml").read_text()


def test_a_folder_that_names_no_anchors_has_its_checkpoint_s(source: str, voc: Path, tmp_path: Path) -> None:
    recipe = load_finetune_recipe(None, [*TINY, "schedule.iterations=1", "engine.evaluations=0"])
    finetune(source, open_data(f"voc:{voc}"), recipe, tmp_path / "run", accelerator="cpu")
    path = tmp_path / "run" / "last" / DETECTOR
    content = json.loads(path.read_text())
    assert content["recipe"]["anchors"] == [16, 24, 32, 48, 64]
    content["recipe"]["anchors"] = []
    path.write_text(json.dumps(content))
    model, config = read_detector(path.parent)
    # those that it was trained on, not its source's, on P6 too
    assert sizes(model) == config.recipe.anchors == (16, 24, 32, 48, 64)


@pytest.mark.parametrize("name", [name for name in protocol_names() if name != "cpu_small"])
def test_protocols_have_the_paper_s_anchors_whatever_the_source(name: str) -> None:
    assert load_finetune_recipe(name).detector.anchors == STOCK
