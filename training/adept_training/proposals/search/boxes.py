"""Turn regions into proposals: the filter, the fallback, duplicates.

Legend: N boxes; 4 = x1, y1, x2, y2 in pixels of the image, continuous.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from adept_hub.arguments.calls import checked
from adept_training.proposals.search.presets import BoxFilter, Preset

Boxes = npt.NDArray[np.float32]


def filter_mask(boxes_N4: Boxes, size: tuple[int, int], rule: BoxFilter) -> npt.NDArray[np.bool_]:
    """Return a mask of boxes that satisfy ``rule``; ``size`` is (width, height) in pixels. Empty boxes never do."""
    w_N, h_N = (boxes_N4[:, 2:].astype(np.float64) - boxes_N4[:, :2]).T
    keep_N = (w_N > 0) & (h_N > 0) & (w_N >= rule.min_side) & (h_N >= rule.min_side)
    ratio_N = np.divide(w_N, h_N, out=np.zeros_like(w_N), where=h_N > 0)
    scale_N = np.sqrt(w_N * h_N) / np.sqrt(float(size[0]) * size[1])
    keep_N &= (rule.min_ratio <= ratio_N) & (ratio_N <= rule.max_ratio)
    keep_N &= (rule.min_scale <= scale_N) & (scale_N <= rule.max_scale)
    return np.asarray(keep_N)


@checked
def filter_boxes(
    boxes: Boxes,
    size: tuple[int, int],
    *,
    min_ratio: float = 1 / 3,
    max_ratio: float = 3.0,
    min_scale: float = 0.3,
    max_scale: float = 0.8,
    min_side: float = 0.0,
    unique: bool = False,
) -> Boxes:
    """Return the boxes that pass the paper's filter (4.1): 1/3 <= w/h <= 3 and 0.3 <= sqrt(wh)/sqrt(WH) <= 0.8.

    Args:
        boxes: float32 (N, 4) xyxy in pixels of the image, in any order, which is kept.
        size: (width, height) of the image in pixels.
        min_side: least width and height in pixels (SoCo: 32).
        unique: drop all but the first of identical boxes.

    All bounds are inclusive. Returns float32 (M, 4).
    """
    rule = BoxFilter(min_ratio, max_ratio, min_scale, max_scale, min_side)
    kept = np.asarray(boxes, dtype=np.float32).reshape(-1, 4)
    kept = kept[filter_mask(kept, size, rule)]
    return first_of_each(kept) if unique else kept


def first_of_each(boxes_N4: Boxes) -> Boxes:
    """Remove repetitions, in the order of first appearance."""
    _, first = np.unique(boxes_N4, axis=0, return_index=True)
    return boxes_N4[np.sort(first)]


def to_proposals(regions_N4: Boxes, size: tuple[int, int], preset: Preset) -> tuple[Boxes, bool]:
    """Return the regions of an image that the preset keeps, and whether a fallback was used.

    Never empty: the last resort is the whole image (SoCo's dataset.py).
    """
    for step, rule in enumerate((preset.filter, *preset.fallback)):
        kept = regions_N4[filter_mask(regions_N4, size, rule)]
        if len(kept):
            return (kept if preset.keep_duplicates else first_of_each(kept)), step > 0
    return np.array([[0, 0, size[0], size[1]]], dtype=np.float32), True
