"""The assembled detector: it is torchvision's, and it holds the parts themselves."""

from __future__ import annotations

import pytest
import torch
from torchvision.models.detection import FasterRCNN, MaskRCNN

from adept_hub.errors import UnsupportedDetectorError
from adept_hub.models import assemble_detector
from adept_hub.models.propose import propose
from tests.conftest import random_parts


@pytest.mark.parametrize(("name", "kind"), [("faster_rcnn", FasterRCNN), ("mask_rcnn", MaskRCNN)])
def test_a_training_step_reaches_every_pretrained_tensor(name: str, kind: type) -> None:
    torch.manual_seed(0)
    model = assemble_detector(random_parts(), 3, name, min_size=96, max_size=128).train()
    assert isinstance(model, kind)
    images = [torch.rand(3, 96, 128), torch.rand(3, 90, 100)]
    boxes = torch.tensor([[10.0, 10.0, 70.0, 80.0], [30.0, 20.0, 90.0, 60.0]])
    masks = torch.zeros(2, 96, 128, dtype=torch.uint8)
    masks[0, 10:80, 10:70] = 1
    masks[1, 20:60, 30:90] = 1
    target = {"boxes": boxes, "labels": torch.tensor([1, 2])}
    targets = [target | {"masks": masks}, target | {"masks": masks[:, :90, :100]}]
    losses = model(images, targets)
    sum(losses.values()).backward()
    without = [key for key, p in model.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
    assert without == []


def test_the_parts_are_held_not_copied() -> None:
    parts = random_parts()
    model = assemble_detector(parts, 3)
    state = model.state_dict()
    assert state["backbone.body.conv1.weight"].data_ptr() == parts.backbone["conv1"].weight.data_ptr()
    assert state["roi_heads.box_head.5.weight"].data_ptr() == parts.head[5].weight.data_ptr()


def test_the_box_predictor_starts_as_detectron2s() -> None:
    torch.manual_seed(0)
    predictor = assemble_detector(random_parts(), 50).roi_heads.box_predictor
    assert predictor.cls_score.weight.std().item() == pytest.approx(0.01, rel=0.05)
    assert predictor.bbox_pred.weight.std().item() == pytest.approx(0.001, rel=0.05)
    assert not predictor.cls_score.bias.any()
    assert not predictor.bbox_pred.bias.any()


def test_p6_is_p5_subsampled() -> None:
    parts = random_parts()
    maps = assemble_detector(parts, 3).eval().backbone(torch.rand(1, 3, 64, 96))
    assert list(maps) == ["p2", "p3", "p4", "p5", "p6"]
    assert torch.equal(maps["p6"], maps["p5"][:, :, ::2, ::2])


@pytest.mark.parametrize(("name", "classes"), [("yolo", 3), ("faster_rcnn", 1)])
def test_what_cannot_be_built_is_refused(name: str, classes: int) -> None:
    with pytest.raises(UnsupportedDetectorError):
        assemble_detector(random_parts(), classes, name)


def test_proposals_equal_the_rpns_own() -> None:
    parts = random_parts()
    parts.rpn.bbox_pred.weight.data *= 0.02  # else the regions leave the image and suppress each other
    model = assemble_detector(parts, 3, min_size=96, max_size=128, rpn_post_nms_top_n_test=50).eval()
    image = torch.rand(3, 48, 64)
    with torch.inference_mode():
        batch, _ = model.transform([image])
        features = model.backbone(batch.tensors)
        theirs, _ = model.rpn(batch, features)
    ours = propose(model, [image])[0]
    torch.testing.assert_close(ours.boxes_K4, theirs[0] / 2)  # 48 x 64 was resized to 96 x 128
    assert len(ours.boxes_K4) == 50
    assert (ours.scores_K.diff() <= 0).all()


def test_proposing_in_training_mode_is_refused() -> None:
    with pytest.raises(ValueError, match=r"model.eval\(\)"):
        propose(assemble_detector(random_parts(), 3).train(), [torch.rand(3, 32, 32)])
