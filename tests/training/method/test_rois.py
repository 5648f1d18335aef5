"""Sampling and losses of a RoI head against a slow walk over boxes and torchvision's own RoIHeads."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torchvision.models.detection.roi_heads import RoIHeads

from adept_hub.models.parts import LEVELS, STRIDES, DetectorParts
from adept_hub.models.pooling import PyramidRoIAlign, canonical_size_of
from adept_hub.spec import DetectorSpec, LevelSpec
from adept_training.data.loader import BoxBatch
from adept_training.method.detection import BoxPredictor
from adept_training.method.levels import assign_levels, pool_boxes
from adept_training.method.rois import roi_losses, sample_rois

SIDE = 64


def _boxes(images: int, count: int, real: float, seed: int) -> BoxBatch:
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(images, count, 2, generator=generator) * 40
    side = 6 + torch.rand(images, count, 2, generator=generator) * 18
    ids = torch.arange(count).expand(images, count)
    return BoxBatch(torch.cat([corner, corner + side], 2), ids, torch.rand(images, count, generator=generator) < real)


def _iou(a: Tensor, b: Tensor) -> float:
    w = min(a[2], b[2]) - max(a[0], b[0])
    h = min(a[3], b[3]) - max(a[1], b[1])
    inner = float(max(w, torch.zeros(())) * max(h, torch.zeros(())))
    return inner / (float((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])) - inner)


def _slow_candidates(proposals: BoxBatch, objects: BoxBatch, others: BoxBatch, classes: Tensor, n: int):
    """Return box, class and matched object of every candidate; background has no object."""
    targets = [(objects.boxes_NK4[n, k], int(classes[n, k])) for k in range(6) if objects.real_NK[n, k]]
    found = []
    for boxes in (proposals, objects):
        for box, real in zip(boxes.boxes_NK4[n], boxes.real_NK[n], strict=True):
            if not real or not targets:
                continue
            best, (goal, label) = max(((_iou(box, t[0]), t) for t in targets), key=lambda pair: pair[0])
            near = max((_iou(box, other) for other in others.boxes_NK4[n][others.real_NK[n]]), default=0.0)
            if best >= 0.5:
                found.append((tuple(box.tolist()), label, tuple(goal.tolist())))
            elif near < 0.5:
                found.append((tuple(box.tolist()), 0, None))
    return found


def test_candidates_classes_and_goals_are_those_of_a_slow_walk() -> None:
    proposals, objects, others = _boxes(3, 60, 0.9, 0), _boxes(3, 6, 0.6, 1), _boxes(3, 9, 0.6, 2)
    objects.real_NK[2] = False
    classes = torch.randint(1, 5, (3, 6), generator=torch.Generator().manual_seed(3))
    rois = sample_rois(proposals, objects, classes, others, torch.arange(3), 1000)
    seen = 0
    for n in range(3):
        rows = [row for row, image in enumerate(rois.image_R.tolist()) if image == n]
        found = {
            (tuple(rois.boxes_R4[r].tolist()), int(rois.class_R[r]),
             tuple(rois.goal_R4[r].tolist()) if rois.class_R[r] else None)
            for r in rows
        }  # fmt: skip
        assert found == set(_slow_candidates(proposals, objects, others, classes, n))
        seen += len(rows)
    assert seen > 80
    assert not (rois.image_R == 2).any(), "an image without objects is not sampled from"
    assert (rois.class_R > 0).sum() > 10
    unlike = sample_rois(
        proposals, objects, classes, others._replace(real_NK=others.real_NK & False), torch.arange(3), 1000
    )
    assert len(unlike.class_R) > seen, "boxes near others are not background"


def test_an_iou_of_exactly_a_half_is_an_object_and_near_another_box() -> None:
    def boxes(*rows: tuple[int, ...]) -> BoxBatch:
        ids = torch.arange(len(rows))[None]
        return BoxBatch(torch.tensor([rows], dtype=torch.float32), ids, torch.ones_like(ids, dtype=torch.bool))

    proposals = boxes((0, 0, 10, 5), (0, 0, 10, 4), (40, 40, 50, 45), (40, 40, 50, 44))
    objects, others = boxes((0, 0, 10, 10)), boxes((40, 40, 50, 50))
    rois = sample_rois(proposals, objects, torch.tensor([[3]]), others, torch.tensor([1]), 100)
    found = {tuple(box): label for box, label in zip(rois.boxes_R4.tolist(), rois.class_R.tolist(), strict=True)}
    assert found == {(0, 0, 10, 10): 3, (0, 0, 10, 5): 3, (0, 0, 10, 4): 0, (40, 40, 50, 44): 0}


def test_a_few_are_sampled_a_quarter_of_them_objects_by_the_images_seed() -> None:
    proposals, objects, others = _boxes(2, 200, 1.0, 0), _boxes(2, 12, 1.0, 1), _boxes(2, 1, 0.0, 2)
    classes = torch.ones(2, 12, dtype=torch.int64)
    rois = sample_rois(proposals, objects, classes, others, torch.tensor([5, 6]), 16)
    assert [(int((rois.class_R[rois.image_R == n] > 0).sum()), int((rois.image_R == n).sum())) for n in (0, 1)] == [
        (4, 16), (4, 16),
    ]  # fmt: skip
    again = sample_rois(proposals, objects, classes, others, torch.tensor([5, 7]), 16)
    same = [torch.equal(rois.boxes_R4[rois.image_R == n], again.boxes_R4[again.image_R == n]) for n in (0, 1)]
    assert same == [True, False]


class _EveryClass(nn.Module):
    """A predictor with torchvision's outputs, whose deltas are the same for all classes."""

    def __init__(self, predictor: BoxPredictor) -> None:
        super().__init__()
        self.predictor = predictor

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        logits, deltas = self.predictor(features)
        return logits, torch.cat([deltas] * logits.shape[1], dim=1)


