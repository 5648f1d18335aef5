"""Detections by image, and objects as COCO's masks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pycocotools import mask as mask_api

from adept_hub.detectors.detections import Detections
from adept_training.labels.identity import ImageKey
from adept_training.labels.records import LabeledImage

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
