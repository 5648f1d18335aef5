"""COCO's AP family, equal to pycocotools to the last digit, in memory that does not grow with images times classes.

pycocotools stores a dictionary per detection and per image, class and area, and tables of all classes at all areas and
limits. This module stores one byte per detection, area and threshold, and one area's table at a time.

Legend: N detections of all images, D of one class; A areas, T IoU thresholds, R recalls, K classes, L limits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from adept_hub.detectors.detections import Detections
from adept_training.labels.records import Bools, Floats, Ints, LabeledImage, Split
from adept_training.metrics.coco_matching import (
    AREAS_A2,
    COUNTED,
    IGNORED,
    IOUS_T,
    NOTHING,
    RECALLS_R,
    States,
    coco_areas,
    coco_iou,
    match,
    outside,
    xywh,
)
from adept_training.metrics.detections import Found, object_rle

_LIMITS = (1, 10, 100)


@dataclass(frozen=True)
class CocoMetrics:
    """The twelve statistics in percent (NaN if there are no objects of that size), AP and AP50 per class, and curves.

    ``curves_KR`` is precision at IoU 0.5 over the 101 recalls, NaN for a class that does not occur.
    """

    summary: dict[str, float]
    per_class: dict[str, dict[str, float]]
    curves_KR: npt.NDArray[np.float64]


@dataclass(frozen=True)
class _Matched:
    """All detections within the limits, by class and then by score, and the objects that count."""

    ranks_N: Ints
    state_NAT: States
    starts_K: Ints
    objects_KA: Ints

    def of(self, k: int, area: int) -> tuple[Ints, States]:
        """Return ranks in their images (D) and states (T, D) of a class, best first."""
        mine = slice(self.starts_K[k], self.starts_K[k + 1])
        return self.ranks_N[mine], self.state_NAT[mine, area].T


def coco_metrics(split: Split, found: Found, kind: str = "bbox") -> CocoMetrics:
    """Measure AP and AR of detections; difficult objects are ignored like crowds.

    Args:
        split: ground truth.
        found: detections by image.
        kind: ``bbox`` or ``segm``.
    """
    matched = _match_all(split, found, kind)
    summary: dict[str, float] = {}
    precision_TRK, recall_LTK = _accumulate(matched, 0)
    summary |= {"AP": _mean(precision_TRK), "AP50": _mean(precision_TRK[0]), "AP75": _mean(precision_TRK[5])}
    ar = {f"AR{limit}": _mean(recall_TK) for limit, recall_TK in zip(_LIMITS, recall_LTK, strict=True)}
    per_class = {
        name: {"AP": _mean(precision_TRK[:, :, k]), "AP50": _mean(precision_TRK[0, :, k])}
        for k, name in enumerate(split.classes)
    }
    curves_KR = precision_TRK[0].T.copy()
    del precision_TRK
    for area, letter in enumerate("sml", start=1):
        precision_TRK, recall_LTK = _accumulate(matched, area)
        summary[f"AP{letter}"], ar[f"AR{letter}"] = _mean(precision_TRK), _mean(recall_LTK[-1])
        del precision_TRK
    return CocoMetrics(summary | ar, per_class, curves_KR)


def _match_all(split: Split, found: Found, kind: str) -> _Matched:
    objects_KA = np.zeros((len(split.classes), len(AREAS_A2)), np.int64)
    labels, scores, ranks, states = [np.zeros(0, np.int64)], [np.zeros(0)], [np.zeros(0, np.int64)], [_states(0)]
    for image in split.images:
        one, ranks_D = _ranked(found.get(image.key, Detections.none()))
        labels.append(one.labels_D)
        scores.append(one.scores_D)
        ranks.append(ranks_D)
        states.append(_match_image(image, one, kind, objects_KA))
    labels_N, scores_N = np.concatenate(labels), np.concatenate(scores)
    # By class, then by score, then in the order of images: a stable sort, as in pycocotools.
    order = np.lexsort((-scores_N, labels_N))
    starts_K = np.searchsorted(labels_N[order], np.arange(1, len(split.classes) + 2))
    return _Matched(np.concatenate(ranks)[order], np.concatenate(states)[order], starts_K, objects_KA)


def _states(count: int) -> States:
    return np.full((count, len(AREAS_A2), len(IOUS_T)), NOTHING, np.int8)


def _ranked(one: Detections) -> tuple[Detections, Ints]:
    """Sort an image's detections by class and then by score, drop those beyond the limit, and return their ranks."""
    order = np.lexsort((-one.scores_D, one.labels_D))
    labels_D = one.labels_D[order]
    ranks_D = np.arange(len(order)) - np.searchsorted(labels_D, labels_D)
    order, ranks_D = order[ranks_D < _LIMITS[-1]], ranks_D[ranks_D < _LIMITS[-1]]
    masks = None if one.masks is None else tuple(one.masks[d] for d in order.tolist())
    return Detections(one.boxes_D4[order], one.scores_D[order], one.labels_D[order], masks), ranks_D


