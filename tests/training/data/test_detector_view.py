"""The one view of a detector: its crop, the boxes that it shows, and those that are neither objects nor background."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from adept_training.data.cache import write_cache
from adept_training.data.cuts import detector_pixels
from adept_training.data.detector_view import DetectorSamples, draw_window, show_boxes
from adept_training.data.loader import Order, Steps, make_loader
from adept_training.data.views import ViewsRecipe, Window
from adept_training.images import open_images
from tests.training.support import RandomBoxes, tiny_detection, write_photographs

RECIPE = ViewsRecipe(sizes=(80, 40, 40), boxes=5, other_boxes=2)
SIZE = (96, 80)
#: A window of 40 x 20 pixels, enlarged to 80 x 80.
WINDOW = Window(10, 20, 40, 20, 80, False)
BOXES = np.array(
    [
        [20, 25, 30, 35],  # inside
        [0, 0, 96, 80],  # the whole image
        [0, 20, 20, 40],  # half of it is visible
        [0, 20, 19, 40],  # less than half
        [60, 50, 90, 70],  # outside
        [30, 20, 50, 40],  # inside, but beyond the best five
        [45, 30, 60, 50],  # the same, cut
        [12, 22, 20, 30],  # beyond the others too
    ],
    np.float32,
)


@pytest.mark.parametrize("flip", [False, True])
def test_boxes_of_a_window_worked_by_hand(flip: bool) -> None:
    objects, others = show_boxes(WINDOW._replace(flip=flip), BOXES, SIZE, RECIPE)
    expected = {0: [20, 20, 40, 60], 2: [0, 0, 20, 80]}
    beside = {3: [0, 0, 18, 80], 5: [40, 0, 80, 80], 6: [70, 40, 80, 80]}
    for found, wanted, count in ((objects, expected, 5), (others, beside, 7)):
        assert found.ids_K.tolist() == list(range(count))
        assert np.flatnonzero(found.real_K).tolist() == list(wanted)
        for rank, (x1, y1, x2, y2) in wanted.items():
            box = [80 - x2, y1, 80 - x1, y2] if flip else [x1, y1, x2, y2]
            np.testing.assert_allclose(found.boxes_K4[rank], box, atol=1e-4)
        rest = [rank for rank in range(count) if rank not in wanted]
        assert (found.boxes_K4[rest] == [0, 0, 80, 80]).all()


def test_an_image_without_boxes_has_no_objects() -> None:
    objects, others = show_boxes(WINDOW, BOXES[:0], SIZE, RECIPE)
    assert not objects.real_K.any()
    assert not others.real_K.any()


def test_windows_vary_in_scale_and_are_mirrored_half_of_the_time() -> None:
    windows = [draw_window(np.random.default_rng(i), (200, 150), RECIPE) for i in range(400)]
    shares = np.array([w.w * w.h / (200 * 150) for w in windows])
    assert 0.49 < shares.min() < 0.55
    assert 0.85 < shares.max() <= 1
    assert 160 < sum(w.flip for w in windows) < 240
    assert {w.size for w in windows} == {80}


def test_boxes_lie_where_their_pixels_lie(tmp_path: Path) -> None:
    image = np.zeros((80, 96, 3), np.uint8)
    box = np.array([[30, 20, 62, 60]], np.float32)
    image[20:60, 30:62] = 255
    (tmp_path / "photographs").mkdir()
    Image.fromarray(image).save(tmp_path / "photographs" / "one.png")
    source = open_images(tmp_path / "photographs")

    class _One:
        def boxes(self, _: str) -> np.ndarray:
            return box

    recipe = tiny_detection("views.sizes=[128,32,32]", "views.boxes=2")
    samples = DetectorSamples(source, _One(), ("one.png",), recipe.views, recipe.colors, 0)
    checked = 0
    for epoch in range(20):
        sample = samples[epoch, 0]
        if not sample.objects.real_NK[0]:
            continue
        rows, columns = np.nonzero(sample.view.pixels_NHWC[..., 0] > 127)
        drawn = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        np.testing.assert_allclose(sample.objects.boxes_NK4[0], drawn, atol=1.5)
        checked += 1
    assert checked > 10


def test_samples_do_not_depend_on_workers_and_are_cut_from_the_cache_at_the_same_window(tmp_path: Path) -> None:
    source, recipe = write_photographs(tmp_path / "photographs", 6), tiny_detection()
    keys = tuple(source.keys())
    plain = DetectorSamples(source, RandomBoxes(), keys, recipe.views, recipe.colors, 3)
    cache = write_cache(tmp_path / "cache", source, keys, 74, 0)
    cached = DetectorSamples(source, RandomBoxes(), keys, recipe.views, recipe.colors, 3, cache)
    steps = Steps(Order(6, 6, 1), 1, 2)
    one, two, other = (
        next(iter(make_loader(samples, steps, workers))) for samples, workers in ((plain, 0), (plain, 1), (cached, 0))
    )
    for field in ("objects", "others"):
        for a, b, c in zip(getattr(one, field), getattr(two, field), getattr(other, field), strict=True):
            assert torch.equal(a, b)
            assert torch.equal(a, c)
    assert torch.equal(one.view.pixels_NHWC, two.view.pixels_NHWC)
    assert torch.equal(one.seed_N, other.seed_N)
    pixels = detector_pixels(one, 64).float()
    assert pixels.shape == (6, 64, 64, 3)
    assert (pixels - detector_pixels(other, 64)).abs().mean() < 6
    assert (pixels - detector_pixels(other, 64).flip(2)).abs().mean() > 20
    assert one.objects.real_NK.any(dim=1).all()


def test_an_image_that_replaces_another_keeps_its_own_number(tmp_path: Path) -> None:
    """Its pseudo-classes are looked up by the number."""
    source, recipe = write_photographs(tmp_path / "photographs", 6), tiny_detection()
    samples = DetectorSamples(source, RandomBoxes(), tuple(source.keys()), recipe.views, recipe.colors, 3)
    (tmp_path / "photographs" / "004.png").write_bytes(b"torn")
    assert [(bool(samples[2, i].replaced_N), int(samples[2, i].image_N)) for i in (3, 4, 5)] == [
        (False, 3), (True, 5), (False, 5),
    ]  # fmt: skip
