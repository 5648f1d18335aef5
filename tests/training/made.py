"""Labeled images and detections made up for the tests, with every kind of error a detector makes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from adept_hub.detectors.detections import Detections
from adept_training.labels.identity import ImageKey, Part
from adept_training.labels.records import LabeledImage, Split


def image(
    image_id: int | str, boxes, labels, crowd=(), difficult=(), side: int = 200, masks=None, part: int = 1
) -> LabeledImage:
    boxes_M4 = np.array(boxes, np.float64).reshape(-1, 4)
    count = len(boxes_M4)
    marks = [np.isin(np.arange(count), list(places)) for places in (crowd, difficult)]
    area = np.prod(boxes_M4[:, 2:] - boxes_M4[:, :2], axis=1)
    key, name = ImageKey(part, image_id), f"{image_id}.jpg"
    labels_M = np.array(labels, np.int64)
    return LabeledImage(key, Path(name), name, side, side, boxes_M4, labels_M, *marks, area, masks)


def split(*images: LabeledImage, classes: int = 3) -> Split:
    """A split of part 1, whose category ids are neither labels nor from 1."""
    names = tuple(f"class {i}" for i in range(1, classes + 1))
    return Split("val", images, names, (Part(1, "made", Path(), tuple(range(11, 11 + classes))),))


def detections(boxes, scores, labels) -> Detections:
    order = np.argsort(-np.array(scores), kind="stable")
    return Detections(
        np.array(boxes, np.float64).reshape(-1, 4)[order], np.array(scores, np.float64)[order],
        np.array(labels, np.int64)[order],
    )  # fmt: skip


def imperfect(truth: Split, seed: int = 0, objects_missed: float = 0.2) -> dict[ImageKey, Detections]:
    """Detections near the truth: shifted, doubled, of the wrong class, missing, and some of nothing at all."""
    rng = np.random.default_rng(seed)
    found = {}
    for one in truth.images:
        boxes, labels = [], []
        for box, label in zip(one.boxes_M4, one.labels_M, strict=True):
            if rng.random() < objects_missed:
                continue
            for _ in range(1 + (rng.random() < 0.3)):
                size = np.tile(box[2:] - box[:2], 2)
                moved = box + rng.normal(0, rng.choice([0.02, 0.1, 0.3]), 4) * size
                boxes.append(np.concatenate([np.minimum(moved[:2], moved[2:]), np.maximum(moved[:2], moved[2:]) + 1]))
                labels.append(label if rng.random() < 0.8 else rng.integers(1, len(truth.classes) + 1))
        for _ in range(rng.integers(0, 6)):
            corner = rng.uniform(0, 0.7, 2) * (one.width, one.height)
            boxes.append(np.concatenate([corner, corner + rng.uniform(5, 60, 2)]))
            labels.append(rng.integers(1, len(truth.classes) + 1))
        # Distinct scores: ties are broken differently by every tool.
        found[one.key] = detections(boxes, rng.permutation(1000)[: len(boxes)] / 1000 + rng.random() * 1e-4, labels)
    return found


def crowded(images: int = 30, seed: int = 0, classes: int = 3) -> Split:
    """Random objects, some of them crowds."""
    rng = np.random.default_rng(seed)
    made = []
    for i in range(images):
        count = int(rng.integers(0, 9))
        corner, size = rng.uniform(0, 120, (count, 2)), np.exp(rng.uniform(1.5, 4.3, (count, 2)))
        boxes = np.concatenate([corner, corner + size], axis=1)
        crowd = [m for m in range(count) if rng.random() < 0.1]
        made.append(image(i + 1, boxes, rng.integers(1, classes + 1, count), crowd))
    return split(*made, classes=classes)
