"""Detections of a detector.

Legend: D detections of one image, best first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from pycocotools import mask as mask_api

from adept_training.labels.identity import ImageKey
from adept_training.labels.records import Floats, Ints, LabeledImage


@dataclass(frozen=True)
class Detections:
    """Boxes float64 xyxy in pixels of the image, continuous; labels from 1; masks as COCO RLE of the image's size."""

    boxes_D4: Floats
    scores_D: Floats
    labels_D: Ints
    masks: tuple[dict[str, Any], ...] | None = None

    @classmethod
    def none(cls) -> Detections:
        """Return zero detections."""
        return cls(np.zeros((0, 4)), np.zeros(0), np.zeros(0, np.int64))

    def __len__(self) -> int:
        return len(self.scores_D)


#: Detections by image.
Found = Mapping[ImageKey, Detections]


def object_rle(image: LabeledImage, m: int) -> dict[str, Any]:
    """Return the mask of an object as COCO's compressed RLE; its box if it has none."""
    mask = image.masks[m] if image.masks is not None else None
    if mask is not None:
        return to_rle(mask, image.height, image.width)
    box = image.boxes_M4[m]
    return to_rle([[float(box[i]) for i in (0, 1, 2, 1, 2, 3, 0, 3)]], image.height, image.width)


def to_rle(mask: Any, height: int, width: int) -> dict[str, Any]:
    """Convert a segmentation in any of its three forms to COCO's compressed RLE."""
    if isinstance(mask, list):
        return dict(mask_api.merge(mask_api.frPyObjects(mask, height, width)))
    if isinstance(mask["counts"], list):
        return dict(mask_api.frPyObjects(mask, height, width))
    return dict(mask)
