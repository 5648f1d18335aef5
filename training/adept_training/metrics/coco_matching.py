"""Match detections with objects by pycocotools' rules, with arrays instead of its dictionaries.

Legend: D detections and M objects of one image (and class); A areas, T IoU thresholds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from pycocotools import mask as mask_api

from adept_training.labels.records import Bools, Floats

#: Written as in pycocotools: ``arange`` would differ in the last digit.
IOUS_T: Floats = np.linspace(0.5, 0.95, 10)
RECALLS_R: Floats = np.linspace(0.0, 1.0, 101)
#: All, small, medium, large: square pixels, both ends included.
AREAS_A2: Floats = np.array([[0, 1e5**2], [0, 32**2], [32**2, 96**2], [96**2, 1e5**2]], np.float64)
#: State of a detection.
NOTHING, COUNTED, IGNORED = 0, 1, 2

States = npt.NDArray[np.int8]


def xywh(boxes_N4: Floats) -> Floats:
    """Convert xyxy boxes to corner and sides."""
    return np.concatenate([boxes_N4[:, :2], boxes_N4[:, 2:] - boxes_N4[:, :2]], axis=1)


def coco_iou(found_D: Any, objects_M: Any, crowd_M: Sequence[int]) -> Floats:
    """Return pycocotools' IoU (D, M) of xywh boxes or of RLEs; for a crowd the share of the detection inside it."""
    if not len(found_D) or not len(objects_M):
        return np.zeros((len(found_D), len(objects_M)))
    return np.asarray(mask_api.iou(found_D, objects_M, crowd_M), np.float64)


def coco_areas(found_D: Any) -> Floats:
    """Return areas (D) of xywh boxes or of RLEs, in square pixels."""
    if isinstance(found_D, np.ndarray):
        return np.asarray(found_D[:, 2] * found_D[:, 3], np.float64)
    return np.asarray(mask_api.area(found_D) if found_D else [], np.float64)


def outside(areas_N: Floats, areas_A2: Floats = AREAS_A2) -> Bools:
    """Return a mask (A, N) of areas that are too small or too large."""
    return np.asarray((areas_N < areas_A2[:, :1]) | (areas_N > areas_A2[:, 1:]))


def match(iou_DM: Floats, ignore_AM: Bools, crowd_M: Bools) -> States:
    """Match each detection, best first, with the free object that overlaps it most; return states (A, T, D).

    An ignored object is taken only if no counted one can be; the last of equals wins; a crowd can match many times.

    Args:
        iou_DM: detections in the order of their scores.
        ignore_AM: objects that do not count, per area.
        crowd_M: objects that several detections may match.
    """
    areas, objects = ignore_AM.shape
    state_ATD = np.full((areas, len(IOUS_T), len(iou_DM)), NOTHING, np.int8)
    if not iou_DM.size:
        return state_ATD
    least_T1 = np.minimum(IOUS_T, 1 - 1e-10)[:, None]
    free_ATM = np.ones((areas, len(IOUS_T), objects), np.bool_)
    counted_A1M = ~ignore_AM[:, None]
    at_A, at_T = np.ogrid[:areas, : len(IOUS_T)]
    need_M = np.full(objects, least_T1[0, 0])  # lowest IoU at which an object is free for some threshold and area
    d = -1
    while (d := _next(iou_DM, need_M, d + 1)) >= 0:
        can_ATM = free_ATM & (iou_DM[d] >= least_T1)
        better_ATM = can_ATM & counted_A1M
        any_AT, counted_AT = can_ATM.any(axis=2), better_ATM.any(axis=2)
        can_ATM = np.where(counted_AT[..., None], better_ATM, can_ATM)
        m_AT = objects - 1 - np.where(can_ATM, iou_DM[d], -1.0)[..., ::-1].argmax(axis=2)
        free_ATM[at_A, at_T, m_AT] &= ~any_AT | crowd_M[m_AT]
        state_ATD[..., d] = np.where(counted_AT, COUNTED, np.where(any_AT, IGNORED, NOTHING))
        need_M = np.where(free_ATM.any(axis=0), least_T1, np.inf).min(axis=0)
    return state_ATD


def _next(iou_DM: Floats, need_M: Floats, start: int, block: int = 64) -> int:
    """Return the first detection from ``start`` on that can take an object; -1: none left."""
    while start < len(iou_DM):
        able_D = np.any(iou_DM[start : start + block] >= need_M, axis=1)
        first = int(able_D.argmax())
        if able_D[first]:
            return start + first
        start, block = start + block, 4 * block
    return -1
