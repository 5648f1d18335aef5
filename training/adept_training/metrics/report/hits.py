"""Collect the detections that are right: what an evaluation got right, next to its errors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from adept_hub.detectors.detections import Detections
from adept_training.labels.identity import ImageKey
from adept_training.metrics.evaluate import Evaluation
from adept_training.metrics.tide import MAX_DETECTIONS
from adept_training.metrics.voc import box_iou


@dataclass(frozen=True)
class Hit:
    """A right detection: the class of the object that it covers with an IoU of at least 0.5."""

    detection: int
    label: int
    score: float
    iou: float


def right_detections(evaluation: Evaluation, least: float) -> dict[ImageKey, list[Hit]]:
    """Return the detections with a score of at least ``least`` that are no error of TIDE, by image."""
    assert evaluation.tide is not None
    wrong = {(error.image, error.detection) for error in evaluation.tide.errors}
    hits: dict[ImageKey, list[Hit]] = {}
    for image in evaluation.split.images:
        found = evaluation.found.get(image.key, Detections.none())
        order = np.argsort(-found.scores_D, kind="stable")[:MAX_DETECTIONS].tolist()
        ignored_M = image.crowd_M | image.difficult_M
        mine = []
        for d in order:
            if found.scores_D[d] < least or (image.key, d) in wrong:
                continue
            label = int(found.labels_D[d])
            own_M4 = image.boxes_M4[(image.labels_M == label) & ~ignored_M]
            if len(own_M4):
                iou = float(box_iou(found.boxes_D4[d : d + 1], own_M4).max())
                mine.append(Hit(d, label, float(found.scores_D[d]), iou))
        if mine:
            hits[image.key] = mine
    return hits


def best_images(hits: Mapping[ImageKey, list[Hit]], classes: int, most: int) -> list[ImageKey]:
    """Return up to ``most`` images to show: for each class the surest hit's, then those with most hits."""
    surest = []
    for label in range(1, classes + 1):
        mine = [(hit.score * hit.iou, key) for key, several in hits.items() for hit in several if hit.label == label]
        surest += [max(mine, key=lambda pair: pair[0])] if mine else []
    first = [key for _, key in sorted(surest, key=lambda pair: -pair[0])]
    fullest = sorted(hits, key=lambda key: -len(hits[key]))
    return list(dict.fromkeys([*first, *fullest]))[:most]
