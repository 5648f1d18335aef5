"""Non-maximum suppression and box voting.

Legend: N boxes, K kept; 4 = x1, y1, x2, y2.
"""

from __future__ import annotations

import numba
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@numba.njit(nogil=True, cache=True)
def overlap(a_4: Floats, b_4: Floats) -> float:
    """Return the intersection over union of two boxes that are not empty."""
    w = min(a_4[2], b_4[2]) - max(a_4[0], b_4[0])
    if w <= 0:
        return 0.0
    h = min(a_4[3], b_4[3]) - max(a_4[1], b_4[1])
    if h <= 0:
        return 0.0
    both = w * h
    return float(both / ((a_4[2] - a_4[0]) * (a_4[3] - a_4[1]) + (b_4[2] - b_4[0]) * (b_4[3] - b_4[1]) - both))


@numba.njit(nogil=True, cache=True)
def suppress(boxes_N4: Floats, order: Ints, most_iou: float, most: int) -> Ints:
    """Return the first ``most`` indices of ``order`` whose boxes overlap none before them by more than ``most_iou``."""
    kept = np.empty(min(most, len(order)), np.int64)
    count = 0
    for i in order:
        if count == len(kept):
            break
        free = True
        for k in range(count):
            if overlap(boxes_N4[i], boxes_N4[kept[k]]) > most_iou:
                free = False
                break
        if free:
            kept[count] = i
            count += 1
    return kept[:count]


@numba.njit(nogil=True, cache=True)
def vote(boxes_N4: Floats, weight_N: Floats, kept_K: Ints, least_iou: float) -> Floats:
    """Average each kept box with the boxes around it, float64 (K, 4).

    The weight of a box of IoU at least ``least_iou`` is that IoU times its entry in ``weight_N``; its own IoU is 1.
    """
    out = np.zeros((len(kept_K), 4))
    for k in range(len(kept_K)):
        total = 0.0
        for j in range(len(boxes_N4)):
            iou = overlap(boxes_N4[kept_K[k]], boxes_N4[j])
            if iou >= least_iou:
                weight = iou * weight_N[j]
                total += weight
                for c in range(4):
                    out[k, c] += weight * boxes_N4[j, c]
        for c in range(4):
            out[k, c] /= total
    return out
