"""AP, AR and every class's AP equal pycocotools' own bit for bit, on cases made to differ where rules are misread."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from adept_hub.detectors.detections import Detections
from adept_training.labels.records import LabeledImage, Split
from adept_training.metrics.coco import coco_metrics
from adept_training.metrics.detections import to_rle
from adept_training.metrics.recall import RecallMeter, proposal_recall
from benchmarks.evaluation_reference import percent, reference_metrics, reference_recall
from tests.training.made import image, split

SIDE = 260
CLASSES = 5


def some_image(rng: np.random.Generator, name: str) -> LabeledImage:
    """Objects of all sizes on a coarse grid, so that boxes and overlaps repeat; crowds, difficult ones, odd areas."""
    count = int(rng.choice([0, 1, 3, 8]))
    corner = rng.integers(0, 4, (count, 2)) * 10.0
    boxes = np.concatenate([corner, corner + rng.choice([5, 31, 32, 33, 95, 96, 97, 200], (count, 2))], axis=1)
    labels = rng.integers(1, CLASSES, count)  # the last class has no object
    crowd, difficult = (np.flatnonzero(rng.random(count) < share).tolist() for share in (0.25, 0.15))
    one = image(name, boxes, labels, crowd, difficult, side=SIDE)
    # The area is the annotation's own: of the mask, at a bound, or more than pycocotools counts at all.
    area = np.where(rng.random(count) < 0.4, rng.choice([32.0**2, 96.0**2, 500.0, 2e10], count), one.area_M)
    return replace(one, area_M=area)


def some_detections(rng: np.random.Generator, one: LabeledImage, most: int) -> Detections:
    """More than the limits, many with equal scores, equal boxes, or exactly an object's box."""
    count = int(rng.integers(0, most))
    boxes = np.concatenate([rng.integers(0, 5, (count, 2)) * 10.0] * 2, axis=1)
    boxes[:, 2:] += rng.choice([5, 30, 32, 60, 96, 100, 150], (count, 2)) + rng.choice([0, 0.5], (count, 2))
    if len(one):
        near = rng.random(count) < 0.6
        boxes[near] = one.boxes_M4[rng.integers(0, len(one), near.sum())] + rng.choice([0, 0, 2, -1], (near.sum(), 4))
        boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2] + 1)
    scores = np.sort(rng.integers(0, 40, count) / 40)[::-1]
    return Detections(boxes, scores, rng.integers(1, CLASSES + 1, count))


def case(seed: int, images: int = 14, most: int = 260) -> tuple[Split, dict]:
    rng = np.random.default_rng(seed)
    truth = split(*(some_image(rng, f"image {i}") for i in range(images)), classes=CLASSES)
    # Some images were not seen at all.
    found = {one.key: some_detections(rng, one, most) for one in truth.images if rng.random() < 0.9}
    return truth, found


def assert_same(truth: Split, found: dict, kind: str = "bbox") -> np.ndarray:
    ours, theirs = coco_metrics(truth, found, kind), reference_metrics(truth, found, kind)
    expected = percent(theirs.stats)
    np.testing.assert_array_equal(list(ours.summary.values()), expected)
    precision = np.where(theirs.eval["precision"] < 0, np.nan, theirs.eval["precision"])[:, :, :, 0, -1]
    np.testing.assert_array_equal(ours.curves_KR, precision[0].T)
    for k, name in enumerate(truth.classes):
        known = precision[:, :, k][~np.isnan(precision[:, :, k])]
        np.testing.assert_array_equal(ours.per_class[name]["AP"], known.mean() * 100 if known.size else np.nan)
    return expected


@pytest.mark.parametrize("seed", range(12))
def test_ap_of_boxes(seed: int) -> None:
    expected = assert_same(*case(seed))
    assert np.nanmin(expected) > 0, "every figure is of something"


@pytest.mark.parametrize("seed", range(12))
def test_recall_of_proposals(seed: int) -> None:
    truth, found = case(seed, images=8, most=1500)
    np.testing.assert_array_equal(list(proposal_recall(truth, found).values()), reference_recall(truth, found))
    odd = (3, 50, 700)
    np.testing.assert_array_equal(list(proposal_recall(truth, found, odd).values()),
                                  reference_recall(truth, found, odd))  # fmt: skip


@pytest.mark.parametrize("seed", range(4))
def test_ap_of_masks(seed: int) -> None:
    rng = np.random.default_rng(seed)

    def mask(box: np.ndarray) -> list[list[float]]:
        """A triangle in the box: its area is half the box's."""
        x1, y1, x2, y2 = box.tolist()
        return [[x1, y1, x2, y1, x1, y2]]

    truth, found = case(seed, images=6, most=60)
    without = replace(truth.images[0], masks=None)
    with_masks = [
        replace(one, masks=tuple(mask(box) if rng.random() < 0.8 else None for box in one.boxes_M4))
        for one in truth.images[1:]
    ]
    truth = replace(truth, images=(without, *with_masks))
    found = {
        key: replace(one, masks=tuple(to_rle(mask(box), SIDE, SIDE) for box in one.boxes_D4))
        for key, one in found.items()
    }
    assert np.nanmax(assert_same(truth, found, "segm")) > 0


@pytest.mark.parametrize("kind", ["bbox", "segm"])
def test_nothing_found_and_nothing_there(kind: str) -> None:
    truth, _ = case(0)
    assert_same(truth, {}, kind)
    empty = split(*(image(f"empty {i}", [], []) for i in range(3)), classes=2)
    assert_same(empty, {}, kind)
    assert np.isnan(list(proposal_recall(empty, {}).values())).all()
    assert np.isnan(reference_recall(empty, {})).all()
    if kind == "bbox":
        _, found = case(1)
        everywhere = dict(zip((one.key for one in empty.images), found.values(), strict=False))
        two = {key: replace(one, labels_D=np.minimum(one.labels_D, 2)) for key, one in everywhere.items()}
        assert_same(empty, two)


def test_a_meter_of_images_in_turn_is_the_recall_of_all() -> None:
    truth, found = case(3, most=1500)
    meter = RecallMeter()
    for one in truth.images:
        boxes = found[one.key].boxes_D4 if one.key in found else np.zeros((0, 4))
        meter.add(one, boxes)
    ranked = {
        key: Detections(one.boxes_D4, np.linspace(1, 0, len(one)), np.ones(len(one), np.int64))
        for key, one in found.items()
    }
    np.testing.assert_array_equal(list(meter.result().values()), reference_recall(truth, ranked))
