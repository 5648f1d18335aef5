"""The library's own Cascade R-CNN against Detectron2's: the same detections, the same losses."""

from __future__ import annotations

import pytest
import torch

from adept_hub.convert.export import write_export
from adept_hub.convert.options import Target
from adept_hub.frameworks import DETECTRON2
from adept_hub.models import DetectorParts, assemble_detector
from tests.convert.probes import Detectron2Probe, canonical_probe
from tests.frameworks_support import (
    SMALL,
    config_of,
    one_thread,  # noqa: F401  # an autouse fixture
    random_tensors,
)

SHAPE = (96, 160)
CLASSES = 4


@pytest.fixture
def pair(tmp_path):
    """Both detectors with the same parts and the same random predictors."""
    write_export(random_tensors(SMALL), config_of(SMALL), DETECTRON2, tmp_path / "o", Target("cascade_rcnn", CLASSES))
    theirs = Detectron2Probe(tmp_path / "o").model
    ours = canonical_probe(SMALL, random_tensors(SMALL), "cascade_rcnn").model
    generator = torch.Generator().manual_seed(11)
    with torch.no_grad():
        for a, b in zip(ours.roi_heads.box_predictor, theirs.roi_heads.box_predictor, strict=True):
            for parameter in a.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
            a.bbox_pred.weight *= 0.1  # boxes that stay near their object, so that every stage has foreground
            a.bbox_pred.bias *= 0.1
            # torchvision has the background first, Detectron2 last.
            b.cls_score.weight.copy_(a.cls_score.weight.roll(-1, 0))
            b.cls_score.bias.copy_(a.cls_score.bias.roll(-1, 0))
            b.bbox_pred.load_state_dict(a.bbox_pred.state_dict())
    return ours, theirs


def inputs():
    generator = torch.Generator().manual_seed(12)
    images = torch.randn(2, 3, *SHAPE, generator=generator)
    corner = torch.rand(2, 40, 2, generator=generator) * torch.tensor([120.0, 60.0])
    size = torch.rand(2, 40, 2, generator=generator) * 60 + 6
    boxes = torch.cat([corner, corner + size], dim=2).clamp(max=torch.tensor([160.0, 96.0, 160.0, 96.0]))
    return images, list(boxes)


@pytest.mark.frameworks
@torch.no_grad()
def test_detections_are_detectron2_s(pair):
    from detectron2.structures import Boxes, Instances

    ours, theirs = pair
    images, boxes = inputs()
    found, _ = ours.roi_heads(ours.backbone(images), boxes, [SHAPE] * 2)
    proposals = [
        Instances(SHAPE, proposal_boxes=Boxes(b.clone()), objectness_logits=torch.zeros(len(b))) for b in boxes
    ]
    expected, _ = theirs.roi_heads(None, theirs.backbone(images), proposals)
    for a, b in zip(found, expected, strict=True):
        assert len(a["boxes"]) == len(b) > 20
        assert (a["boxes"] - b.pred_boxes.tensor).abs().max() < 1e-2
        assert torch.equal(a["labels"] - 1, b.pred_classes)
        torch.testing.assert_close(a["scores"], b.scores, rtol=1e-4, atol=1e-5)


@pytest.mark.frameworks
def test_losses_and_gradients_are_detectron2_s(pair, monkeypatch):
    from detectron2.structures import Boxes, Instances
    from detectron2.utils.events import EventStorage

    ours, theirs = pair
    ours.roi_heads.training = True
    theirs.roi_heads.training = True  # norms stay in evaluation mode: their batches are not what is compared
    images, boxes = inputs()
    targets = [{"boxes": b[:3] + 2.0, "labels": torch.tensor([1, 3, 2])} for b in boxes]
    # Sampling is random and the frameworks' own; both get the same boxes instead.
    monkeypatch.setattr(ours.roi_heads, "select_training_samples", lambda b, t: (b, None, None, None))
    ours_features = ours.backbone(images)
    _, losses = ours.roi_heads(ours_features, boxes, [SHAPE] * 2, targets)
    instances = [Instances(SHAPE, gt_boxes=Boxes(t["boxes"]), gt_classes=t["labels"] - 1) for t in targets]
    proposals = [Instances(SHAPE, proposal_boxes=Boxes(b.clone())) for b in boxes]
    with EventStorage():
        proposals = theirs.roi_heads._match_and_label_boxes(proposals, 0, instances)
        monkeypatch.setattr(theirs.roi_heads, "label_and_sample_proposals", lambda p, t: p)
        _, expected = theirs.roi_heads(None, theirs.backbone(images), proposals, instances)
    for stage in range(3):
        for a, b in (("loss_classifier", "loss_cls"), ("loss_box_reg", "loss_box_reg")):
            one, other = losses[f"{a}_stage{stage}"], expected[f"{b}_stage{stage}"]
            assert other > 0
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    sum(losses.values()).backward()
    sum(expected.values()).backward()
    torch.testing.assert_close(
        ours.backbone.fpn.layer_blocks[0][0].weight.grad, theirs.backbone.fpn_output2.weight.grad, rtol=1e-3, atol=1e-5
    )
    torch.testing.assert_close(
        ours.roi_heads.box_head[2][5].weight.grad, theirs.roi_heads.box_head[2].fc1.weight.grad, rtol=1e-3, atol=1e-5
    )


def test_every_stage_starts_as_the_pre_trained_head_and_is_its_own():
    parts = DetectorParts(SMALL)
    heads = assemble_detector(parts, CLASSES, "cascade_rcnn").roi_heads.box_head
    assert heads[0] is parts.head
    for other in heads[1:]:
        assert all(
            torch.equal(a, b)
            for a, b in zip(parts.head.state_dict().values(), other.state_dict().values(), strict=True)
        )
        assert not {p.data_ptr() for p in other.parameters()} & {p.data_ptr() for p in parts.head.parameters()}


def test_an_image_without_objects_trains_on_background_alone():
    model = assemble_detector(DetectorParts(SMALL), CLASSES, "cascade_rcnn", min_size=96, max_size=160)
    losses = model([torch.rand(3, *SHAPE)], [{"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64)}])
    assert all(torch.isfinite(loss) for loss in losses.values())
    assert all(losses[f"loss_box_reg_stage{stage}"] == 0 for stage in range(3))
    sum(losses.values()).backward()
