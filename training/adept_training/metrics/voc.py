"""Pascal VOC's AP at IoU 0.5, by the devkit's rules of 2007 (eleven points) and of 2010 on (area under the curve)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from adept_hub.detectors.detections import Detections
from adept_training.labels.records import Floats, LabeledImage, Split
from adept_training.metrics.detections import Found


def voc_metrics(split: Split, found: Found, iou: float = 0.5) -> dict[str, dict[str, float]]:
    """Compute AP in percent per class and their ``mean``: ``{"07": {...}, "area": {...}}``.

    As in the devkit, a detection belongs to the object of its class that it overlaps most, and is right if the IoU
    reaches ``iou`` and no detection of higher score took the object before; difficult objects (and crowds) neither
    count nor harm. A class without objects is left out of the mean.
    """
    result: dict[str, dict[str, float]] = {"07": {}, "area": {}}
    concerned: list[list[LabeledImage]] = [[] for _ in split.classes]
    for image in split.images:
        one = found.get(image.key, Detections.none())
        for label in np.union1d(image.labels_M, one.labels_D).tolist():
            concerned[label - 1].append(image)
    for label, name in enumerate(split.classes, start=1):
        objects, scores_D, right_D = _match(concerned[label - 1], found, label, iou)
        if objects == 0:
            result["07"][name] = result["area"][name] = float("nan")
            continue
        recall_D, precision_D = _curve(scores_D, right_D, objects)
        result["07"][name] = 100 * eleven_points(recall_D, precision_D)
        result["area"][name] = 100 * area_under(recall_D, precision_D)
    for values in result.values():
        defined = [v for v in values.values() if not np.isnan(v)]
        values["mean"] = float(np.mean(defined)) if defined else float("nan")
    return result


def eleven_points(recall_D: Floats, precision_D: Floats) -> float:
    """Return the mean of the best precision at a recall of at least 0, 0.1, ..., 1 (VOC 2007)."""
    best = []
    for at in np.arange(11) / 10:
        reached = precision_D[recall_D >= at]
        best.append(float(reached.max()) if reached.size else 0.0)
    return float(np.mean(best))


def area_under(recall_D: Floats, precision_D: Floats) -> float:
    """Return the area under monotone precision (VOC 2010 on)."""
    recall = np.concatenate([[0.0], recall_D, [1.0]])
    precision = np.concatenate([[0.0], precision_D, [0.0]])
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(recall) * precision[1:]))


def _match(
    images: Sequence[LabeledImage], found: Found, label: int, iou: float
) -> tuple[int, Floats, npt.NDArray[np.bool_]]:
    """Return the number of objects; scores of the detections that count, best first, and which are right."""
    rows: list[tuple[float, int, Floats]] = []
    truth: list[tuple[Floats, npt.NDArray[np.bool_]]] = []
    for at, image in enumerate(images):
        mine = image.labels_M == label
        truth.append((image.boxes_M4[mine], (image.crowd_M | image.difficult_M)[mine]))
        one = found.get(image.key, Detections.none())
        rows += [(float(one.scores_D[d]), at, one.boxes_D4[d]) for d in np.flatnonzero(one.labels_D == label)]
    rows.sort(key=lambda row: -row[0])
    claimed = [np.zeros(len(boxes), np.bool_) for boxes, _ in truth]
    scores, right = [], []
    for score, at, box in rows:
        boxes_M4, ignored_M = truth[at]
        overlap_M = box_iou(box[None], boxes_M4)[0]
        m = int(overlap_M.argmax()) if len(overlap_M) else -1
        hit = m >= 0 and overlap_M[m] >= iou
        if hit and ignored_M[m]:
            continue
        scores.append(score)
        right.append(bool(hit and not claimed[at][m]))
        if hit:
            claimed[at][m] = True
    objects = sum(int((~ignored).sum()) for _, ignored in truth)
    return objects, np.array(scores, np.float64), np.array(right, np.bool_)


def _curve(scores_D: Floats, right_D: npt.NDArray[np.bool_], objects: int) -> tuple[Floats, Floats]:
    hits = np.cumsum(right_D)
    return hits / objects, hits / np.arange(1, len(scores_D) + 1)


def box_iou(boxes_A4: Floats, boxes_B4: Floats) -> Floats:
    """Compute the IoU (A, B) of continuous xyxy boxes."""
    low = np.maximum(boxes_A4[:, None, :2], boxes_B4[None, :, :2])
    high = np.minimum(boxes_A4[:, None, 2:], boxes_B4[None, :, 2:])
    shared = np.prod(np.clip(high - low, 0, None), axis=2)
    area_A = np.prod(boxes_A4[:, 2:] - boxes_A4[:, :2], axis=1)
    area_B = np.prod(boxes_B4[:, 2:] - boxes_B4[:, :2], axis=1)
    union = area_A[:, None] + area_B[None] - shared
    return np.asarray(shared / np.maximum(union, 1e-12))