@pytest.mark.parametrize("classes", [1, 4])
def test_losses_and_gradients_are_torchvisions(classes: int) -> None:
    torch.manual_seed(0)
    levels = LevelSpec((8.0, 16.0, 32.0, 64.0))
    spec = DetectorSpec(18, fpn_channels=8, head_conv_channels=8, head_fc_channels=16, levels=levels)
    parts, predictor = DetectorParts(spec), BoxPredictor(16, classes)
    predictor.bbox_pred.weight.data.normal_(0, 0.1)
    proposals, objects, others = _boxes(2, 50, 1.0, 0), _boxes(2, 5, 1.0, 1), _boxes(2, 1, 0.0, 2)
    labels = torch.randint(1, classes + 1, (2, 5), generator=torch.Generator().manual_seed(3))
    feats = [torch.randn(2, 8, SIDE // stride, SIDE // stride, requires_grad=True) for stride in STRIDES]
    theirs = RoIHeads(
        PyramidRoIAlign(list(LEVELS), 7, STRIDES, canonical_size_of(levels)), parts.head, _EveryClass(predictor),
        0.5, 0.5, 1000, 0.25, None, 0.05, 0.5, 100,
    ).train()  # fmt: skip
    targets = [{"boxes": b, "labels": c} for b, c in zip(objects.boxes_NK4, labels, strict=True)]
    maps = dict(zip(LEVELS, feats, strict=True))
    _, losses = theirs(maps, list(proposals.boxes_NK4), [(SIDE, SIDE)] * 2, targets)
    leaves = [*feats, *parts.head.parameters(), *predictor.parameters()]
    expected = torch.autograd.grad(losses["loss_classifier"] + losses["loss_box_reg"], leaves)

    rois = sample_rois(proposals, objects, labels, others, torch.arange(2), 1000)
    levels_R = assign_levels(rois.boxes_R4, levels)
    assert len(levels_R.unique()) > 1
    features = parts.head_features(pool_boxes(feats, rois.boxes_R4, rois.image_R, levels_R, SIDE))
    class_loss, box_loss = roi_losses(*predictor(features), rois)
    torch.testing.assert_close(class_loss, losses["loss_classifier"])
    torch.testing.assert_close(box_loss, losses["loss_box_reg"])
    assert box_loss > 0.01
    for found, wanted in zip(torch.autograd.grad(class_loss + box_loss, leaves), expected, strict=True):
        torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-4)
