"""Holes by hand, the four numbers that move and stretch a box, and which crops are drawn again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import adept_training.data.views as views
from adept_training.data.photometric import _draw_holes
from adept_training.data.views import _jitter
from tests.training.support import tiny


@pytest.mark.parametrize(("side", "expected"), [(40, 21), (42, 21), (44, 23), (38, 19)])
def test_a_hole_has_its_center_and_as_much_on_either_side(side: int, expected: int) -> None:
    """A quarter of the area is half of the side s: the hole is 2 (round(s / 2) // 2) + 1 wide."""
    recipe = replace(tiny().colors, cutout_prob=1.0, cutout_ratio=(0.25, 0.25))
    boxes_K4 = np.tile(np.array([[200, 200, 200 + side, 200 + side]], np.float32), (50, 1))
    holes_K4 = _draw_holes(np.random.default_rng(0), recipe, boxes_K4, 500)
    assert set((holes_K4[:, 2:] - holes_K4[:, :2]).ravel().tolist()) == {expected}
    center_K2 = holes_K4[:, :2] + expected // 2
    assert ((center_K2 >= 200) & (center_K2 < 200 + side)).all()
    assert len(np.unique(center_K2, axis=0)) > 40


def test_moves_and_stretches_are_independent() -> None:
    recipe = replace(tiny().views, jitter_prob=1.0, jitter_ratio=0.1)
    boxes_M4 = np.tile(np.array([[100.0, 200.0, 150.0, 280.0]], np.float32), (4000, 1))
    found_M4 = _jitter(np.random.default_rng(0), boxes_M4, recipe).astype(np.float64)
    width_M, height_M = found_M4[:, 2] - found_M4[:, 0], found_M4[:, 3] - found_M4[:, 1]
    moves_4M = np.stack(
        [(found_M4[:, 0] - 100) / 50, (found_M4[:, 1] - 200) / 80, width_M / 50 - 1, height_M / 80 - 1]
    )  # fmt: skip
    assert np.abs(moves_4M).max() < 0.1001
    np.testing.assert_allclose(moves_4M.std(axis=1), 0.1 / 3**0.5, rtol=0.05)
    np.testing.assert_allclose(np.corrcoef(moves_4M), np.eye(4), atol=0.08)


@pytest.mark.parametrize(("seen", "tries"), [((1, 6), 2), ((4, 6), 1), ((1, 2), 2), ((1, 1, 1), 3)])
def test_a_crop_with_too_few_boxes_is_drawn_again(
    seen: tuple[int, ...], tries: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of eight boxes wanted half must be seen at first, a quarter in the second crop, and one from the third on."""
    corners = np.stack([np.arange(6) * 20.0, np.zeros(6)], axis=1)
    boxes_M4 = np.concatenate([corners, corners + 18], axis=1).astype(np.float32)
    crops = iter([(0, 0, 20 * count, 100) for count in seen])
    drawn: list[tuple[int, int, int, int]] = []
    monkeypatch.setattr(views, "random_crop", lambda *_: drawn.append(next(crops)) or drawn[-1])
    recipe = replace(tiny().views, boxes=8, max_tries=5, v3_mode="resize_v2", box_sets="shared")
    views._draw_windows(np.random.default_rng(0), (120, 100), boxes_M4, None, recipe)
    assert len(drawn) == tries
