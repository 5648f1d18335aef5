"""A fine-tuned detector finds the same things in Detectron2 and MMDetection."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest
import torch

from adept_hub.cli.main import main
from adept_training.downstream.deploy import deploy
from adept_training.downstream.detector import DetectorConfig, build_detector, load_detector, save_detector, spec_of
from adept_training.downstream.recipe import DetectorRecipe, load_finetune_recipe

from .conftest import TINY

SHAPE = (64, 96)


@pytest.fixture
def tuned(make_checkpoint, tmp_path: Path) -> Path:
    """A detector of three classes with loud random predictors, as if it had been trained."""
    source = str(make_checkpoint()[0])
    recipe = load_finetune_recipe(None, TINY).detector
    model = build_detector(source, 3, recipe, seed=0)
    with torch.no_grad():
        for parameter in model.roi_heads.box_predictor.parameters():
            parameter.copy_(torch.randn(parameter.shape) * 0.1)
        model.roi_heads.box_predictor.cls_score.weight *= 0.02  # every class has a chance
        # Boxes stay near their proposals: of empty ones MMDetection keeps what torchvision drops.
        model.roi_heads.box_predictor.bbox_pred.weight *= 0.05
    config = DetectorConfig(source, ("a", "b", "c"), recipe, 1, {})
    save_detector(tmp_path / "best", model, config, spec_of(source), None)
    return tmp_path / "best"


def features_and_boxes(model):
    generator = torch.Generator().manual_seed(5)
    images = torch.randn(1, 3, *SHAPE, generator=generator)
    corner = torch.rand(30, 2, generator=generator) * torch.tensor([60.0, 30.0])
    return images, torch.cat([corner, corner + 8 + 20 * torch.rand(30, 2, generator=generator)], dim=1)


@pytest.mark.frameworks
@torch.no_grad()
def test_detectron2_finds_the_same(tuned: Path, tmp_path: Path) -> None:
    pytest.importorskip("detectron2", reason="needs real Detectron2 (make frameworks)")
    from detectron2.checkpoint import DetectionCheckpointer
    from detectron2.config import get_cfg
    from detectron2.modeling import build_model
    from detectron2.structures import Boxes, Instances

    deploy(tuned, "detectron2", tmp_path / "d2")
    content = json.loads((tmp_path / "d2" / "classes.json").read_text())
    cfg = get_cfg()
    cfg.merge_from_file(str(tmp_path / "d2" / "config.yaml"))
    cfg.merge_from_list([word for pair in content["overrides"].items() for word in pair])
    cfg.MODEL.DEVICE = "cpu"
    theirs = build_model(cfg).eval()
    DetectionCheckpointer(theirs).load(cfg.MODEL.WEIGHTS)
    ours, _ = load_detector(tuned)
    images, boxes = features_and_boxes(ours)
    (found,), _ = ours.roi_heads(ours.backbone(images), [boxes], [SHAPE])
    given = Instances(SHAPE, proposal_boxes=Boxes(boxes.clone()), objectness_logits=torch.zeros(len(boxes)))
    (expected,), _ = theirs.roi_heads(None, theirs.backbone(images), [given])
    assert len(found["boxes"]) == len(expected) > 10
    assert len(set(found["labels"].tolist())) > 1
    torch.testing.assert_close(found["boxes"], expected.pred_boxes.tensor, rtol=1e-4, atol=1e-2)
    torch.testing.assert_close(found["scores"], expected.scores, rtol=1e-4, atol=1e-5)
    assert torch.equal(found["labels"] - 1, expected.pred_classes)


@pytest.mark.frameworks
@torch.no_grad()
def test_mmdetection_finds_the_same(tuned: Path, tmp_path: Path) -> None:
    pytest.importorskip("mmdet", reason="needs real MMDetection (make frameworks)")
    from frameworks_support import register_mmdet

    register_mmdet()
    from mmdet.registry import MODELS
    from mmengine.config import Config
    from mmengine.runner import load_checkpoint

    deploy(tuned, "mmdet", tmp_path / "mm")
    cfg = Config.fromfile(str(tmp_path / "mm" / "config.py"))
    content = json.loads((tmp_path / "mm" / "classes.json").read_text())
    cfg.merge_from_dict({k: v for k, v in content["overrides"].items() if k.startswith("model.")})
    theirs = MODELS.build(cfg.model).eval()
    load_checkpoint(theirs, cfg.load_from, map_location="cpu", strict=True)
    ours, _ = load_detector(tuned)
    images, boxes = features_and_boxes(ours)
    (found,), _ = ours.roi_heads(ours.backbone(images), [boxes], [SHAPE])
    from mmengine.structures import InstanceData

    metas = [{"img_shape": SHAPE, "scale_factor": (1.0, 1.0), "ori_shape": SHAPE}]
    given = [InstanceData(bboxes=boxes.clone(), scores=torch.zeros(len(boxes)))]
    feats = theirs.extract_feat(images)
    (expected,) = theirs.roi_head.predict_bbox(feats, metas, given, cfg.model.test_cfg.rcnn)
    assert len(found["boxes"]) == len(expected.bboxes) > 10
    torch.testing.assert_close(found["boxes"], expected.bboxes, rtol=1e-4, atol=1e-2)
    torch.testing.assert_close(found["scores"], expected.scores, rtol=1e-4, atol=1e-5)
    assert torch.equal(found["labels"] - 1, expected.labels)


@torch.no_grad()
def test_torchvision_s_folder_holds_the_whole_detector(tuned: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    assert main(["deploy", str(tuned), "--to", "torchvision", "--out", str(tmp_path / "tv")]) == 0
    ours, _ = load_detector(tuned)
    state, expected = load_file(tmp_path / "tv" / "model.safetensors"), ours.state_dict()
    assert state.keys() == expected.keys()
    assert all(torch.equal(state[key], expected[key]) for key in expected)
    assert (tmp_path / "tv" / "build_model.py").is_file()
    assert callable(runpy.run_path(str(tmp_path / "tv" / "build_model.py"))["build_model"])


def test_what_cannot_be_deployed_is_refused(make_checkpoint, tmp_path: Path, capsys) -> None:
    source = str(make_checkpoint()[0])
    recipe = DetectorRecipe(detector="cascade_rcnn")
    model = build_detector(source, 2, recipe, seed=0)
    save_detector(tmp_path / "cascade", model, DetectorConfig(source, ("a", "b"), recipe, 1, {}), spec_of(source), None)
    assert main(["deploy", str(tmp_path / "cascade"), "--to", "mmdet", "--out", str(tmp_path / "o")]) == 1
    assert "adept export" in capsys.readouterr().err
    assert main(["deploy", source, "--to", "mmdet", "--out", str(tmp_path / "o")]) == 1
    assert "no fine-tuned detector" in capsys.readouterr().err
