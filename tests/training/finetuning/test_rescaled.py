"""A pre-trained RPN on other anchors than its own: the boxes that it proposes before fine-tuning are the same."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from adept_hub.checkpoint.folder import write_checkpoint
from adept_hub.load import load_pretrained
from adept_hub.models.propose import propose
from adept_hub.spec import AnchorSpec
from adept_training.comparing.compare import make_plan
from adept_training.finetuning.detector import build_detector
from adept_training.finetuning.recipe import load_finetune_recipe
from adept_training.finetuning.run import finetune
from adept_training.labels.datasets import open_data
from tests.conftest import SMALL
from tests.training.conftest import TINY

SIZES = ["detector.test_side=96", "detector.max_side=200", "detector.test_proposals=40"]
#: Of the source; frameworks have 32-512 px.
OWN = AnchorSpec((10.0, 20.0, 40.0, 80.0))


@pytest.fixture
def source(make_checkpoint) -> str:
    folder, config, parts = make_checkpoint(replace(SMALL, anchors=OWN))
    tensors = parts.state_dict()
    for key in ("rpn.bbox_pred.weight", "rpn.bbox_pred.bias"):
        tensors[key] *= 0.1  # far from the clamp on dw and dh
    write_checkpoint(
        folder, tensors, name=config.name, spec=config.spec, provenance=config.provenance, license="apache-2.0",
        parts=config.parts, overwrite=True,
    )  # fmt: skip
    return str(folder)


def boxes(model) -> torch.Tensor:
    image = torch.rand(3, 60, 90, generator=torch.Generator().manual_seed(0))
    return propose(model.eval(), [image])[0].boxes_K4


@pytest.mark.parametrize("detector", ["faster_rcnn", "cascade_rcnn"])
def test_a_comparison_starts_from_the_boxes_of_pre_training(detector: str, source: str) -> None:
    recipe = load_finetune_recipe(None, [*SIZES, f"detector.detector={detector}"])
    plan = make_plan({"scratch": "scratch", "mine": source}, ["1%"], 1, {"recipe": recipe})
    detector_recipe = plan.variants["recipe"].detector
    assert detector_recipe.anchors == (32, 64, 128, 256, 512)
    options = {"num_classes": 3, "min_size": 96, "max_size": 200, "rpn_post_nms_top_n_test": 40}
    expected = boxes(load_pretrained(source, **options))
    found = boxes(build_detector(source, 2, detector_recipe, 0))
    assert len(expected) == 40
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-3)
    plain = boxes(load_pretrained(source, anchors="downstream", **options))
    assert plain.shape != expected.shape or (plain - expected).abs().max() > 5, "it is not so by itself"


def test_a_fine_tuned_detector_s_rpn_is_not_rescaled_again(source: str, voc: Path, tmp_path: Path) -> None:
    settings = [word for word in TINY if not word.startswith("detector.anchors")]
    anchors = "detector.anchors=[32,64,128,256,512]"
    recipe = load_finetune_recipe(None, [*settings, *SIZES, anchors, "schedule.iterations=1", "engine.evaluations=0"])
    finetune(source, open_data(f"voc:{voc}"), recipe, tmp_path / "run", accelerator="cpu")
    again = build_detector(str(tmp_path / "run" / "last"), 2, recipe.detector, 0)
    kept = load_pretrained(tmp_path / "run" / "last", num_classes=3)
    for key in ("rpn.head.bbox_pred.weight", "rpn.head.bbox_pred.bias"):
        assert torch.equal(again.state_dict()[key], kept.state_dict()[key])


def test_anchors_that_no_factor_leads_to_leave_the_deltas_alone_and_are_named(source: str, caplog) -> None:
    recipe = load_finetune_recipe(None, ["detector.anchors=[16,24,32,48,64]"]).detector
    with caplog.at_level(logging.WARNING):
        model = build_detector(source, 2, recipe, 0)
    assert "trained on anchors of 10, 20, 40, 80 px. With anchors of 16, 24, 32, 48 px its boxes differ" in caplog.text
    own = load_pretrained(source, num_classes=3)
    assert torch.equal(model.rpn.head.bbox_pred.weight, own.rpn.head.bbox_pred.weight)
    caplog.clear()
    build_detector(source, 2, load_finetune_recipe().detector, 0)
    assert not caplog.text
