"""The stages of a Cascade R-CNN by hand: thresholds, boxes, what is learned from what, and the mean of their scores."""

from __future__ import annotations

import pytest
import torch

from adept_hub.models import DetectorParts, assemble_detector
from adept_hub.models.cascade import CascadeRoIHeads
from tests.conftest import SMALL

SHAPE = (100, 200)


@pytest.fixture
def heads() -> CascadeRoIHeads:
    torch.manual_seed(0)
    found = assemble_detector(DetectorParts(SMALL), 4, "cascade_rcnn", box_score_thresh=0.0).roi_heads
    assert isinstance(found, CascadeRoIHeads)
    return found


@pytest.mark.parametrize(("width", "labels"), [(48, [0, 0, 0]), (50, [3, 0, 0]), (65, [3, 3, 0]), (70, [3, 3, 3])])
def test_every_stage_demands_more_overlap(heads: CascadeRoIHeads, width: int, labels: list[int]) -> None:
    """A box of ``width`` of an object's 100 pixels, and another object elsewhere."""
    target = {"boxes": torch.tensor([[0.0, 50, 10, 60], [0.0, 0, 100, 40]]), "labels": torch.tensor([1, 3])}
    for stage, label in enumerate(labels):
        labels_R, matched_R4 = heads.match(stage, torch.tensor([[0.0, 0, width, 40]]), target)
        assert labels_R.tolist() == [label]
        assert matched_R4.tolist() == [[0, 0, 100, 40]]


@pytest.mark.parametrize(("stage", "factor"), [(0, 1), (1, 2), (2, 3)])
def test_deltas_are_finer_from_stage_to_stage(heads: CascadeRoIHeads, stage: int, factor: int) -> None:
    """(10, 10, 5, 5) times 1, 2 and 3: a delta of 1 moves a box of 40 x 20 by 4 and 2 pixels, or by a part of it."""
    box = torch.tensor([[80.0, 40, 120, 60]])
    moved = heads.refine(stage, torch.tensor([[1.0, -1, 0, 0]]), [box], [SHAPE])[0]
    torch.testing.assert_close(moved, box + torch.tensor([4.0, -2, 4, -2]) / factor)
    wider = heads.refine(stage, torch.tensor([[0.0, 0, factor * 5.0, 0]]), [box], [SHAPE])[0]
    torch.testing.assert_close(wider[0, 2] - wider[0, 0], torch.tensor(40 * torch.e), rtol=1e-4, atol=1e-3)
    outside = heads.refine(stage, torch.tensor([[0.0, factor * 30.0, 0, 0]]), [box], [SHAPE])
    assert len(outside[0]) == 0, "clipped to nothing, and in training left out"
    heads.eval()
    assert heads.refine(stage, torch.tensor([[0.0, factor * 30.0, 0, 0]]), [box], [SHAPE])[0].shape == (1, 4)


def test_a_stage_learns_nothing_through_the_boxes_of_the_next(heads: CascadeRoIHeads) -> None:
    features = {f"p{level}": torch.rand(1, SMALL.fpn_channels, 64 >> level, 128 >> level) for level in range(2, 6)}
    boxes = [torch.tensor([[10.0, 10, 90, 80], [100.0, 20, 180, 90]])]
    targets = [{"boxes": boxes[0] + 3, "labels": torch.tensor([1, 2])}]
    heads.train()
    heads.select_training_samples = lambda b, t: (b, None, None, None)
    _, losses = heads(features, boxes, [SHAPE], targets)
    assert set(losses) == {f"loss_{kind}_stage{s}" for kind in ("classifier", "box_reg") for s in range(3)}
    for stage in range(3):
        heads.zero_grad()
        (losses[f"loss_box_reg_stage{stage}"] + losses[f"loss_classifier_stage{stage}"]).backward(retain_graph=True)
        reached = [p.bbox_pred.weight.grad is not None and bool(p.bbox_pred.weight.grad.any())
                   for p in heads.box_predictor]  # fmt: skip
        assert reached == [other == stage for other in range(3)]


def test_scores_are_means_of_the_stages_probabilities_on_the_last_boxes(
    heads: CascadeRoIHeads, monkeypatch: pytest.MonkeyPatch
) -> None:
    box = torch.tensor([[40.0, 40, 80, 60]])
    logits = torch.log(torch.tensor([[0.1, 0.6, 0.2, 0.1], [0.2, 0.5, 0.1, 0.2], [0.6, 0.1, 0.2, 0.1]]))
    deltas = torch.tensor([[1.0, 0, 0, 0], [2.0, 0, 0, 0], [3.0, 0, 0, 0]])  # 4 pixels each
    monkeypatch.setattr(heads, "run_stage", lambda stage, *_: (logits[stage : stage + 1], deltas[stage : stage + 1]))
    heads.eval()
    (found,), losses = heads({}, [box], [SHAPE])
    assert losses == {}
    assert found["labels"].tolist() == [1, 2, 3]
    torch.testing.assert_close(found["scores"], torch.tensor([0.4, 0.5 / 3, 0.4 / 3]))
    torch.testing.assert_close(found["boxes"], (box + torch.tensor([12.0, 0, 12, 0])).expand(3, 4))
