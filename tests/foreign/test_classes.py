"""A detector of other classes than COCO's is not recorded as trained on COCO."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torchvision.models import resnet18
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.backbone_utils import _resnet_fpn_extractor
from torchvision.ops import FrozenBatchNorm2d

from adept_hub.cli.main import main
from adept_hub.errors import CheckpointError
from adept_hub.foreign.classes import check_classes
from adept_hub.hub.fetch import fetch

CLASSIFIERS = {
    "torchvision-detector": ("roi_heads.box_predictor.cls_score.weight", 91),
    "torchvision-coco-v1": ("roi_heads.box_predictor.cls_score.weight", 91),
    "detectron2-detector": ("roi_heads.box_predictor.cls_score.weight", 81),
    "detectron2-detector-rgb": ("roi_heads.box_predictor.cls_score.weight", 81),
    "mmdet-detector": ("roi_head.bbox_head.fc_cls.weight", 81),
    "mmdet-detector-caffe": ("roi_head.bbox_head.fc_cls.weight", 81),
}


def detector(classes: int) -> dict[str, Tensor]:
    torch.manual_seed(2)
    return FasterRCNN(_resnet_fpn_extractor(resnet18(norm_layer=FrozenBatchNorm2d), 3), classes).state_dict()


@pytest.mark.parametrize("layout", CLASSIFIERS)
def test_coco_s_number_of_classes_is_that_of_each_project(layout: str) -> None:
    key, classes = CLASSIFIERS[layout]
    check_classes({key: torch.zeros(classes, 4)}, layout, Path("a.pth"))
    check_classes({"conv1.weight": torch.zeros(3, 4)}, layout, Path("a.pth"))  # a file without predictors
    for others in (3, 172 - classes):
        with pytest.raises(CheckpointError, match=rf"for {others} classes, .* not the {classes} of {layout}'s COCO"):
            check_classes({key: torch.zeros(others, 4)}, layout, Path("a.pth"))


def test_other_layouts_have_no_classes_to_compare() -> None:
    check_classes({"fc.weight": torch.zeros(3, 4)}, "torchvision", Path("a.pth"))


def test_a_detector_of_three_classes_needs_its_data_and_its_license(tmp_path: Path) -> None:
    torch.save(detector(91), tmp_path / "coco.pth")
    config = fetch(tmp_path / "coco.pth").config
    assert (config.license, config.provenance.data) == ("bsd-3-clause", "COCO train2017 with its labels")
    file, out = tmp_path / "my detector.pth", tmp_path / "out"
    torch.save(detector(3), file)
    for source in (file, f"torchvision-detector:{file}"):
        with pytest.raises(CheckpointError, match=r"my detector\.pth has predictors for 3 classes") as caught:
            fetch(source)
    second = str(caught.value).splitlines()[1]
    for words in ([], ["--data", "mine"], ["--license", "mit"]):
        assert main(["import", str(file), "--out", str(out), *words]) == 1
    assert not out.exists()
    words = shlex.split(second.partition("adept ")[2])
    values = {"TEXT": "pedestrians", "LICENSE": "mit", "DIR": str(out)}
    assert main([values.get(word, word) for word in words]) == 0
    config = fetch(out).config
    assert (config.license, config.provenance.data) == ("mit", "pedestrians")
