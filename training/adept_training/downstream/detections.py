"""What a detector found, and both sides of an evaluation in pycocotools' form.

Legend: D detections of one image, best first.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from pycocotools import mask as mask_api
from pycocotools.coco import COCO

from adept_training.downstream.identity import ImageKey
from adept_training.downstream.records import Floats, Ints, LabelledImage, Split


@dataclass(frozen=True)
class Detections:
    """Boxes float64 xyxy in pixels of the image, continuous; labels from 1; masks as COCO RLE of the image's size."""

    boxes_D4: Floats
    scores_D: Floats
    labels_D: Ints
    masks: tuple[dict[str, Any], ...] | None = None

    @classmethod
    def none(cls) -> Detections:
        """Nothing found."""
        return cls(np.zeros((0, 4)), np.zeros(0), np.zeros(0, np.int64))

    def __len__(self) -> int:
        return len(self.scores_D)


#: Detections by image.
Found = Mapping[ImageKey, Detections]


def coco_truth(split: Split, kind: str = "bbox") -> COCO:
    """The split as pycocotools' index; images are numbered in order, difficult objects are ignored like crowds."""
    rows: list[dict[str, Any]] = []
    for at, image in enumerate(split.images, start=1):
        for m in range(len(image)):
            x1, y1, x2, y2 = image.boxes_M4[m].tolist()
            row: dict[str, Any] = {
                "id": len(rows) + 1, "image_id": at, "category_id": int(image.labels_M[m]),
                "bbox": [x1, y1, x2 - x1, y2 - y1], "area": float(image.area_M[m]),
                "iscrowd": int(image.crowd_M[m] or image.difficult_M[m]),
            }  # fmt: skip
            if kind == "segm":
                row |= _segmentation(image, m)
            rows.append(row)
    coco = COCO()
    coco.dataset = {
        "info": {},
        "images": [
            {"id": at, "width": image.width, "height": image.height} for at, image in enumerate(split.images, start=1)
        ],
        "annotations": rows,
        "categories": [{"id": i, "name": name} for i, name in enumerate(split.classes, start=1)],
    }
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints its progress
        coco.createIndex()
    return coco


def _segmentation(image: LabelledImage, m: int) -> dict[str, Any]:
    """The mask as RLE; an object without one is ignored, for its box says where it is but not which pixels."""
    mask = image.masks[m] if image.masks is not None else None
    if mask is not None:
        return {"segmentation": to_rle(mask, image.height, image.width)}
    box = image.boxes_M4[m]
    polygon = [[float(box[i]) for i in (0, 1, 2, 1, 2, 3, 0, 3)]]
    return {"segmentation": to_rle(polygon, image.height, image.width), "iscrowd": 1}


def to_rle(mask: Any, height: int, width: int) -> dict[str, Any]:
    """COCO's compressed RLE of a segmentation in any of its three forms."""
    if isinstance(mask, list):
        return dict(mask_api.merge(mask_api.frPyObjects(mask, height, width)))
    if isinstance(mask["counts"], list):
        return dict(mask_api.frPyObjects(mask, height, width))
    return dict(mask)


def coco_results(truth: COCO, split: Split, found: Found, kind: str = "bbox") -> COCO:
    """Detections as pycocotools' index of results for ``truth``."""
    rows: list[dict[str, Any]] = []
    for at, image in enumerate(split.images, start=1):
        one = found.get(image.key, Detections.none())
        for d in range(len(one)):
            x1, y1, x2, y2 = one.boxes_D4[d].tolist()
            row: dict[str, Any] = {"image_id": at, "category_id": int(one.labels_D[d]), "score": float(one.scores_D[d])}
            if kind == "bbox":
                row["bbox"] = [x1, y1, x2 - x1, y2 - y1]
            else:
                assert one.masks is not None, "a detector of masks gives masks"
                row["segmentation"] = one.masks[d]
            rows.append(row)
    if rows:
        with contextlib.redirect_stdout(io.StringIO()):
            return truth.loadRes(rows)
    empty = COCO()  # loadRes cannot take an empty list
    empty.dataset = {**truth.dataset, "annotations": []}
    with contextlib.redirect_stdout(io.StringIO()):
        empty.createIndex()
    return empty
