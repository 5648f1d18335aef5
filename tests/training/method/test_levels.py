"""Levels by hand, and RoIAlign on maps whose values are known.

Legend: N images, K boxes, L levels, C channels.
"""

from __future__ import annotations

import pytest
import torch

from adept_hub.spec import LevelSpec
from adept_training.method.levels import assign_levels, pool_assigned, pool_everywhere


@pytest.mark.parametrize(
    ("width", "height", "level"),
    [
        (48.0, 48.0, 0),  # at most 48 -> P2
        (48.1, 48.0, 1),
        (96.0, 96.0, 1),
        (24.0, 192.0, 1),  # sqrt(24 * 192) = 67.9
        (97.0, 96.0, 2),
        (192.0, 192.0, 2),
        (200.0, 200.0, 3),
        (224.0, 224.0, 3),
        (600.0, 600.0, 3),  # the last level is open
        (0.0, 50.0, 0),
    ],
)
def test_a_box_belongs_to_the_first_level_that_is_large_enough(width: float, height: float, level: int) -> None:
    boxes = torch.tensor([[[5.0, 7.0, 5.0 + width, 7.0 + height]]])
    assert assign_levels(boxes, LevelSpec()).tolist() == [[level]]


def test_levels_follow_the_pixels_of_the_view_not_of_the_photograph() -> None:
    box = torch.tensor([[[0.0, 0.0, 100.0, 100.0]]])
    assert assign_levels(box, LevelSpec()).item() == 2
    assert assign_levels(box / 2, LevelSpec()).item() == 1, "the same object in a view of half the size"


def _pyramid(view: int, images: int) -> list[torch.Tensor]:
    """Maps that hold, at each place, image * 1000 + level * 100 + the x coordinate of its center as a share of 10."""
    maps = []
    for level, stride in enumerate((4, 8, 16, 32)):
        side = -(-view // stride)
        x = (torch.arange(side) + 0.5) / side * 10
        image = torch.arange(images)[:, None, None, None] * 1000.0
        maps.append((image + level * 100 + x).expand(images, 1, side, side).clone())
    return maps


def test_each_box_is_pooled_from_its_own_level_and_image_in_order() -> None:
    boxes = torch.tensor(
        [
            [[100.0, 100.0, 140.0, 140.0], [20.0, 20.0, 220.0, 220.0]],
            [[60.0, 60.0, 140.0, 140.0], [20.0, 20.0, 180.0, 180.0]],
        ]
    )
    levels = assign_levels(boxes, LevelSpec())
    assert levels.tolist() == [[0, 3], [1, 2]]
    pooled = pool_assigned(_pyramid(224, 2), boxes, levels, 224)
    assert pooled.shape == (4, 1, 7, 7)
    # The map is linear in x, so the mean over a box (away from the border) is its center's value.
    expected = [0 + 0 + 120 / 22.4, 0 + 300 + 120 / 22.4, 1000 + 100 + 100 / 22.4, 1000 + 200 + 100 / 22.4]
    torch.testing.assert_close(pooled.mean(dim=(1, 2, 3)), torch.tensor(expected), atol=0.02, rtol=0)


def test_boxes_scale_by_map_size_where_the_view_is_no_multiple_of_the_stride() -> None:
    """112 / 32 = 3.5, the map has 4 places: the whole view must cover all four, not 3.5 of them."""
    pyramid = _pyramid(112, 1)
    assert pyramid[3].shape[-1] == 4
    whole = torch.tensor([[[0.0, 0.0, 112.0, 112.0]]])
    pooled = pool_assigned(pyramid, whole, torch.tensor([[3]]), 112)
    assert pooled.mean().item() == pytest.approx(305.0, abs=1e-3)


def test_a_level_without_boxes_still_has_a_gradient() -> None:
    feats = [f.requires_grad_() for f in _pyramid(64, 1)]
    boxes = torch.tensor([[[0.0, 0.0, 30.0, 30.0]]])
    pool_assigned(feats, boxes, assign_levels(boxes, LevelSpec()), 64).sum().backward()
    assert all(f.grad is not None for f in feats)
    assert feats[0].grad is not None
    assert feats[0].grad.abs().sum() > 0
    assert all(f.grad is not None and f.grad.abs().sum() == 0 for f in feats[1:])


def test_everywhere_pools_every_box_from_every_level() -> None:
    boxes = torch.tensor([[[60.0, 60.0, 140.0, 140.0], [20.0, 20.0, 180.0, 180.0]]])
    levels = assign_levels(boxes, LevelSpec())
    pyramid = _pyramid(224, 1)
    everywhere = pool_everywhere(pyramid, boxes, 224)
    own = pool_assigned(pyramid, boxes, levels, 224)
    assert [p.shape for p in everywhere] == [(2, 1, 7, 7)] * 4
    for k, level in enumerate(levels[0].tolist()):
        torch.testing.assert_close(everywhere[level][k], own[k])
