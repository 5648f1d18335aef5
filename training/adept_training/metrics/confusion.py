"""Confusion of classes: one-to-one matching of confident detections with objects, regardless of class.

Legend: D detections, M objects, K classes.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from adept_hub.detectors.detections import Detections
from adept_training.labels.records import Split
from adept_training.metrics.detections import Found
from adept_training.metrics.voc import box_iou


@dataclass(frozen=True)
class Confusion:
    """Counts by (true class, predicted class), 0 being background: only those that occur, not all (K + 1) squared."""

    classes: int
    counts: Counter[tuple[int, int]] = field(default_factory=Counter)

    def matrix(self) -> npt.NDArray[np.int64]:
        """Return the counts as a table (K + 1, K + 1): row the true class, column the predicted one."""
        table = np.zeros((self.classes + 1,) * 2, np.int64)
        for pair, count in self.counts.items():
            table[pair] = count
        return table

    def mistaken(self, most: int) -> list[tuple[int, int, int]]:
        """Return the pairs of classes that are confused most, and how often."""
        rows = [(i, j, n) for (i, j), n in self.counts.items() if i and j and i != j]
        return sorted(rows, key=lambda row: (-row[2], row[0], row[1]))[:most]


def confusion(split: Split, found: Found, score: float = 0.3, iou: float = 0.5) -> Confusion:
    """Count the pairs of true and predicted class.

    Pairs are matched in order of decreasing IoU; ``[k, 0]`` are missed objects, ``[0, k]`` detections of background.
    Crowds and difficult objects are left out, as are detections that match them best.
    """
    counts: Counter[tuple[int, int]] = Counter()
    for image in split.images:
        one = found.get(image.key, Detections.none())
        sure = one.scores_D >= score
        boxes_D4, labels_D = one.boxes_D4[sure], one.labels_D[sure]
        ignore_M = image.crowd_M | image.difficult_M
        overlap_DM = box_iou(boxes_D4, image.boxes_M4)
        ignored_D = np.zeros(len(boxes_D4), np.bool_)
        if ignore_M.any() and len(boxes_D4):
            ignored_D = ignore_M[overlap_DM.argmax(axis=1)] & (overlap_DM.max(axis=1) >= iou)
        overlap_DM[:, ignore_M] = 0
        overlap_DM[ignored_D] = 0
        free_D, free_M = ~ignored_D, ~ignore_M
        while overlap_DM.size and overlap_DM.max() >= iou:
            d, m = np.unravel_index(overlap_DM.argmax(), overlap_DM.shape)
            counts[int(image.labels_M[m]), int(labels_D[d])] += 1
            free_D[d] = free_M[m] = False
            overlap_DM[d], overlap_DM[:, m] = 0, 0
        counts.update((0, label) for label in labels_D[free_D].tolist())
        counts.update((label, 0) for label in image.labels_M[free_M].tolist())
    return Confusion(len(split.classes), counts)