def _match_image(image: LabeledImage, one: Detections, kind: str, objects_KA: Ints) -> States:
    """Return states (D, A, T) of an image's detections, sorted by class, and count its objects in ``objects_KA``."""
    state_DAT = _states(len(one))
    ignored_M = image.crowd_M | image.difficult_M
    found_D: Any = xywh(one.boxes_D4)
    objects_M: Any = xywh(image.boxes_M4)
    if kind == "segm":
        assert one.masks is not None or not len(one), "a detector of masks gives masks"
        found_D, objects_M = list(one.masks or ()), [object_rle(image, m) for m in range(len(image))]
        # The box of an object without a mask does not define its pixels: it is ignored.
        masks = (None,) * len(image) if image.masks is None else image.masks
        ignored_M = ignored_M | np.array([mask is None for mask in masks], np.bool_)
    for label in np.unique(image.labels_M).tolist():
        mine_M = np.flatnonzero(image.labels_M == label)
        mine_D = slice(*np.searchsorted(one.labels_D, (label, label + 1)).tolist())
        crowd_M = ignored_M[mine_M]
        ignore_AM = crowd_M | outside(image.area_M[mine_M])
        chosen_M = [objects_M[m] for m in mine_M] if kind == "segm" else objects_M[mine_M]
        iou_DM = coco_iou(found_D[mine_D], chosen_M, crowd_M.astype(int).tolist())
        state_DAT[mine_D] = match(iou_DM, ignore_AM, crowd_M).transpose(2, 0, 1)
        objects_KA[label - 1] += (~ignore_AM).sum(axis=1)
    state_DAT[(state_DAT == NOTHING) & outside(coco_areas(found_D)).T[:, :, None]] = IGNORED
    return state_DAT


def _accumulate(matched: _Matched, area: int) -> tuple[Floats, Floats]:
    """Compute precision (T, R, K) at the largest limit and recall (L, T, K), NaN for a class without objects."""
    classes = len(matched.objects_KA)
    precision_TRK = np.full((len(IOUS_T), len(RECALLS_R), classes), np.nan)
    recall_LTK = np.full((len(_LIMITS), len(IOUS_T), classes), np.nan)
    for k in np.flatnonzero(matched.objects_KA[:, area]).tolist():
        objects = matched.objects_KA[k, area]
        ranks_D, state_TD = matched.of(k, area)
        right_TD = state_TD == COUNTED
        for at, limit in enumerate(_LIMITS):
            recall_LTK[at, :, k] = right_TD[:, ranks_D < limit].sum(axis=1) / objects
        precision_TRK[:, :, k] = _curve(right_TD, state_TD == NOTHING, int(objects))
    return precision_TRK, recall_LTK


def _curve(right_TD: Bools, wrong_TD: Bools, objects: int) -> Floats:
    """Compute monotone precision (T, R), 0 at recalls that are not reached."""
    precision_TR = np.zeros((len(right_TD), len(RECALLS_R)))
    if not right_TD.shape[1]:
        return precision_TR
    hits_TD = np.cumsum(right_TD, axis=1).astype(np.float64)
    misses_TD = np.cumsum(wrong_TD, axis=1).astype(np.float64)
    precision_TD = hits_TD / (misses_TD + hits_TD + np.spacing(1))
    precision_TD = np.maximum.accumulate(precision_TD[:, ::-1], axis=1)[:, ::-1]
    for t, recall_D in enumerate(hits_TD / objects):
        at_R = np.searchsorted(recall_D, RECALLS_R, side="left")
        reached_R = at_R < len(recall_D)
        precision_TR[t, reached_R] = precision_TD[t, at_R[reached_R]]
    return precision_TR


def _mean(values: npt.NDArray[np.float64]) -> float:
    defined = values[~np.isnan(values)]
    return float(defined.mean()) * 100 if defined.size else float("nan")
