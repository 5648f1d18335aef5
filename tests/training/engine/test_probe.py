"""The held-out recall on boxes and proposals that are known.

Legend: M boxes.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from adept_hub.models import DetectorParts
from adept_hub.spec import Preprocessing
from adept_training.engine.probe import load_held_out, rpn_recall, split_keys
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
    held = load_held_out(write_photographs(tmp_path, 2), _Boxes(), ["000.png", "001.png"], 64)
    assert held.pixels_NHWC.shape == (1, 64, 64, 3), "a photograph with no box but itself tells nothing"
    np.testing.assert_allclose(held.boxes_M4[0], [[0, 0, 32, 32], [16, 16, 48, 48]])


class _Oracle(nn.Module):
    """Says yes to one square anchor of 48 px on P3, whose centre is (column 4, row 4) x 8 = (32, 32)."""

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

    held = load_held_out(write_photographs(tmp_path, 1), Known(), ["000.png"], 64)
    parts = DetectorParts(SMALL).train()
    found = rpn_recall(parts, _Oracle(), held, Preprocessing(), top=1)
    assert found == {"recall1_iou50": pytest.approx(2 / 3), "recall1_iou70": pytest.approx(1 / 3)}
    assert parts.training, "modes are put back"
    assert parts.backbone.bn1.num_batches_tracked == 0, "statistics are not touched"
