"""The description of a box against pixels whose colors and gradients are known, and against a slow one."""

from __future__ import annotations

import math

import cv2
import numpy as np

from adept_training.method.pseudo_classes.describe import BINS, CELLS, FEATURES, SIDE, describe, describe_boxes


def _slow(pixels_HW3: np.ndarray) -> list[float]:
    """Describe pixel by pixel, with Sobel's filter and the reflected border written out."""
    lab = cv2.cvtColor(cv2.resize(pixels_HW3, (32, 32)), cv2.COLOR_RGB2LAB).astype(float)
    light, histogram = np.pad(lab[:, :, 0], 1, mode="reflect"), np.zeros((4, 4, 8))
    for y in range(32):
        for x in range(32):
            near = light[y : y + 3, x : x + 3]
            dx = (near[:, 2] - near[:, 0]) @ [1, 2, 1]
            dy = (near[2] - near[0]) @ [1, 2, 1]
            turn = math.atan2(dy, dx) % math.pi / math.pi
            histogram[y // 8, x // 8, min(int(turn * 8), 7)] += math.hypot(dx, dy)
    colors = [lab[:, :, c] / 255 for c in range(3)]
    return [*(c.mean() for c in colors), *(c.std() for c in colors), *(histogram / np.sqrt((histogram**2).sum())).flat]


def test_it_is_that_of_a_slow_walk_over_pixels() -> None:
    coarse = np.random.default_rng(1).integers(0, 256, (7, 5, 3), dtype=np.uint8)
    pixels = cv2.resize(coarse, (41, 53), interpolation=cv2.INTER_CUBIC)
    np.testing.assert_allclose(describe(pixels), _slow(pixels), atol=1e-5)


def test_stripes_have_one_direction_and_a_plain_box_has_none() -> None:
    plain = np.full((20, 20, 3), (255, 0, 0), np.uint8)
    np.testing.assert_allclose(describe(plain)[3:], 0, atol=1e-5)
    shades = np.arange(SIDE, dtype=np.uint8) * 7
    across, down = np.repeat(shades[None], SIDE, 0), np.repeat(shades[:, None], SIDE, 1)
    for gray, direction in ((across, 0), (down, BINS // 2)):
        histogram = describe(np.repeat(gray[:, :, None], 3, 2))[6:].reshape(CELLS, CELLS, BINS)
        assert np.linalg.norm(histogram[:, :, direction]) > 0.999


def test_boxes_are_found_in_an_image_that_was_resized() -> None:
    rng = np.random.default_rng(2)
    image = cv2.resize(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8), (160, 120), interpolation=cv2.INTER_NEAREST)
    boxes = np.array([[20, 20, 60, 80], [100, 40, 140, 60], [155.5, 119.5, 160, 120]], np.float32)
    whole = describe_boxes(image, boxes, (160, 120))
    half = describe_boxes(cv2.resize(image, (80, 60), interpolation=cv2.INTER_AREA), boxes, (160, 120))
    assert whole.shape == (3, FEATURES)
    np.testing.assert_allclose(whole[:2, :3], half[:2, :3], atol=0.02)
    np.testing.assert_allclose(whole[0, :-2], describe(image[20:80, 20:60]))
    np.testing.assert_allclose(whole[:, -2:], half[:, -2:])
    np.testing.assert_allclose(whole[0, -2:], np.log([40 / 160, 60 / 120]), rtol=1e-6)
    assert np.isfinite(whole).all()


def test_a_cached_image_is_a_square() -> None:
    """Half as wide and twice as high as the image itself: x and y are scaled apart."""
    square = np.zeros((80, 40, 3), np.uint8)
    square[10:30, 30:40] = (200, 30, 30)
    (row,) = describe_boxes(square, np.array([[60, 5, 80, 15]], np.float32), (80, 40))
    np.testing.assert_allclose(row[:-2], describe(square[10:30, 30:40]))
