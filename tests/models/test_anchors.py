"""Anchors by hand, and by torchvision's own generator where that does not round."""

from __future__ import annotations

import math

import pytest
import torch
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList

from adept_hub.models.anchors import ExactAnchorGenerator


def _anchors(sizes: tuple[float, ...], strides: tuple[int, ...], grids: list[int], side: int) -> torch.Tensor:
    generator = ExactAnchorGenerator(sizes, (0.5, 1.0, 2.0), strides)
    images = ImageList(torch.zeros(1, 3, side, side), [(side, side)])
    return generator(images, [torch.zeros(1, 8, g, g) for g in grids])[0]


def test_cell_anchors_are_wide_square_tall_and_not_rounded() -> None:
    first = _anchors((32.0,), (8,), [1], 8)
    w, h = 32 * math.sqrt(2), 32 / math.sqrt(2)
    expected = torch.tensor([[-w, -h, w, h], [-32, -32, 32, 32], [-h, -w, h, w]]) / 2
    torch.testing.assert_close(first, expected)


def test_order_is_row_then_column_then_ratio() -> None:
    anchors = _anchors((16.0,), (4,), [2], 8)
    centers = (anchors[:, :2] + anchors[:, 2:]) / 2
    assert centers[::3].tolist() == [[0, 0], [4, 0], [0, 4], [4, 4]]


def test_p6_keeps_its_stride_where_p5_has_an_odd_side() -> None:
    side, grids, sizes, strides = 224, [7, 4], (256.0, 512.0), (32, 64)
    anchors = _anchors(sizes, strides, grids, side)
    on_p6 = anchors[7 * 7 * 3 :]
    assert ((on_p6[3] + on_p6[3].roll(2)) / 2)[:2].tolist() == [64, 0]
    stock = AnchorGenerator(((256,), (512,)), ((0.5, 1.0, 2.0),) * 2)
    images = ImageList(torch.zeros(1, 3, side, side), [(side, side)])
    theirs = stock(images, [torch.zeros(1, 8, g, g) for g in grids])[0][7 * 7 * 3 :]
    assert ((theirs[3] + theirs[3].roll(2)) / 2)[0] == 56  # the deviation that ours is there to avoid


def test_square_anchors_equal_torchvisions() -> None:
    images = ImageList(torch.zeros(1, 3, 64, 64), [(64, 64)])
    maps = [torch.zeros(1, 8, 16, 16), torch.zeros(1, 8, 8, 8)]
    ours = ExactAnchorGenerator((32.0, 64.0), (1.0,), (4, 8))(images, maps)[0]
    theirs = AnchorGenerator(((32,), (64,)), ((1.0,),) * 2)(images, maps)[0]
    assert torch.equal(ours, theirs)


def test_sizes_and_strides_must_pair() -> None:
    with pytest.raises(ValueError, match="1 anchor sizes for 2 strides"):
        ExactAnchorGenerator((32.0,), (1.0,), (4, 8))
