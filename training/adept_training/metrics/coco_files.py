"""Read and write COCO's results and annotations for other tools, with the data set's own ids.

Legend: D detections, M objects of one image.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from adept_hub.detectors.detections import Detections
from adept_hub.errors import DataError
from adept_hub.io.read import MAX_ANNOTATIONS, BoundedReader
from adept_training.labels.identity import ImageId, ImageKey, Part, read_id
from adept_training.labels.masks import mask_fault
from adept_training.labels.part_files import pair_files, write_files
from adept_training.labels.records import LabeledImage, Split
from adept_training.metrics.detections import Found, to_rle

#: Score, xyxy box, label and RLE.
_Entry = tuple[float, tuple[float, ...], int, dict[str, Any]]
_FIELDS = ("image_id", "category_id", "bbox", "score")


def save_detections(path: Path, split: Split, found: Found) -> list[Path]:
    """Write COCO's results format, one file per part if parts share ids; return the paths.

    Raises:
        DiskFullError: the files cannot be written.
    """
    return write_files(path, [json.dumps(as_coco_json(one, found)) + "\n" for one in split.per_file()])


def load_detections(paths: Sequence[Path], split: Split) -> dict[ImageKey, Detections]:
    """Load results of `save_detections` or of another tool by image, with masks if every result has one.

    Raises:
        DataError: the file is not in COCO's results format, or of another data set.
    """
    detections: dict[ImageKey, Detections] = {}
    for path, one in pair_files(paths, split):
        rows = BoundedReader(DataError, limit=MAX_ANNOTATIONS).json(path, lenient=True)  # a NaN is named with its row
        detections |= detections_of(rows, one, str(path))
    if any(one.masks is None for one in detections.values()):
        return {key: replace(one, masks=None) for key, one in detections.items()}
    return detections


def save_annotations(path: Path, split: Split) -> list[tuple[Path, Part]]:
    """Write COCO's annotation format, one file per part if parts share ids or have separate image folders.

    Return the files that contain images, and the part of each: its file names are relative to that part's folder.

    Raises:
        DiskFullError: the files cannot be written.
    """
    splits = split.per_file(one_folder=True)
    paths = write_files(path, [json.dumps(as_coco_annotations(one)) + "\n" for one in splits])
    return [(file, one.parts[0]) for file, one in zip(paths, splits, strict=True) if len(one)]


def as_coco_json(split: Split, found: Found) -> list[dict[str, Any]]:
    """Return COCO's results format for a split that fits one file (`Split.per_file`)."""
    rows: list[dict[str, Any]] = []
    for image in split.images:
        one, category_ids = found.get(image.key, Detections.none()), split.part(image.key).category_ids
        for d in range(len(one)):
            x1, y1, x2, y2 = one.boxes_D4[d].tolist()
            row: dict[str, Any] = {
                "image_id": image.key.id, "category_id": category_ids[int(one.labels_D[d]) - 1],
                "bbox": [x1, y1, x2 - x1, y2 - y1], "score": float(one.scores_D[d]),
            }  # fmt: skip
            if one.masks is not None:
                mask = one.masks[d]
                counts = mask["counts"]
                row["segmentation"] = {**mask, "counts": counts.decode() if isinstance(counts, bytes) else counts}
            rows.append(row)
    return rows


def as_coco_annotations(split: Split) -> dict[str, list[dict[str, Any]]]:
    """Return COCO's annotation format for a split that fits one file, for tools that read nothing else."""
    images: list[dict[str, Any]] = []
    rows: list[dict[str, Any]] = []
    category_ids = split.parts[0].category_ids
    for image in split.images:
        image_id, size = image.key.id, {"width": image.width, "height": image.height}
        images.append({"id": image_id, "file_name": image.file_name, **size})
        for m in range(len(image)):
            x1, y1, x2, y2 = image.boxes_M4[m].tolist()
            row: dict[str, Any] = {
                "id": len(rows) + 1, "image_id": image_id, "category_id": category_ids[int(image.labels_M[m]) - 1],
                "bbox": [x1, y1, x2 - x1, y2 - y1], "area": float(image.area_M[m]),
                "iscrowd": int(image.crowd_M[m]),
            }  # fmt: skip
            if image.masks is not None and image.masks[m] is not None:
                row["segmentation"] = image.masks[m]
            rows.append(row)
    categories = [{"id": i, "name": name} for i, name in zip(category_ids, split.classes, strict=True)]
    return {"images": images, "annotations": rows, "categories": categories}


