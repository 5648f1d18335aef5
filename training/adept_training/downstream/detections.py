"""What a detector found, and both sides of an evaluation in pycocotools' form.

Legend: D detections of one image, best first.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pycocotools import mask as mask_api
from pycocotools.coco import COCO

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


#: Detections by image id.
Found = Mapping[str, Detections]


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
        one = found.get(image.id, Detections.none())
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


def as_coco_json(split: Split, found: Found) -> list[dict[str, Any]]:
    """COCO's results format with the data set's own image and category ids."""
    rows: list[dict[str, Any]] = []
    for image in split.images:
        one = found.get(image.id, Detections.none())
        for d in range(len(one)):
            x1, y1, x2, y2 = one.boxes_D4[d].tolist()
            row: dict[str, Any] = {
                "image_id": int(image.id) if image.id.isdecimal() else image.id,
                "category_id": split.category_ids[int(one.labels_D[d]) - 1],
                "bbox": [x1, y1, x2 - x1, y2 - y1], "score": float(one.scores_D[d]),
            }  # fmt: skip
            if one.masks is not None:
                mask = one.masks[d]
                counts = mask["counts"]
                row["segmentation"] = {**mask, "counts": counts.decode() if isinstance(counts, bytes) else counts}
            rows.append(row)
    return rows


def as_coco_annotations(split: Split) -> dict[str, list[dict[str, Any]]]:
    """A split in COCO's format, with the data set's own ids, for tools that read nothing else."""
    images: list[dict[str, Any]] = []
    rows: list[dict[str, Any]] = []
    for at, image in enumerate(split.images, start=1):
        key = int(image.id) if image.id.isdecimal() else at
        images.append({"id": key, "file_name": image.path.name, "width": image.width, "height": image.height})
        for m in range(len(image)):
            x1, y1, x2, y2 = image.boxes_M4[m].tolist()
            row: dict[str, Any] = {
                "id": len(rows) + 1, "image_id": key, "category_id": split.category_ids[int(image.labels_M[m]) - 1],
                "bbox": [x1, y1, x2 - x1, y2 - y1], "area": float(image.area_M[m]),
                "iscrowd": int(image.crowd_M[m]),
            }  # fmt: skip
            if image.masks is not None and image.masks[m] is not None:
                row["segmentation"] = image.masks[m]
            rows.append(row)
    categories = [{"id": i, "name": name} for i, name in zip(split.category_ids, split.classes, strict=True)]
    return {"images": images, "annotations": rows, "categories": categories}


def detections_of(rows: Sequence[Mapping[str, Any]], split: Split) -> dict[str, Detections]:
    """Detections from COCO's results format, the inverse of `as_coco_json` (boxes only)."""
    label = {category: i for i, category in enumerate(split.category_ids, start=1)}
    by_image: dict[str, list[tuple[Any, ...]]] = {}
    for row in rows:
        x, y, w, h = row["bbox"]
        entry = (-row["score"], len(by_image), (x, y, x + w, y + h), label[row["category_id"]])
        by_image.setdefault(str(row["image_id"]), []).append(entry)
    found = {}
    for key, entries in by_image.items():
        entries.sort(key=lambda e: e[0])
        found[key] = Detections(
            np.array([e[2] for e in entries], np.float64), np.array([-e[0] for e in entries], np.float64),
            np.array([e[3] for e in entries], np.int64),
        )  # fmt: skip
    return found
