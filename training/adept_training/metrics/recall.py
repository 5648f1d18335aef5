"""The RPN's average recall, accumulated image by image, so that no proposals are stored.

Legend: K proposals and M objects of one image; T IoU thresholds, L limits on proposals.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from adept_hub.detectors.detections import Detections
from adept_training.labels.records import Floats, LabeledImage, Split
from adept_training.metrics.coco_matching import AREAS_A2, COUNTED, IOUS_T, coco_iou, match, outside, xywh
from adept_training.metrics.detections import Found

LIMITS = (1, 10, 100, 1000)


class RecallMeter:
    """Class-agnostic recall over IoU 0.5-0.95 as in ``pycocotools``, for the best 1, 10, 100, 1000 proposals."""

    def __init__(self, limits: Sequence[int] = LIMITS) -> None:
        """Start empty; an image's proposals beyond the largest limit are dropped."""
        self._limits = tuple(limits)
        self._found_TL = np.zeros((len(IOUS_T), len(limits)), np.int64)
        self._objects = 0

    def add(self, image: LabeledImage, boxes_K4: Floats) -> None:
        """Count the objects of one image that its proposals recall.

        Args:
            image: ground truth; crowds and difficult objects do not count.
            boxes_K4: xyxy in pixels of the image, best first.
        """
        ignored_M = image.crowd_M | image.difficult_M | outside(image.area_M, AREAS_A2[:1])[0]
        # By class, as in pycocotools: the last of equal overlaps is taken.
        by_class_M = np.argsort(image.labels_M, kind="stable")
        counted_M = by_class_M[~ignored_M[by_class_M]]
        objects = len(counted_M)
        self._objects += objects
        # Objects that do not count are matched last, so that they take no proposal from those that do.
        no_M = np.zeros(objects, np.bool_)
        boxes_K4 = boxes_K4[: max(self._limits)]
        iou_KM = coco_iou(xywh(boxes_K4), xywh(image.boxes_M4[counted_M]), no_M.tolist())
        found_TK = match(iou_KM, no_M[None], no_M)[0] == COUNTED
        self._found_TL += np.stack([found_TK[:, :limit].sum(axis=1) for limit in self._limits], axis=1)

    def result(self) -> dict[str, float]:
        """Return average recall in percent by ``AR<limit>``; NaN without objects."""
        if not self._objects:
            return {f"AR{limit}": float("nan") for limit in self._limits}
        recall_TL = self._found_TL / self._objects
        return {f"AR{limit}": float(recall_TL[:, at].mean()) * 100 for at, limit in enumerate(self._limits)}


def proposal_recall(split: Split, proposed: Found, limits: Sequence[int] = LIMITS) -> dict[str, float]:
    """Return class-agnostic average recall in percent of existing proposals."""
    meter = RecallMeter(limits)
    for image in split.images:
        one = proposed.get(image.key, Detections.none())
        meter.add(image, one.boxes_D4[np.lexsort((one.labels_D, -one.scores_D))])
    return meter.result()
