"""Every number of the views' and the colors' recipe at a value that is not its default, and what it does then.

Boxes are xyxy, continuous, in pixels of the photograph or of a view. A window is x, y, w, h in shares of the photo.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from adept_training.data.photometric import Colors, PhotometricRecipe, draw_colors
from adept_training.data.views import Views, ViewsRecipe, draw_views

WIDTH, HEIGHT = 300, 200
IMAGE = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
GRID = np.array([[x, y, x + 40, y + 40] for x in range(0, 260, 50) for y in range(0, 160, 50)], dtype=np.float32)
COLORS = PhotometricRecipe(
    jitter=(0.1, 0.5, 0.3, 0.02), jitter_prob=0.3, gray_prob=0.6, blur_prob=(0.2, 0.9, 0.5), blur_sigma=(0.7, 0.9),
    solarize_prob=(0.7, 0.1, 0.4), cutout_prob=0.9, cutout_ratio=(0.5, 0.6),
)  # fmt: skip


def _views(count: int, proposals: np.ndarray = GRID, **choices: object) -> list[Views]:
    recipe = ViewsRecipe(sizes=(50, 60, 40), **choices)  # type: ignore[arg-type]
    return [draw_views(np.random.default_rng(seed), IMAGE, proposals, recipe) for seed in range(count)]


@pytest.mark.parametrize("mode", ["resize_v2", "independent"])
def test_crops_have_the_area_and_the_ratio_that_are_asked_for(mode: str) -> None:
    views = _views(150, v3_mode=mode, crop_scale=(0.1, 0.2), crop_ratio=(1.5, 2.0), max_tries=1)
    for view in (1, 2):
        windows = np.array([one.windows_35[view] for one in views])
        area, ratio = windows[:, 2] * windows[:, 3], windows[:, 2] * WIDTH / (windows[:, 3] * HEIGHT)
        assert 0.095 < area.min() < 0.115 < 0.185 < area.max() < 0.205
        assert 1.45 < ratio.min() < 1.6 < 1.9 < ratio.max() < 2.05
    same = [np.array_equal(one.windows_35[1, :4], one.windows_35[2, :4]) for one in views]
    assert all(same) if mode == "resize_v2" else not any(same)
    assert all(np.array_equal(one.windows_35[0, :4], [0, 0, 1, 1]) for one in views)


def test_boxes_and_those_that_go_along_are_as_many_as_are_asked_for() -> None:
    for one in _views(10, boxes=7, other_boxes=5):
        assert one.boxes1_S[0].ids_K.shape == one.boxes2.ids_K.shape == (7,)
        drawn, others = set(one.targets1.ids_K.tolist()), set(one.others1.ids_K[one.others1.real_K].tolist())
        assert len(others) == 5
        assert not drawn & others


def test_jitter_moves_by_at_most_its_ratio() -> None:
    moves = []
    for one in _views(60, jitter_prob=1.0, jitter_ratio=0.3, flip=0.0, crop_scale=(0.9, 1.0)):
        clean, moved = one.targets1.boxes_K4, one.boxes1_S[0].boxes_K4
        inside = (clean > 12).all(axis=1) & (clean < 38).all(axis=1)  # not clipped by the view
        moves.append(((moved - clean)[:, :2] / (clean[:, 2:] - clean[:, :2]))[inside])
    moves = np.abs(np.concatenate(moves))
    assert len(moves) > 20
    assert 0.27 < moves.max() < 0.301


def test_views_are_flipped_as_often_as_is_asked_for() -> None:
    flips = np.array([one.windows_35[:, 4] for one in _views(400, flip=0.2)])
    np.testing.assert_allclose(flips.mean(axis=0), [0.2] * 3, atol=0.06)
    assert abs(np.corrcoef(flips.T)[np.triu_indices(3, 1)]).max() < 0.15, "each view on its own"


def test_a_crop_is_drawn_again_until_enough_boxes_are_common() -> None:
    """One small box in a corner: a single crop of a tenth of the area misses it nine times in ten."""
    corner = np.array([[0, 0, 30, 30], [270, 170, 300, 200]], dtype=np.float32)
    missed = {
        tries: sum(not one.boxes2.real_K.any() for one in _views(120, corner, crop_scale=(0.1, 0.1), max_tries=tries))
        for tries in (1, 10, 80)
    }
    assert missed[1] > missed[10] + 20 > missed[80] + 40
    assert missed[80] < 8


def test_half_of_the_boxes_are_asked_for_at_first_and_one_in_the_end() -> None:
    """Four boxes, three of them in the left third: with many tries two are common more often than in a single crop."""
    left = np.array([[5, 5, 30, 60], [10, 70, 40, 130], [5, 140, 35, 195], [280, 90, 299, 110]], dtype=np.float32)
    both = [sum(one.boxes2.real_K.sum() >= 2 for one in _views(150, left, crop_scale=(0.15, 0.15), max_tries=tries))
            for tries in (1, 2)]  # fmt: skip
    assert both[1] > both[0] + 15
    # In the end a crop with a single box is taken: it does not fail where two are never common.
    far = np.array([[0, 0, 20, 20], [280, 180, 300, 200]], dtype=np.float32)
    views = _views(60, far, crop_scale=(0.3, 0.3), max_tries=80)
    assert sum(int(one.boxes2.real_K.sum()) == 1 for one in views) > 50


@pytest.fixture(scope="module")
def colors() -> list[list[Colors]]:
    """A thousand draws of each view, with one box of 40 x 40."""
    rng, boxes = np.random.default_rng(0), np.array([[20, 20, 60, 60]], np.float32)
    return [[draw_colors(rng, COLORS, view, boxes, 100) for _ in range(1000)] for view in range(3)]


def test_colors_follow_every_number_of_their_recipe(colors: list[list[Colors]]) -> None:
    for view, (blur, solarize) in enumerate(((0.2, 0.7), (0.9, 0.1), (0.5, 0.4))):
        drawn = colors[view]
        assert np.mean([c.gray for c in drawn]) == pytest.approx(0.6, abs=0.05)
        sigma = np.array([c.sigma for c in drawn])
        assert (sigma > 0).mean() == pytest.approx(blur, abs=0.05)
        np.testing.assert_allclose([sigma[sigma > 0].min(), sigma.max()], [0.7, 0.9], atol=0.01)
        assert np.mean([c.solarize for c in drawn]) == pytest.approx(solarize, abs=0.05)
        factors = np.array([c.factors_4 for c in drawn])
        jittered = (factors != [1, 1, 1, 0]).any(axis=1)
        assert jittered.mean() == pytest.approx(0.3, abs=0.05)
        np.testing.assert_allclose(factors[jittered].min(axis=0), [0.9, 0.5, 0.7, -0.02], atol=0.02)
        np.testing.assert_allclose(factors[jittered].max(axis=0), [1.1, 1.5, 1.3, 0.02], atol=0.02)


def test_the_four_changes_come_in_every_order_alike(colors: list[list[Colors]]) -> None:
    """Of 1,000 draws each of the 24 orders has 42, with a standard deviation of 6.3."""
    for drawn in colors:
        orders = [tuple(np.asarray(c.order_4).tolist()) for c in drawn]
        counts = [orders.count(order) for order in itertools.permutations(range(4))]
        assert sum(counts) == 1000
        assert min(counts) > 17
        assert max(counts) < 67


def test_holes_are_as_many_and_as_large_as_is_asked_for(colors: list[list[Colors]]) -> None:
    assert not any(np.asarray(c.holes_K4).any() for c in colors[0]), "V1 has none"
    for drawn in colors[1:]:
        holes = np.concatenate([np.asarray(c.holes_K4) for c in drawn])
        side = holes[:, 2] - holes[:, 0]
        assert (side > 0).mean() == pytest.approx(0.9, abs=0.04)
        # sqrt(.5 to .6) of 40 px, to whole pixels and an odd side.
        assert {27.0, 29.0, 31.0} >= set(side[side > 0].tolist())
        middle = (holes[side > 0, :2] + holes[side > 0, 2:]) / 2
        assert middle.min() >= 20
        assert middle.max() <= 60.5
