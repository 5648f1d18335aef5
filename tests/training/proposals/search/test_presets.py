"""``soco`` and ``fixed`` against selectivesearch 0.4 with its functions mended one by one; OpenCV's two presets."""

import warnings

import cv2
import numpy as np
import pytest
import selectivesearch.selectivesearch as reference
import skimage.data

from adept_hub.errors import MissingExtraError
from adept_training.proposals import search_regions, selective_search
from tests.training.proposals.photographs import skimage_photographs

NAMES = ["astronaut", "coffee", "cells", "rocket"]
COLORS = np.random.default_rng(1).integers(0, 256, (40, 50, 3), dtype=np.uint8).repeat(3, 0).repeat(3, 1)


def histogram(columns, ranges, bins):
    parts = [np.histogram(columns[:, c], bins, ranges[c])[0] for c in range(3)]
    return np.concatenate(parts) / len(columns)


def run_reference(image, scale, min_size):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        labeled, regions = reference.selective_search(image, scale=scale, sigma=0.9, min_size=min_size)
    xywh = np.array([region["rect"] for region in regions])
    return labeled, np.hstack([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]]), [region["size"] for region in regions]


@pytest.fixture
def texture_mended(monkeypatch):
    """SoCo's copy: patterns 0..255 over (0, 255)."""
    whole = [(0.0, 255.0)] * 3
    monkeypatch.setattr(reference, "_calc_texture_hist", lambda pixels: histogram(pixels, whole, 10))


@pytest.fixture
def all_mended(texture_mended, monkeypatch):
    def color(pixels):
        return histogram(pixels, [(0.0, 1.0), (0.0, 1.0), (0.0, 255.0)], 25)

    def fill(a, b, area):
        width = max(a["max_x"], b["max_x"]) - min(a["min_x"], b["min_x"]) + 1
        height = max(a["max_y"], b["max_y"]) - min(a["min_y"], b["min_y"]) + 1
        return 1.0 - (width * height - a["size"] - b["size"]) / area

    seen = {}

    def extract(image, original=reference._extract_regions):
        seen["labels"] = image[:, :, 3].astype(int)
        return original(image)

    def neighbors(regions):
        labels, pairs = seen["labels"], set()
        height, width = labels.shape
        for y in range(height):
            for x in range(width):
                for y2, x2 in ((y, x + 1), (y + 1, x - 1), (y + 1, x), (y + 1, x + 1)):
                    if y2 < height and 0 <= x2 < width and labels[y, x] != labels[y2, x2]:
                        pairs.add(tuple(sorted((labels[y, x], labels[y2, x2]))))
        return [((a, regions[a]), (b, regions[b])) for a, b in sorted(pairs)]

    monkeypatch.setattr(reference, "_calc_colour_hist", color)
    monkeypatch.setattr(reference, "_sim_fill", fill)
    monkeypatch.setattr(reference, "_extract_regions", extract)
    monkeypatch.setattr(reference, "_extract_neighbours", neighbors)


@pytest.mark.parametrize("name", NAMES)
def test_soco_is_the_reference_with_its_texture_mended(texture_mended, name):
    image = skimage_photographs()[name]
    _, boxes, sizes = run_reference(image, 300, 100)
    found = search_regions(image, "soco")
    assert np.array_equal(found.boxes, boxes)
    assert found.sizes.tolist() == sizes


@pytest.mark.parametrize("name", [*NAMES, "saturated blocks"])
def test_fixed_is_the_reference_wholly_mended(all_mended, name):
    image = COLORS if name == "saturated blocks" else skimage_photographs()[name]
    _, boxes, sizes = run_reference(image, 500, 10)
    found = search_regions(image, "fixed")
    assert np.array_equal(found.boxes, boxes + np.array([0, 0, 1, 1]))
    assert found.sizes.tolist() == sizes


def test_fixed_boxes_are_exact_extents():
    """A black rectangle on white, its edges blurred by at most three pixels; the last box is the image."""
    image = np.full((60, 80, 3), 255, np.uint8)
    image[20:45, 30:70] = 0
    found = search_regions(image, "fixed")
    assert min(np.abs(box - [30, 20, 70, 45]).max() for box in found.boxes) <= 3
    assert found.boxes[-1].tolist() == [0, 0, 80, 60]
    assert found.sizes[-1] == 60 * 80


def test_the_three_presets_differ():
    image = skimage.data.coffee()[50:250, 150:450]
    counts = {name: len(selective_search(image, name)) for name in ("paper", "soco", "fixed")}
    assert len(set(counts.values())) == 3
    assert counts["soco"] < counts["paper"]


@pytest.mark.parametrize(("preset", "switch"), [("opencv-fast", "Fast"), ("opencv-quality", "Quality")])
def test_opencv_is_its_set_of_boxes_sorted(preset, switch):
    image = skimage.data.chelsea()[60:160, 100:220]
    search = cv2.ximgproc.segmentation.createSelectiveSearchSegmentation()
    search.setBaseImage(image[:, :, ::-1].copy())
    getattr(search, f"switchToSelectiveSearch{switch}")()
    expected = sorted({(x, y, x + w, y + h) for x, y, w, h in search.process().tolist()})
    boxes = selective_search(image, preset)
    assert boxes.dtype == np.float32
    assert [tuple(box) for box in boxes.astype(int).tolist()] == expected


def test_opencv_gives_the_same_again_after_another_photograph():
    first, second = skimage_photographs()["rocket"][:100, :150], skimage_photographs()["coins"][:100, :150]
    before = selective_search(first, "opencv-fast")
    selective_search(second, "opencv-fast")
    assert np.array_equal(selective_search(first, "opencv-fast"), before)


def test_opencv_without_contrib_says_what_to_install(monkeypatch):
    monkeypatch.delattr(cv2, "ximgproc")
    with pytest.raises(MissingExtraError, match="opencv-contrib-python-headless"):
        selective_search(COLORS, "opencv-fast")
