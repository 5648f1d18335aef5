"""The effective rank against hand-made spectra; the head's against features gathered one box at a time."""

from __future__ import annotations

import pytest
import torch
from torchvision.ops import roi_align

from adept_hub.models.parts import DetectorParts
from adept_hub.spec import Preprocessing
from adept_training.engine.probe import HeldOut
from adept_training.engine.rank import effective_rank, head_rank
from tests.conftest import SMALL


def test_equal_directions_count_whole() -> None:
    corners = torch.cat([torch.eye(3), -torch.eye(3)]) @ torch.linalg.qr(torch.randn(8, 8)).Q[:3]
    assert effective_rank(7 + corners) == pytest.approx(3.0, abs=1e-5)


def test_unequal_directions_count_by_the_entropy_of_their_variance() -> None:
    features = torch.tensor([[3.0, 0], [-3, 0], [0, 1], [0, -1]])  # variances 18 : 2
    expected = (0.9**-0.9) * (0.1**-0.1)
    assert effective_rank(features) == pytest.approx(expected, rel=1e-6)


def test_features_that_are_all_the_same_have_no_rank() -> None:
    assert effective_rank(torch.ones(5, 3)) == 0.0


def test_the_heads_rank_is_that_of_the_boxes_features_one_by_one() -> None:
    torch.manual_seed(0)
    parts = DetectorParts(SMALL).train()
    pixels = torch.randint(0, 256, (3, 64, 64, 3), dtype=torch.uint8)
    boxes = tuple(torch.tensor([[4.0, 8, 44, 60], [0, 0, 20, 16], [10.0 + i, 5, 62, 40]]) for i in range(3))
    found = head_rank(parts, HeldOut(pixels, boxes), Preprocessing())
    assert parts.training

    parts.eval()
    features = []
    with torch.no_grad():
        for image, boxes_M4 in zip(pixels, boxes, strict=True):
            x = image.permute(2, 0, 1) / 255 - torch.tensor(Preprocessing().mean)[:, None, None]
            x = x / torch.tensor(Preprocessing().std)[:, None, None]
            maps = parts.pyramid(x[None])
            for box in boxes_M4:
                side = float(((box[2] - box[0]) * (box[3] - box[1])).sqrt())
                level = next(i for i, upper in enumerate((*SMALL.levels.upper[:3], 1e9)) if side <= upper)
                scale = maps[level].shape[-1] / 64
                features.append(parts.head_features(roi_align(maps[level], [box[None]], 7, scale, -1, True)))
    assert found == pytest.approx(effective_rank(torch.cat(features)), rel=1e-4)
