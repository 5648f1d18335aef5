"""What the probe says of boxes, proposals and scores that are known.

Legend: M boxes, P positive and Q negative anchors.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from adept_hub.models import DetectorParts
from adept_hub.spec import Preprocessing
from adept_training.pretraining.watch.probe import (
    HeldOut,
    best_proposals,
    load_held_out,
    measure_rpn,
    pairs_won,
    split_keys,
)
from tests.conftest import SMALL
from tests.training.support import write_photographs


def test_a_photograph_stays_on_its_side() -> None:
    keys = [f"{i}.jpg" for i in range(100)]
    train, held = split_keys(keys, most=200)
    assert (len(train), len(held)) == (95, 5)
    assert sorted(train + held) == sorted(keys)
    assert len(split_keys(keys, most=3)[1]) == 3
    assert set(split_keys(keys[::-1], most=200)[1]) == set(held)


class _Boxes:
    def boxes(self, key: str) -> np.ndarray:
        found = [[0, 0, 48, 40], [0, 0, 48, 40], [24, 20, 72, 60], [0, 0, 96, 80]]
        return np.array(found if key == "000.png" else found[3:], dtype=np.float32)


def test_boxes_are_scaled_to_the_view_each_once_without_the_whole_photograph(tmp_path: Path) -> None:
    held = load_held_out(write_photographs(tmp_path, 2), _Boxes(), ["000.png", "001.png"], 64, 0)
    assert held.pixels_NHWC.shape == (1, 64, 64, 3), "a photograph with no box but itself tells nothing"
    np.testing.assert_allclose(held.boxes_M4[0], [[0, 0, 32, 32], [16, 16, 48, 48]])
    best = load_held_out(write_photographs(tmp_path, 2), _Boxes(), ["000.png", "001.png"], 64, 2)
    np.testing.assert_allclose(best.boxes_M4[0], [[0, 0, 32, 32]])


def test_a_box_as_wide_or_as_high_as_the_photograph_is_looked_for(tmp_path: Path) -> None:
    class Long:
        def boxes(self, key: str) -> np.ndarray:
            return np.array([[0, 20, 96, 60], [24, 0, 72, 80], [0.5, 0, 96, 80]], dtype=np.float32)

    held = load_held_out(write_photographs(tmp_path, 1), Long(), ["000.png"], 64, 0)
    np.testing.assert_allclose(held.boxes_M4[0], [[0, 16, 64, 48], [16, 0, 48, 64]])


@pytest.mark.parametrize(
    ("height", "expected"), [(39.0, (1, 1)), (35.0, (1, 1)), (33.0, (1, 0)), (25.0, (1, 0)), (23.0, (0, 0))]
)
def test_recall_counts_from_an_overlap_of_50_and_of_70_percent(height: float, expected: tuple[int, int]) -> None:
    """The one proposal is 8..56 in both directions; a box within it of the same width has an IoU of height / 48."""
    box = torch.tensor([[8.0, 8, 56, 8 + height]])
    held = HeldOut(torch.zeros((1, 64, 64, 3), dtype=torch.uint8), (box,))
    found = measure_rpn(DetectorParts(SMALL), _Oracle(), held, Preprocessing(), top=1)
    assert (found["recall1_iou50"], found["recall1_iou70"]) == expected


class _Oracle(nn.Module):
    """Says yes to one square anchor of 48 px on P3, whose center is (column 4, row 4) x 8 = (32, 32)."""

    def forward(self, feats: list[torch.Tensor]) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        logits = [f.new_full((len(f), 3, *f.shape[2:]), -9.0) for f in feats]
        logits[1][:, 1, 4, 4] = 9.0
        return logits, [f.new_zeros((len(f), 12, *f.shape[2:])) for f in feats]


def test_recall_by_hand(tmp_path: Path) -> None:
    class Known:
        def boxes(self, key: str) -> np.ndarray:
            # In the view of 64 px: the anchor itself (8..56), one of IoU .563 with it, one of IoU .25.
            view = np.array([[8, 8, 56, 56], [20, 8, 56, 44], [8, 8, 32, 32.0]])
            return (view * [96 / 64, 80 / 64, 96 / 64, 80 / 64]).astype(np.float32)

    held = load_held_out(write_photographs(tmp_path, 1), Known(), ["000.png"], 64, 0)
    parts = DetectorParts(SMALL).train()
    found = measure_rpn(parts, _Oracle(), held, Preprocessing(), top=1)
    assert found["recall1_iou50"] == pytest.approx(2 / 3)
    assert found["recall1_iou70"] == pytest.approx(1 / 3)
    assert parts.training, "modes are put back"
    assert parts.backbone.bn1.num_batches_tracked == 0, "statistics are not touched"


@pytest.mark.parametrize("values", [3, 1000])
def test_pairs_won_by_comparing_every_pair(values: int) -> None:
    rng = np.random.default_rng(values)
    positive_P, negative_Q = rng.integers(0, values, 40) + 1.0, rng.integers(0, values, 70) + 0.0
    slow = sum(1.0 if p > q else 0.5 if p == q else 0.0 for p in positive_P for q in negative_Q)
    assert pairs_won(torch.tensor(positive_P), torch.tensor(negative_Q)) == slow
    assert pairs_won(torch.ones(0), torch.ones(3)) == 0


class _Ramp(nn.Module):
    """Objectness grows along the levels, the rows, the columns and the ratios, with many ties."""

    def forward(self, feats: list[torch.Tensor]) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        logits = []
        for level, feat in enumerate(feats):
            count, side = len(feat), feat.shape[-1]
            place = torch.arange(side * side).reshape(side, side) // 5
            logits.append(torch.stack([place + 7.0 * level + ratio for ratio in range(3)]).expand(count, -1, -1, -1))
        return logits, [f.new_zeros((len(f), 12, *f.shape[2:])) for f in feats]


def test_objectness_auc_by_looking_at_every_anchor() -> None:
    """Against loops over levels, rows, columns and ratios, and over all pairs of anchors."""
    boxes_M = [torch.tensor([[4.0, 6, 44, 50], [20, 20, 45, 45]]), torch.tensor([[0.0, 10, 60, 50]])]
    held = HeldOut(torch.zeros((2, 64, 64, 3), dtype=torch.uint8), tuple(boxes_M))
    found = measure_rpn(DetectorParts(SMALL), _Ramp(), held, Preprocessing(), top=1)
    marked: list[tuple[int, bool, float]] = []
    for boxes in boxes_M:
        for level, stride in enumerate((4, 8, 16, 32)):
            side, size = 64 // stride, 6.0 * stride
            for row in range(side):
                for column in range(side):
                    for i, ratio in enumerate((0.5, 1.0, 2.0)):
                        w, h, x, y = size / ratio**0.5, size * ratio**0.5, column * stride, row * stride
                        anchor = [x - w / 2, y - h / 2, x + w / 2, y + h / 2]
                        iou = max(_iou(anchor, box) for box in boxes.tolist())
                        score = (row * side + column) // 5 + 7.0 * level + i
                        if iou >= 0.7 or iou < 0.3:
                            marked.append((level, iou >= 0.7, score))
    assert {level for level, positive, _ in marked if positive} == {0, 1}, "positives on two levels, or it tells little"
    assert found["objectness_auc"] == pytest.approx(_share(marked, lambda a, b: True), abs=1e-12)
    within = _share(marked, lambda a, b: a == b)
    assert found["objectness_auc_level"] == pytest.approx(within, abs=1e-12)
    assert abs(found["objectness_auc"] - within) > 0.05


@pytest.mark.parametrize("top", [2, 7])
def test_as_many_proposals_as_are_asked_for_and_no_more(top: int) -> None:
    held = HeldOut(torch.zeros((3, 64, 64, 3), dtype=torch.uint8), (torch.tensor([[0.0, 0, 30, 30]]),) * 3)
    parts = DetectorParts(SMALL)
    best = best_proposals(parts, _Ramp(), held, Preprocessing(), top)
    assert [len(boxes) for boxes in best] == [top] * 3
    more = best_proposals(parts, _Ramp(), held, Preprocessing(), 20)
    assert all(torch.equal(few, many[:top]) for few, many in zip(best, more, strict=True)), "the best of them"


def test_objectness_auc_needs_a_positive() -> None:
    held = HeldOut(torch.zeros((1, 64, 64, 3), dtype=torch.uint8), (torch.tensor([[0.0, 0, 3, 3]]),))
    assert set(measure_rpn(DetectorParts(SMALL), _Ramp(), held, Preprocessing())) == {
        "recall100_iou50",
        "recall100_iou70",
    }


def _iou(a: list[float], b: list[float]) -> float:
    w, h = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    both = max(w, 0) * max(h, 0)
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


def _share(marked: list[tuple[int, bool, float]], counts: Callable[[int, int], bool]) -> float:
    """Of the pairs of a positive and a negative that count, those which the positive wins, ties as halves."""
    won, pairs = 0.0, 0
    for level, positive, score in marked:
        for other, other_positive, other_score in marked:
            if positive and not other_positive and counts(level, other):
                pairs += 1
                won += 1.0 if score > other_score else 0.5 if score == other_score else 0.0
    return won / pairs


def test_an_image_that_cannot_be_read_is_not_held_out(tmp_path: Path) -> None:
    source = write_photographs(tmp_path, 2)
    (tmp_path / "000.png").write_bytes(b"no PNG")
    held = load_held_out(source, _All(), ["000.png", "001.png"], 64, 0)
    assert [boxes.tolist() for boxes in held.boxes_M4] == [[[16.0, 16.0, 48.0, 48.0]]]
    assert held.pixels_NHWC.shape == (1, 64, 64, 3)


class _All:
    def boxes(self, key: str) -> np.ndarray:
        return np.array([[24, 20, 72, 60]], dtype=np.float32)
