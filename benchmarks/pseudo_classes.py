"""Pseudo-classes of unlabeled boxes: color, gradients and size, reduced by PCA, in clusters of balanced size.

Legend: B boxes, D features, K classes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
#: Side of a box when it is described, pixels; cells along each side; bins of the gradient's direction.
SIDE, CELLS, BINS = 32, 4, 8
COMPONENTS = 32
ROUNDS = 30


def pseudo_classes(content: dict[str, Any], images: Path, classes: int, seed: int) -> dict[str, Any]:
    """Return the COCO content with ``classes`` categories in place of its own."""
    features_BD = _describe_all(content, images)
    labels_B = balanced_clusters(reduce(features_BD, COMPONENTS), classes, seed)
    categories = [{"id": k + 1, "name": f"cluster{k + 1}"} for k in range(classes)]
    annotations = [
        {**row, "category_id": int(label) + 1} for row, label in zip(content["annotations"], labels_B, strict=True)
    ]
    return {**content, "categories": categories, "annotations": annotations}


def describe(pixels_HW3: npt.NDArray[np.uint8]) -> Floats:
    """Return mean and deviation of Lab, and the gradients' directions in cells, of one box's RGB pixels."""
    lab_HW3 = cv2.cvtColor(cv2.resize(pixels_HW3, (SIDE, SIDE)), cv2.COLOR_RGB2LAB).astype(np.float32) / 255
    dx, dy = (cv2.Sobel(lab_HW3[:, :, 0], cv2.CV_32F, *order) for order in ((1, 0), (0, 1)))
    length, angle = np.hypot(dx, dy), np.mod(np.arctan2(dy, dx), np.pi)
    bins = np.minimum((angle / np.pi * BINS).astype(int), BINS - 1)
    cell = np.arange(SIDE) * CELLS // SIDE
    where = (cell[:, None] * CELLS + cell[None, :]) * BINS + bins
    histogram = np.bincount(where.ravel(), length.ravel(), CELLS * CELLS * BINS)
    histogram = histogram / (np.linalg.norm(histogram) + 1e-6)
    return np.concatenate([lab_HW3.mean((0, 1)), lab_HW3.std((0, 1)), histogram]).astype(np.float32)


def reduce(features_BD: Floats, components: int) -> Floats:
    """Standardize, and return the first principal components, each of unit variance at most."""
    centered = (features_BD - features_BD.mean(0)) / (features_BD.std(0) + 1e-6)
    _, _, axes = np.linalg.svd(centered, full_matrices=False)
    return np.asarray(centered @ axes[:components].T, np.float32)


def balanced_clusters(features_BD: Floats, classes: int, seed: int) -> npt.NDArray[np.int64]:
    """Return a label for each row: k-means whose assignment is Sinkhorn's, so that clusters are of about one size."""
    rng = np.random.default_rng(seed)
    centers_KD = features_BD[rng.choice(len(features_BD), classes, replace=False)]
    for _ in range(ROUNDS):
        square_BK = ((features_BD**2).sum(1)[:, None] - 2 * features_BD @ centers_KD.T) + (centers_KD**2).sum(1)
        plan_BK = np.exp(-(square_BK - square_BK.min(1, keepdims=True)) / (0.1 * square_BK.std() + 1e-9))
        for _ in range(3):
            plan_BK /= plan_BK.sum(0) + 1e-12
            plan_BK /= plan_BK.sum(1, keepdims=True) + 1e-12
        labels_B = plan_BK.argmax(1)
        for k in range(classes):
            if (labels_B == k).any():
                centers_KD[k] = features_BD[labels_B == k].mean(0)
    return labels_B


def _describe_all(content: dict[str, Any], images: Path) -> Floats:
    by_image: dict[int, list[int]] = {}
    for place, row in enumerate(content["annotations"]):
        by_image.setdefault(row["image_id"], []).append(place)
    rows: dict[int, Floats] = {}
    for image in content["images"]:
        pixels = cv2.cvtColor(cv2.imread(str(images / image["file_name"])), cv2.COLOR_BGR2RGB)
        for place in by_image.get(image["id"], []):
            x, y, w, h = content["annotations"][place]["bbox"]
            left, top = max(int(x), 0), max(int(y), 0)
            crop = pixels[top : max(int(y + h), top + 1), left : max(int(x + w), left + 1)]
            shape = [np.log(w / image["width"]), np.log(h / image["height"])]
            rows[place] = np.concatenate([describe(crop), np.asarray(shape, np.float32)])
    return np.stack([rows[place] for place in range(len(content["annotations"]))])
