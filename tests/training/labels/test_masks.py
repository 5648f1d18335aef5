"""Segmentations that pycocotools would crash on, hang on or fill with memory are named before it sees them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from pycocotools import mask as mask_api

from adept_training.labels.masks import decompress, mask_fault
from adept_training.metrics.detections import to_rle

WIDTH, HEIGHT = 23, 17


def runs_of(mask_HW: np.ndarray) -> list[int]:
    """Run lengths in columns, zeros first: the slow way."""
    runs, value = [0], 0
    for pixel in mask_HW.T.reshape(-1).tolist():
        if pixel != value:
            runs.append(0)
            value = pixel
        runs[-1] += 1
    return runs


def compressed(mask_HW: np.ndarray) -> str:
    return mask_api.encode(np.asfortranarray(mask_HW))["counts"].decode()


@pytest.mark.parametrize("density", [0.0, 0.02, 0.5, 0.97, 1.0])
def test_compressed_counts_are_those_that_pycocotools_wrote(density: float) -> None:
    rng = np.random.default_rng(int(100 * density))
    for _ in range(20):
        mask_HW = (rng.random((HEIGHT, WIDTH)) < density).astype(np.uint8)
        text = compressed(mask_HW)
        assert decompress(text) == runs_of(mask_HW)
        fault = mask_fault({"size": [HEIGHT, WIDTH], "counts": text}, WIDTH, HEIGHT)
        assert fault == ("" if mask_HW.any() else "an RLE without a pixel")


def test_long_runs_are_read() -> None:
    mask_HW = np.zeros((3000, 2000), np.uint8)
    mask_HW[1500:, 900:] = 1
    assert decompress(compressed(mask_HW)) == runs_of(mask_HW)


def test_whatever_is_called_sound_is_drawn_by_pycocotools_to_the_last_pixel() -> None:
    rng = np.random.default_rng(0)
    mask_HW = (rng.random((HEIGHT, WIDTH)) < 0.3).astype(np.uint8)
    whole, sound = compressed(mask_HW), 0
    for _ in range(3000):
        text = list(whole[: rng.integers(1, len(whole) + 1)] if rng.random() < 0.3 else whole)
        for at in rng.integers(0, len(text), rng.integers(0, 3)):
            text[at] = chr(rng.integers(33, 127))
        rle = {"size": [HEIGHT, WIDTH], "counts": "".join(text)}
        if not mask_fault(rle, WIDTH, HEIGHT):
            sound += 1
            assert set(np.unique(mask_api.decode(to_rle(rle, HEIGHT, WIDTH)))) <= {0, 1}
    assert 300 < sound < 2900


@pytest.mark.parametrize(
    ("counts", "why"),
    [
        ("garbage~~!!", "damaged"),
        ("zzzz", "damaged"),
        ("PPYo1", "cover"),
        ("", "cover 0 of"),
        ([100, 50], "cover 150 of 391"),
        ([391], "without a pixel"),
        ([400, -9], "damaged"),
        ([300.0, 91], "damaged"),
        ([True, 390], "damaged"),
        (7, "damaged"),
        (None, "damaged"),
        ("0" * 40 + "p" * 40, "damaged"),
    ],
)
def test_counts_that_do_not_cover_the_image(counts, why: str) -> None:
    assert why in mask_fault({"size": [HEIGHT, WIDTH], "counts": counts}, WIDTH, HEIGHT)


@pytest.mark.parametrize("size", [[WIDTH, HEIGHT], [17.0, 23.0], None, [17], "17 23"])
def test_an_rle_has_the_size_of_its_image(size) -> None:
    assert "of size" in mask_fault({"size": size, "counts": [0, 391]}, WIDTH, HEIGHT)
    assert mask_fault({"size": [HEIGHT, WIDTH], "counts": [0, 391]}, WIDTH, HEIGHT) == ""


@pytest.mark.parametrize("value", [1e7, 1e9, 1e12, 1e308, -1e9, 10**30, 3 * WIDTH])
@pytest.mark.parametrize("place", [0, 3])
def test_one_far_coordinate_is_named_and_not_drawn(value: float, place: int) -> None:
    polygon = [2, 2, 12.5, 2, 12, 11]
    polygon[place] = value
    assert "leaves the image" in mask_fault([[2, 2, 9, 2, 9, 9], polygon], WIDTH, HEIGHT)


@pytest.mark.parametrize(
    ("part", "why"),
    [
        ([2, 2, math.nan, 2, 12, 11], "not finite"),
        ([2, 2, math.inf, 2, 12, 11], "not finite"),
        ([2, 2, math.inf, 2, -math.inf, 11], "not finite"),
        ([2, 2, 10**400, 2.5, 12, 11], "not finite"),
        ([2, 2, "12", 2, 12, 11], "not numbers"),
        ([2, 2, True, 2, 12, 11], "not numbers"),
        ([2, 2, 12, 2], "three or more"),
        ([2, 2, 12, 2, 12, 11, 1], "three or more"),
        (2, "three or more"),
    ],
)
def test_polygons_that_are_none(part, why: str) -> None:
    assert why in mask_fault([part], WIDTH, HEIGHT)


def test_polygons_may_lean_over_the_edge_and_have_many_corners() -> None:
    over = [[-3.5, 2, WIDTH + 9.0, 2, 12, HEIGHT + 5]]
    assert mask_fault(over, WIDTH, HEIGHT) == ""
    assert mask_api.decode(to_rle(over, HEIGHT, WIDTH)).any()
    angle = np.linspace(0, 2 * np.pi, 5000, endpoint=False)
    circle = np.stack([11 + 6 * np.cos(angle), 8 + 6 * np.sin(angle)], 1).reshape(-1).tolist()
    assert mask_fault([circle], WIDTH, HEIGHT) == ""
    scribble = [0, 0, 2 * WIDTH, HEIGHT] * 3000  # each corner a pixel's memory for every pixel on the way
    assert "longer" in mask_fault([scribble], WIDTH, HEIGHT)


@pytest.mark.parametrize("mask", ["text", 3, True])
def test_what_is_no_segmentation_at_all_is_named(mask: object) -> None:
    assert mask_fault(mask, WIDTH, HEIGHT) == "neither polygons nor an RLE"


@pytest.mark.parametrize("axis", [0, 1])
def test_an_outline_is_as_long_as_the_greater_of_its_steps(axis: int) -> None:
    """There and back along one axis: each step passes 15 pixels, though it moves none along the other."""
    longest = WIDTH * HEIGHT + 4 * (WIDTH + HEIGHT)
    for steps, fault in ((longest // 15 // 2 * 2, ""), (longest // 15 // 2 * 2 + 2, "longer")):
        points = np.full((steps, 2), 5.0)
        points[:, axis] = np.where(np.arange(steps) % 2, 16.0, 1.0)
        found = mask_fault([points.reshape(-1).tolist()], WIDTH, HEIGHT)
        assert ("longer" in found) == bool(fault), (steps, found)
