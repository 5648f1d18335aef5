"""What a deployed detector's config says of its testing, by hand, where no framework is installed.

`test_deploy.py` compares detections in the real frameworks; here a value that is lost is seen without them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from adept_hub.detectors.folder import read_detector
from adept_training.deploying.deploy import deploy
from adept_training.finetuning.recipe import load_finetune_recipe
from adept_training.finetuning.run import finetune
from adept_training.labels.datasets import open_data
from tests.house import CLASSES, TUNE, write_house, write_house_data

QUICK = (*TUNE, "schedule.iterations=1", "engine.evaluations=0", "detector.anchors=[13,27,55,101,222]",
         "detector.detector=mask_rcnn")  # fmt: skip


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Mask R-CNN of one iteration, which no test changes."""
    folder = tmp_path_factory.mktemp("tuned")
    house, data = write_house(folder / "house"), open_data(write_house_data(folder / "photographs").words())
    finetune(house.source, data, load_finetune_recipe(None, QUICK), folder / "run", accelerator="cpu")
    return folder / "run" / "last"


def test_a_detectron2_config_is_that_of_the_detector_s_testing(tuned: Path, tmp_path: Path) -> None:
    deploy(tuned, "detectron2", tmp_path / "out")
    text = (tmp_path / "out" / "config.yaml").read_text()
    found = yaml.safe_load(text)
    model = found["MODEL"]
    assert (found["INPUT"]["MIN_SIZE_TEST"], found["INPUT"]["MAX_SIZE_TEST"]) == (64, 90)
    assert found["INPUT"]["FORMAT"] == "RGB"
    assert model["ANCHOR_GENERATOR"]["SIZES"] == [[13.0], [27.0], [55.0], [101.0], [222.0]]
    assert (model["RPN"]["POST_NMS_TOPK_TEST"], model["RPN"]["PRE_NMS_TOPK_TEST"]) == (50, 1000)
    assert (model["ROI_HEADS"]["SCORE_THRESH_TEST"], model["ROI_HEADS"]["NUM_CLASSES"]) == (0.02, 3)
    assert (found["TEST"]["DETECTIONS_PER_IMAGE"], found["TEST"]["PRECISE_BN"]) == (37, {"ENABLED": True})
    assert (model["MASK_ON"], model["PIXEL_MEAN"]) == (True, [25.5, 51.0, 76.5])
    assert text.startswith("# Detectron2 config for"), "the comments stay"
    state = torch.load(tmp_path / "out" / "model.pth", weights_only=True)["model"]
    ours = read_detector(tuned)[0].state_dict()
    # torchvision's background is the first class, Detectron2's the last; torchvision has deltas for it as well.
    logits, deltas = (state[f"roi_heads.box_predictor.{name}.weight"] for name in ("cls_score", "bbox_pred"))
    assert torch.equal(logits, ours["roi_heads.box_predictor.cls_score.weight"][[1, 2, 3, 0]])
    assert torch.equal(deltas, ours["roi_heads.box_predictor.bbox_pred.weight"][4:])


def test_a_mmdetection_config_is_that_of_the_detector_s_testing(tuned: Path, tmp_path: Path) -> None:
    deploy(tuned, "mmdet", tmp_path / "out")
    # MMEngine gives a config the names of its base by ``_base_``, here those of MMDetection's COCO files.
    base = {"test_pipeline": [{"type": "LoadImageFromFile"}, {"type": "Resize", "scale": (1333, 800)}]}
    found: dict[str, Any] = {"base": base}
    text = (tmp_path / "out" / "config.py").read_text()
    exec(text.replace("_base_.test_pipeline", "base['test_pipeline']"), found)
    model = found["model"]
    assert model["rpn_head"]["anchor_generator"]["base_sizes"] == [13.0, 27.0, 55.0, 101.0, 222.0]
    assert model["rpn_head"]["anchor_generator"]["scales"] == [1]
    assert model["test_cfg"] == {
        "rpn": {"nms_pre": 1000, "max_per_img": 50}, "rcnn": {"score_thr": 0.02, "max_per_img": 37},
    }  # fmt: skip
    assert model["roi_head"]["bbox_head"]["num_classes"] == 3
    pipeline = [{"type": "LoadImageFromFile"}, {"type": "Resize", "scale": (90, 64), "backend": "pillow"}]
    for loader in ("val_dataloader", "test_dataloader"):
        assert found[loader] == {"dataset": {"pipeline": pipeline}}
    content = torch.load(tmp_path / "out" / "model.pth", weights_only=True)
    assert content["meta"] == {"dataset_meta": {"classes": list(CLASSES)}}
    ours = read_detector(tuned)[0].state_dict()
    # The background is the last class here as well.
    logits = content["state_dict"]["roi_head.bbox_head.fc_cls.bias"]
    assert torch.equal(logits, ours["roi_heads.box_predictor.cls_score.bias"][[1, 2, 3, 0]])


@pytest.mark.parametrize("form", ["detectron2", "mmdet", "torchvision"])
def test_classes_are_written_in_the_order_of_their_labels(form: str, tuned: Path, tmp_path: Path) -> None:
    *_, path = deploy(tuned, form, tmp_path / "out")
    content = json.loads(path.read_text())
    assert (path.name, content["classes"]) == ("classes.json", ["zebra", "mouse", "ant"])
    assert content["detector"]["anchors"] == [13.0, 27.0, 55.0, 101.0, 222.0]
    assert (content["detector"]["test_side"], content["detector"]["detections"]) == (64, 37)