def detections_of(rows: Any, split: Split, where: str = "The results") -> dict[ImageKey, Detections]:
    """Parse COCO's results format, the inverse of `as_coco_json`; with masks if every result has one.

    Args:
        rows: the parsed JSON, of any type.
        split: split of the results; fits one file (`Split.per_file`).
        where: name of the file, for messages.

    Raises:
        DataError: the format is wrong, or the split lacks an image or category.
    """
    images: dict[ImageId, LabeledImage] = {image.key.id: image for image in split.images}
    labels = {part.number: {c: i for i, c in enumerate(part.category_ids, 1)} for part in split.parts}
    by_image: dict[ImageKey, list[_Entry]] = {}
    strangers: list[str] = []
    with_masks = True
    for at, row in enumerate(_rows(rows, where)):
        score, box, image_id = _number(row["score"]), _box(row["bbox"]), read_id(row["image_id"])
        if score is None:
            raise DataError(f"{where}: the score of row {at} is {row['score']!r:.60}, which is not a finite number.")
        if box is None:
            raise DataError(
                f"{where}: the bbox of row {at} is {row['bbox']!r:.80}, not [x, y, width, height] in pixels."
            )
        if image_id is None or image_id not in images:
            strangers.append(f"{row['image_id']!r:.60}")
            continue
        image, mask = images[image_id], row.get("segmentation")
        with_masks = with_masks and bool(mask)
        if mask and (fault := mask_fault(mask, image.width, image.height, may_be_empty=True)):
            raise DataError(f"{where}: the segmentation of row {at} is {fault}.")
        label = _label(row["category_id"], labels[image.key.part], split, f"{where}: row {at}")
        rle = to_rle(mask, image.height, image.width) if mask else {}
        by_image.setdefault(image.key, []).append((score, box, label, rle))
    if strangers:
        likes = ", ".join(f"{image_id!r:.60}" for image_id in list(images)[:3])
        raise DataError(
            f"{where}: {len(strangers)} rows are of images that {split.name} does not have; the first image_id is "
            f"{strangers[0]}.\nThe ids of its {len(images)} images are {likes}, ... (1 is not '1'). "
            "Give the data set, and the --split, that the results are of."
        )
    return {key: _sorted(entries, with_masks) for key, entries in by_image.items()}


def _label(category: Any, label: Mapping[int, int], split: Split, where: str) -> int:
    category_id = read_id(category)
    if isinstance(category_id, int) and category_id in label:
        return label[category_id]
    names = ", ".join(f"{c} {split.classes[i - 1]!r}" for c, i in list(label.items())[:12])
    raise DataError(
        f"{where} has category_id {category!r:.60}, which {split.name} does not have.\n"
        f"Its categories: {names}. Give the data set that the results are of, or write its ids."
    )


def _rows(rows: Any, where: str) -> list[Mapping[str, Any]]:
    """Check the list of results and the fields of every row."""
    form = 'a list of {"image_id": ..., "category_id": ..., "bbox": [x, y, width, height], "score": ...}'
    if isinstance(rows, dict) and rows.keys() & {"annotations", "images", "categories"}:
        raise DataError(f"{where} is an annotation file, not results.\nCOCO's results format is {form}.")
    if not isinstance(rows, list):
        raise DataError(f"{where} is not in COCO's results format, which is {form}.")
    for at, row in enumerate(rows):
        missing = [name for name in _FIELDS if name not in row] if isinstance(row, dict) else ["an object"]
        if missing:
            raise DataError(f"{where}: row {at} lacks {missing[0]}.\nCOCO's results format is {form}.")
    return rows


def _sorted(entries: list[_Entry], with_masks: bool) -> Detections:
    entries = sorted(entries, key=lambda entry: -entry[0])
    scores, boxes, labels, masks = zip(*entries, strict=True)
    return Detections(
        np.array(boxes, np.float64), np.array(scores, np.float64), np.array(labels, np.int64),
        tuple(masks) if with_masks else None,
    )  # fmt: skip


def _number(value: Any) -> float | None:
    try:
        number = float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else math.nan
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _box(value: Any) -> tuple[float, ...] | None:
    """Convert COCO's xywh to xyxy."""
    edges = [_number(v) for v in value] if isinstance(value, list) and len(value) == 4 else [None]
    x, y, w, h = (edge for edge in edges) if None not in edges else (None,) * 4
    if x is None or y is None or w is None or h is None or min(w, h) < 0:
        return None
    return (x, y, x + w, y + h)
