"""Labels of boxes worked by hand: above the box, else below, never on each other, never outside the image."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from adept_hub.detectors.detections import Detections
from adept_training.labels.identity import ImageKey
from adept_training.metrics.evaluate import evaluate_detections
from adept_training.metrics.report.hits import Hit, best_images, right_detections
from adept_training.metrics.report.labels import place_labels
from tests.training.made import detections, image, split


def test_above_below_and_aligned_by_hand() -> None:
    size = (40.0, 14.0)
    assert place_labels([(50, 50, 90, 90)], [size], (200, 200)) == [(50, 36)], "above"
    assert place_labels([(50, 5, 90, 90)], [size], (200, 200)) == [(50, 90)], "no space above: below"
    assert place_labels([(180, 50, 199, 90)], [size], (200, 200)) == [(160, 36)], "moved to the left of the edge"
    assert place_labels([(0, 0, 200, 200)], [size], (200, 200)) == [(0, 0)], "inside a box as large as the image"
    four = [(0, 0), (160, 0), (0, 186), (160, 186)]
    assert place_labels([(0, 0, 200, 200)] * 4, [size] * 4, (200, 200)) == four, "in its corners, the upper ones first"
    assert place_labels([(50, 50, 90, 90)] * 2, [size] * 2, (200, 200)) == [(50, 36), (50, 90)]
    assert place_labels([(0, 0, 9, 9)], [(300, 14)], (200, 200)) == [None], "wider than the image"


def test_a_crowd_of_labels_stays_apart_and_inside() -> None:
    rng = np.random.default_rng(3)
    low = rng.uniform(-20, 250, (60, 2))
    boxes = [(x, y, x + w, y + h) for (x, y), (w, h) in zip(low, rng.uniform(2, 90, (60, 2)), strict=True)]
    sizes = [(float(w), 14.0) for w in rng.integers(30, 90, 60)]
    corners = place_labels(boxes, sizes, (300, 200))
    placed = [(*c, c[0] + w, c[1] + h) for c, (w, h) in zip(corners, sizes, strict=True) if c is not None]
    assert len(placed) > 25, "there is space for as many"
    assert all(x1 >= 0 and y1 >= 0 and x2 <= 300 and y2 <= 200 for x1, y1, x2, y2 in placed)
    for (a1, b1, a2, b2), (c1, d1, c2, d2) in combinations(placed, 2):
        assert a2 <= c1 or c2 <= a1 or b2 <= d1 or d2 <= b1


def test_right_detections_by_hand() -> None:
    """Of two objects one is found with an IoU of 0.8; a double, a wrong class and an unsure hit do not count."""
    truth = split(image("a", [[0, 0, 10, 10], [50, 50, 60, 60]], [1, 2]), image("b", [[0, 0, 10, 10]], [2]), classes=2)
    found: dict[ImageKey, Detections] = {
        ImageKey(1, "a"): detections([[0, 0, 10, 8], [0, 0, 10, 7], [50, 50, 60, 60]], [0.9, 0.8, 0.7], [1, 1, 1]),
        ImageKey(1, "b"): detections([[0, 0, 10, 10]], [0.2], [2]),
    }
    hits = right_detections(evaluate_detections(truth, found), 0.3)
    assert hits == {ImageKey(1, "a"): [Hit(0, 1, 0.9, 0.8)]}


def test_each_class_has_its_best_image_before_the_fullest() -> None:
    a, b, c = (ImageKey(1, name) for name in "abc")
    hits = {a: [Hit(0, 1, 0.5, 0.5)] * 3, b: [Hit(0, 1, 0.9, 0.9)], c: [Hit(0, 2, 0.6, 0.6)]}
    assert best_images(hits, 2, 5) == [b, c, a]
    assert best_images(hits, 2, 1) == [b]
