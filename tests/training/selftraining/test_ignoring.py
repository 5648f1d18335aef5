"""Boxes that the teacher is not sure of: neither object nor background in any loss."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from adept_hub.models.cascade import CascadeRoIHeads
from adept_training.finetuning.augment import View
from adept_training.finetuning.detector import build_detector
from adept_training.finetuning.recipe import load_finetune_recipe
from adept_training.selftraining.focal import use_focal_loss
from adept_training.selftraining.ignoring import ignore_unsure, objects, with_unsure
from tests.training.conftest import TINY

#: An object, a box that is not sure, and four boxes: on the first, on the second, near the second (IoU 0.4), on none.
OBJECT, UNSURE = (0.0, 0.0, 20.0, 20.0), (40.0, 40.0, 60.0, 60.0)
BOXES = torch.tensor([OBJECT, (40.0, 40.0, 60.0, 58.0), (40.0, 40.0, 60.0, 48.0), (0.0, 40.0, 20.0, 60.0)])


def target(*labels: int) -> dict[str, Tensor]:
    rows = [OBJECT if label > 0 else UNSURE for label in labels]
    return {"boxes": torch.tensor(rows).reshape(-1, 4), "labels": torch.tensor(labels, dtype=torch.int64)}


def detector(kind: str = "faster_rcnn") -> Any:
    recipe = load_finetune_recipe(None, [*TINY, f"detector.detector={kind}"])
    model = build_detector("scratch", 3, recipe.detector, 0)
    if kind == "faster_rcnn":
        use_focal_loss(model)
    ignore_unsure(model)
    return model.train()


@pytest.mark.parametrize(
    ("labels", "expected"),
    [((2, -1), [1, -1, -1, 0]), ((2,), [1, 0, 0, 0]), ((-1,), [0, -1, -1, 0]), ((), [0, 0, 0, 0])],
)
def test_anchors_on_unsure_boxes_have_no_label(labels: tuple[int, ...], expected: list[int]) -> None:
    rpn = detector().rpn
    assert rpn.proposal_matcher.low_threshold == 0.3
    (found,), _ = rpn.assign_targets_to_anchors([BOXES.clone()], [target(*labels)])
    assert found.tolist() == expected


@pytest.mark.parametrize(
    ("labels", "expected"),
    [((2, -1), [2, -1, 0, 0]), ((2,), [2, 0, 0, 0]), ((-1,), [0, -1, 0, 0]), ((), [0, 0, 0, 0])],
)
def test_boxes_on_unsure_boxes_are_not_sampled(labels: tuple[int, ...], expected: list[int]) -> None:
    heads = detector().roi_heads
    boxes, _, (found,), _ = heads.select_training_samples([BOXES.clone()], [target(*labels)])
    own = [OBJECT] if 2 in labels else []  # objects are proposals too
    wanted = [(tuple(row), label) for row, label in zip(BOXES.tolist(), expected, strict=True) if label >= 0]
    assert sorted(zip(map(tuple, boxes[0].tolist()), found.tolist(), strict=True)) == sorted(
        [*wanted, *((box, 2) for box in own)]
    )


def test_each_stage_of_a_cascade_leaves_out_what_is_background_on_unsure_boxes() -> None:
    heads = detector("cascade_rcnn").roi_heads
    logits, deltas, kept = torch.randn(4, 4), torch.randn(4, 4), [0, 2, 3]
    plain = CascadeRoIHeads.stage_losses
    for stage in range(3):
        found = heads.stage_losses(stage, logits, deltas, [BOXES], [target(2, -1)])
        expected = plain(heads, stage, logits[kept], deltas[kept], [BOXES[kept]], [target(2)])
        torch.testing.assert_close(found, expected)
        alone = heads.stage_losses(stage, logits[1:2], deltas[1:2], [BOXES[1:2]], [target(2, -1)])
        assert [value.item() for value in alone.values()] == [0.0, 0.0]


@pytest.mark.parametrize("kind", ["faster_rcnn", "cascade_rcnn"])
def test_a_whole_detector_learns_beside_unsure_boxes(kind: str) -> None:
    model = detector(kind)
    images = [torch.rand(3, 64, 64), torch.rand(3, 48, 64)]
    losses = model(images, [target(2, -1, -1), target(-1)])
    assert all(bool(torch.isfinite(loss)) for loss in losses.values())
    assert torch.stack(list(losses.values())).sum() > 0


def test_a_view_s_ignored_regions_become_the_last_rows_of_its_target() -> None:
    view = View(torch.zeros(3, 9, 9), target(2, 1) | {"certain": torch.ones(2)}, torch.tensor([UNSURE]))
    found = with_unsure(view).target
    assert found["labels"].tolist() == [2, 1, -1]
    assert found["boxes"].tolist() == [list(OBJECT), list(OBJECT), list(UNSURE)]
    assert objects(found)["boxes"].tolist() == [list(OBJECT)] * 2
