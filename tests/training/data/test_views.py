"""Views of synthetic photographs with drawn boxes: where a box is drawn, there its pixels must be.

Boxes are xyxy, continuous, right and bottom edges exclusive.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import RandomResizedCrop

from adept_training.data.views import ViewsRecipe, Window, draw_views, random_crop

RECIPE = ViewsRecipe(jitter_prob=0.0)
WIDTH, HEIGHT = 400, 300
INDEPENDENT = dataclasses.replace(RECIPE, v3_mode="independent")
SEPARATE = dataclasses.replace(INDEPENDENT, box_sets="separate")


def _photograph(boxes: np.ndarray) -> np.ndarray:
    """Black, with each box filled in a color of its own."""
    image = np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8)
    for i, (x1, y1, x2, y2) in enumerate(boxes.astype(int)):
        image[y1:y2, x1:x2] = COLORS[i]
    return image


# No mixture of one of these with black is near another, so that each color tells its box wherever pixels are blended.
COLORS = np.array([[250, 0, 0], [0, 250, 0], [0, 0, 250], [250, 250, 250]], dtype=np.uint8)
BOXES = np.array([[20, 20, 160, 120], [200, 30, 380, 130], [30, 150, 180, 280], [220, 160, 390, 290]], dtype=np.float32)


def _drawn_box(pixels: np.ndarray, row: int) -> list[float] | None:
    rows, columns = np.nonzero(((pixels > 125) == (COLORS[row] > 125)).all(axis=2))
    if len(rows) < 30:
        return None
    return [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


@pytest.mark.parametrize("recipe", [RECIPE, INDEPENDENT, SEPARATE], ids=["resize_v2", "independent", "separate"])
@pytest.mark.parametrize("seed", range(8))
def test_boxes_lie_where_their_pixels_lie(recipe: ViewsRecipe, seed: int) -> None:
    views = draw_views(np.random.default_rng(seed), _photograph(BOXES), BOXES, recipe)
    assert [p.shape for p in views.pixels] == [(224, 224, 3), (224, 224, 3), (112, 112, 3)]
    checked = 0
    sets = [(views.pixels[0], s) for s in views.boxes1_S]
    sets += [(views.pixels[1], views.boxes2), (views.pixels[2], views.boxes3), (views.pixels[0], views.targets1)]
    for pixels, boxes in sets:
        for box, row in zip(boxes.boxes_K4, boxes.ids_K, strict=True):
            drawn = _drawn_box(pixels, int(row))
            if drawn is None:
                assert min(box[2] - box[0], box[3] - box[1]) < 10, "a large box without pixels"
                continue
            np.testing.assert_allclose(box, drawn, atol=1.01)
            checked += 1
    assert checked >= 8


def test_the_first_view_is_the_whole_photograph_squashed() -> None:
    image = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    recipe = dataclasses.replace(RECIPE, flip=0.0)
    views = draw_views(np.random.default_rng(0), image, BOXES, recipe)
    expected = np.asarray(Image.fromarray(image).resize((224, 224), Image.Resampling.BILINEAR))
    assert np.array_equal(views.pixels[0], expected)
    by_id = {int(i): b for i, b in zip(views.targets1.ids_K, views.targets1.boxes_K4, strict=True)}
    np.testing.assert_allclose(by_id[1], [200 * 0.56, 30 * 224 / 300, 380 * 0.56, 130 * 224 / 300], rtol=1e-6)


def test_a_flip_mirrors_pixels_and_boxes() -> None:
    image = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    plain = draw_views(np.random.default_rng(1), image, BOXES, dataclasses.replace(RECIPE, flip=0.0))
    flipped = draw_views(np.random.default_rng(1), image, BOXES, dataclasses.replace(RECIPE, flip=1.0))
    for a, b in zip(plain.pixels, flipped.pixels, strict=True):
        assert np.array_equal(a[:, ::-1], b)
    for a, b, size in ((plain.boxes2, flipped.boxes2, 224), (plain.boxes3, flipped.boxes3, 112)):
        np.testing.assert_allclose(b.boxes_K4[:, 0], size - a.boxes_K4[:, 2], atol=1e-4)
        np.testing.assert_allclose(b.boxes_K4[:, 2], size - a.boxes_K4[:, 0], atol=1e-4)
        assert np.array_equal(a.boxes_K4[:, 1::2], b.boxes_K4[:, 1::2])


def test_the_papers_third_view_is_the_second_made_smaller() -> None:
    recipe = dataclasses.replace(RECIPE, flip=0.0)
    views = draw_views(np.random.default_rng(3), _photograph(BOXES), BOXES, recipe)
    np.testing.assert_allclose(views.boxes3.boxes_K4, views.boxes2.boxes_K4 / 2, atol=1e-4)
    small = np.asarray(Image.fromarray(views.pixels[1]).resize((112, 112), Image.Resampling.BILINEAR))
    assert np.array_equal(views.pixels[2], small)


def test_a_window_projects_and_clips_by_hand() -> None:
    window = Window(x=100, y=50, w=200, h=100, size=50, flip=False)
    boxes = np.array(
        [[100, 50, 300, 150], [150, 75, 200, 100], [0, 0, 150, 75], [290, 140, 500, 500]], dtype=np.float32
    )
    expected = [[0, 0, 50, 50], [12.5, 12.5, 25, 25], [0, 0, 12.5, 12.5], [47.5, 45, 50, 50]]
    np.testing.assert_allclose(window.project(boxes), expected)
    np.testing.assert_allclose(window._replace(flip=True).project(boxes)[1], [25, 12.5, 37.5, 25])


def test_a_box_that_only_touches_the_window_is_not_in_it() -> None:
    window = Window(x=100, y=50, w=200, h=100, size=50, flip=False)
    boxes = np.array([[0, 0, 100, 200], [0, 0, 100.5, 200], [300, 60, 400, 70], [120, 149, 130, 400]], dtype=np.float32)
    assert window.overlaps(boxes).tolist() == [False, True, False, True]


def test_boxes_are_drawn_without_replacement_and_shared() -> None:
    many = np.random.default_rng(0).uniform(0, 150, (40, 2))
    boxes = np.concatenate([many, many + 140], axis=1).astype(np.float32)
    views = draw_views(np.random.default_rng(0), np.zeros((HEIGHT, WIDTH, 3), np.uint8), boxes, RECIPE)
    ids = views.boxes1_S[0].ids_K
    assert len(set(ids.tolist())) == 4
    assert views.boxes1_S[0].real_K.all()
    assert np.array_equal(ids, views.boxes2.ids_K)
    assert np.array_equal(ids, views.boxes3.ids_K)
    both = draw_views(np.random.default_rng(0), np.zeros((HEIGHT, WIDTH, 3), np.uint8), boxes, SEPARATE)
    assert len(both.boxes1_S) == 2
    assert np.array_equal(both.boxes1_S[0].ids_K, both.boxes2.ids_K)
    assert np.array_equal(both.boxes1_S[1].ids_K, both.boxes3.ids_K)
    assert not np.array_equal(both.boxes2.ids_K, both.boxes3.ids_K)
    for drawn in (views, both):  # the RPN's targets are those of V1 and V2, and no other box is drawn
        assert np.array_equal(drawn.targets1.ids_K, drawn.boxes2.ids_K)
    rest = dataclasses.replace(SEPARATE, other_boxes=40)
    others = draw_views(np.random.default_rng(0), np.zeros((HEIGHT, WIDTH, 3), np.uint8), boxes, rest)
    left = set(others.others1.ids_K[others.others1.real_K].tolist())
    assert left == set(range(40)) - set(others.boxes1_S[0].ids_K.tolist())


def test_boxes_that_views_share_are_seen_by_both_crops() -> None:
    """Small crops of their own, far apart as often as not: with shared sets a box lies in both, else in its own."""
    small = {"crop_scale": (0.2, 0.3), "max_tries": 1}
    apart = 0
    for seed in range(60):
        for recipe in (INDEPENDENT, SEPARATE):
            views = draw_views(
                np.random.default_rng(seed), _photograph(BOXES), BOXES, dataclasses.replace(recipe, **small)
            )
            seen = []
            for window in views.windows_35[1:]:
                x, y, w, h = (window[:4] * [WIDTH, HEIGHT, WIDTH, HEIGHT]).round().tolist()  # whole pixels
                seen.append({row for row, (x1, y1, x2, y2) in enumerate(BOXES.tolist())
                             if x1 < x + w and x2 > x and y1 < y + h and y2 > y})  # fmt: skip
            wanted = seen if recipe is SEPARATE else [seen[0] & seen[1]] * 2
            apart += seen[0] != seen[1]
            for boxes, expected in zip((views.boxes2, views.boxes3), wanted, strict=True):
                assert set(boxes.ids_K[boxes.real_K].tolist()) == expected
    assert apart > 60


def test_crops_are_drawn_again_until_each_has_boxes_of_its_own() -> None:
    recipe = dataclasses.replace(SEPARATE, crop_scale=(0.1, 0.15), max_tries=300)
    corner = BOXES[:1]
    for seed in range(30):
        views = draw_views(np.random.default_rng(seed), _photograph(corner), corner, recipe)
        assert (views.boxes2.real_K.sum(), views.boxes3.real_K.sum()) == (1, 1)


def test_too_few_boxes_are_filled_up_and_marked() -> None:
    views = draw_views(np.random.default_rng(0), _photograph(BOXES[:1]), BOXES[:1], RECIPE)
    assert views.boxes2.ids_K.tolist() == [0, 0, 0, 0]
    assert views.targets1.real_K.tolist() == [True, False, False, False]


@pytest.mark.parametrize("boxes", [np.zeros((0, 4)), [[0, 0, WIDTH, HEIGHT]]], ids=["none", "whole"])
def test_a_photograph_without_boxes_gives_whole_views_that_are_no_targets(boxes: object) -> None:
    views = draw_views(
        np.random.default_rng(0), _photograph(BOXES), np.array(boxes, dtype=np.float32).reshape(-1, 4), RECIPE
    )
    assert not views.targets1.real_K.any()
    np.testing.assert_allclose(views.boxes1_S[0].boxes_K4, [[0, 0, 224, 224]] * 4)
    np.testing.assert_allclose(views.boxes2.boxes_K4, [[0, 0, 224, 224]] * 4)
    assert np.array_equal(views.boxes1_S[0].ids_K, views.boxes2.ids_K), "they are still a pair"


def test_a_box_as_wide_or_as_high_as_the_photograph_is_still_an_object() -> None:
    boxes = np.array([[0, 40, WIDTH, 200], [50, 0, 250, HEIGHT], [0.4, 0.4, WIDTH - 0.4, HEIGHT - 0.4]], np.float32)
    views = draw_views(np.random.default_rng(0), _photograph(BOXES), boxes, dataclasses.replace(RECIPE, boxes=3))
    real = dict(zip(views.targets1.ids_K.tolist(), views.targets1.real_K.tolist(), strict=True))
    assert real == {0: True, 1: True, 2: False}


def test_jitter_moves_the_first_view_alone_by_at_most_a_tenth() -> None:
    recipe = dataclasses.replace(RECIPE, jitter_prob=1.0, flip=0.0)
    moved = 0
    for seed in range(20):
        views = draw_views(np.random.default_rng(seed), _photograph(BOXES), BOXES, recipe)
        scale = np.array([224 / WIDTH, 224 / HEIGHT] * 2)
        clean = BOXES[views.targets1.ids_K] * scale
        np.testing.assert_allclose(views.targets1.boxes_K4, clean, rtol=1e-5)
        jittered, wh = views.boxes1_S[0].boxes_K4, clean[:, 2:] - clean[:, :2]
        assert (np.abs(jittered[:, :2] - clean[:, :2]) <= 0.1 * wh + 1e-3).all()
        assert (np.abs(jittered[:, 2:] - clean[:, 2:]) <= 0.2 * wh + 1e-3).all()
        moved += int((np.abs(jittered - clean).max(axis=1) > 0.1).sum())
    assert moved > 70
    half = dataclasses.replace(recipe, jitter_prob=0.5)
    still = 0
    for seed in range(50):
        views = draw_views(np.random.default_rng(seed), _photograph(BOXES), BOXES, half)
        still += int((views.boxes1_S[0].boxes_K4 == views.targets1.boxes_K4).all(axis=1).sum())
    assert 70 < still < 130


def test_jitter_stretches_width_and_height_apart() -> None:
    recipe = dataclasses.replace(RECIPE, jitter_prob=1.0, flip=0.0)
    inner = np.array([[150, 100, 250, 180]], dtype=np.float32)  # the jitter cannot reach the photograph's edges
    stretched = []
    for seed in range(200):
        x1, y1, x2, y2 = (
            draw_views(np.random.default_rng(seed), _photograph(inner), inner, recipe).boxes1_S[0].boxes_K4[0]
        )
        stretched.append([(x2 - x1) / 224 * WIDTH / 100 - 1, (y2 - y1) / 224 * HEIGHT / 80 - 1])
    factors = np.array(stretched)
    assert np.abs(factors).max(axis=0) == pytest.approx([0.1, 0.1], abs=0.01)
    assert abs(np.corrcoef(factors.T)[0, 1]) < 0.25  # three standard errors of independent draws are 0.21


def test_every_view_draws_a_flip_of_its_own() -> None:
    image = _photograph(BOXES)
    seen = {
        tuple(draw_views(np.random.default_rng(seed), image, BOXES, INDEPENDENT).windows_35[:, 4]) for seed in range(60)
    }
    assert len(seen) == 8


def test_random_crops_follow_torchvisions_law() -> None:
    rng = np.random.default_rng(0)
    crops = np.array([random_crop(rng, (WIDTH, HEIGHT), (0.5, 1.0), (3 / 4, 4 / 3)) for _ in range(1500)])
    x, y, w, h = crops.T
    assert (x >= 0).all()
    assert (y >= 0).all()
    assert (x + w <= WIDTH).all()
    assert (y + h <= HEIGHT).all()
    import torch
    from torchvision.transforms import RandomResizedCrop

    torch.manual_seed(0)
    image = torch.zeros(3, HEIGHT, WIDTH)
    theirs = np.array([RandomResizedCrop.get_params(image, [0.5, 1.0], [3 / 4, 4 / 3]) for _ in range(1500)])
    for ours_column, theirs_column in ((x, 1), (y, 0), (w, 3), (h, 2)):
        for share in (10, 50, 90):
            expected = np.percentile(theirs[:, theirs_column], share)
            assert abs(np.percentile(ours_column, share) - expected) < 0.03 * WIDTH
    narrow = random_crop(rng, (1000, 20), (0.5, 1.0), (3 / 4, 4 / 3))
    assert narrow == (486, 0, 27, 20), "torchvision's central crop where none fits"


def test_a_sample_is_a_function_of_its_generator() -> None:
    a, b = (draw_views(np.random.default_rng([1, 2]), _photograph(BOXES), BOXES, ViewsRecipe()) for _ in range(2))
    assert all(np.array_equal(p, q) for p, q in zip(a.pixels, b.pixels, strict=True))
    assert np.array_equal(a.boxes1_S[0].boxes_K4, b.boxes1_S[0].boxes_K4)


@pytest.mark.parametrize(("size", "crop"), [((10, 1000), (0, 491, 10, 17)), ((1000, 10), (492, 0, 15, 10))])
def test_a_photograph_of_no_fitting_shape_gives_its_middle(
    size: tuple[int, int], crop: tuple[int, int, int, int]
) -> None:
    """No crop of nearly all of it has a ratio between 0.6 and 1.5; torchvision's fallback is in the middle, too."""
    ratio = (0.6, 1.5)
    assert random_crop(np.random.default_rng(3), size, (0.9, 1.0), ratio) == crop
    image = torch.zeros(1, size[1], size[0])
    y, x, h, w = RandomResizedCrop.get_params(image, [0.9, 1.0], list(ratio))
    assert (x, y, w, h) == crop
