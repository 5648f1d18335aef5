"""Describe a box by its colors, the directions of its gradients and its size.

Legend: M boxes of an image, D features.
"""

from __future__ import annotations

import cv2
import numpy as np

from adept_training.data.arrays import Array, Pixels

#: Side of a box when it is described, in pixels; cells along each side; bins of the gradients' direction.
SIDE, CELLS, BINS = 32, 4, 8
#: Mean and deviation of three colors, the gradients of every cell, and two sides.
FEATURES = 6 + CELLS * CELLS * BINS + 2

_CELL = np.arange(SIDE) * CELLS // SIDE
_FIRST_BIN = (_CELL[:, None] * CELLS + _CELL[None, :]) * BINS


def describe_boxes(pixels_HW3: Pixels, boxes_M4: Array, size: tuple[int, int]) -> Array:
    """Return the features of boxes, float32 (M, D).

    Args:
        pixels_HW3: RGB of the whole image, which may have been resized, its aspect ratio too.
        boxes_M4: xyxy in pixels of the image before.
        size: width and height of the image before, in pixels.
    """
    height, width = pixels_HW3.shape[:2]
    scale = np.array([width / size[0], height / size[1]] * 2)
    rows = np.zeros((len(boxes_M4), FEATURES), np.float32)
    for row, box in zip(rows, boxes_M4, strict=True):
        left, top, right, bottom = (box * scale).astype(int)
        left, top = np.clip(left, 0, width - 1), np.clip(top, 0, height - 1)
        row[:-2] = describe(pixels_HW3[top : max(bottom, top + 1), left : max(right, left + 1)])
        row[-2:] = np.log(np.maximum(box[2:] - box[:2], 1) / size)
    return rows


def describe(pixels_HW3: Pixels) -> Array:
    """Return mean and deviation of Lab, and gradients by cell and direction, float32 (D - 2,), of RGB pixels.

    Gradients are those of lightness; opposite directions are the same. All cells together have a norm of one.
    """
    small_HW3 = cv2.cvtColor(cv2.resize(pixels_HW3, (SIDE, SIDE)), cv2.COLOR_RGB2LAB)
    # Of whole numbers, so that directions on the border of two bins are exact.
    dx, dy = (cv2.Sobel(small_HW3[:, :, 0], cv2.CV_64F, *order) for order in ((1, 0), (0, 1)))
    lab_HW3 = small_HW3.astype(np.float32) / 255
    length, angle = np.hypot(dx, dy), np.mod(np.arctan2(dy, dx), np.pi)
    bins = np.minimum((angle / np.pi * BINS).astype(int), BINS - 1)
    sums = np.bincount((_FIRST_BIN + bins).ravel(), length.ravel(), CELLS * CELLS * BINS)
    histogram = sums / (np.linalg.norm(sums) + 1e-6)
    return np.concatenate([lab_HW3.mean((0, 1)), lab_HW3.std((0, 1)), histogram]).astype(np.float32)
