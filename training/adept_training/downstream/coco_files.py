"""What is written for other tools and read from them: COCO's results and annotations, with the data set's own ids.

Legend: D detections, M objects of one image.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from adept_hub.errors import DataError
from adept_training.downstream.detections import Detections, Found
from adept_training.downstream.identity import ImageId, ImageKey, Part, read_id
from adept_training.downstream.part_files import pair_files, write_files
from adept_training.downstream.records import Split

_FIELDS = ("image_id", "category_id", "bbox", "score")


def save_detections(path: Path, split: Split, found: Found) -> list[Path]:
    """Write COCO's results format; one file for each part where they share ids. Returns the files.

    Raises:
        DiskFullError: they cannot be written.
    """
    return write_files(path, [json.dumps(as_coco_json(one, found)) + "\n" for one in split.per_file()])


def load_detections(paths: Sequence[Path], split: Split) -> dict[ImageKey, Detections]:
    """What `save_detections` or another tool wrote, by image (boxes only).

    Raises:
        DataError: not COCO's results format, or results of another data set.
    """
    found: dict[ImageKey, Detections] = {}
    for path, one in pair_files(paths, split):
        try:
            rows = json.loads(path.read_bytes())
        except (OSError, ValueError, RecursionError) as error:
            raise DataError(f"{path} cannot be read as JSON: {' '.join(str(error).split())[:120]}") from error
        found |= detections_of(rows, one, str(path))
    return found


def save_annotations(path: Path, split: Split) -> list[tuple[Path, Part]]:
    """Write COCO's annotation format; one file for each part where they share ids or have image folders of their own.

    Returns the files that hold images, and the part that each is of: its file names are relative to that part's folder.

    Raises:
        DiskFullError: they cannot be written.
    """
    splits = split.per_file(one_folder=True)
    paths = write_files(path, [json.dumps(as_coco_annotations(one)) + "\n" for one in splits])
    return [(file, one.parts[0]) for file, one in zip(paths, splits, strict=True) if len(one)]


def as_coco_json(split: Split, found: Found) -> list[dict[str, Any]]:
    """COCO's results format for a split that fits one file (`Split.per_file`)."""
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
    """COCO's annotation format for a split that fits one file, for tools that read nothing else."""
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
    """Detections from COCO's results format, the inverse of `as_coco_json` (boxes only).

    Args:
        rows: the parsed JSON, whatever it is.
        split: what they are of; it fits one file (`Split.per_file`).
        where: the file, for messages.

    Raises:
        DataError: not that format, or an image or category that the split does not have.
    """
    keys: dict[ImageId, ImageKey] = {image.key.id: image.key for image in split.images}
    labels = {part.number: {c: i for i, c in enumerate(part.category_ids, 1)} for part in split.parts}
    by_image: dict[ImageKey, list[tuple[float, tuple[float, ...], int]]] = {}
    strangers: dict[Any, int] = {}
    for at, row in enumerate(_rows(rows, where)):
        score, box = _number(row["score"]), _box(row["bbox"])
        image_id, category_id = read_id(row["image_id"]), read_id(row["category_id"])
        if score is None:
            raise DataError(f"{where}: the score of row {at} is {row['score']!r}, which is not a finite number.")
        if box is None:
            raise DataError(f"{where}: the bbox of row {at} is not [x, y, width, height]: {row['bbox']!r}"[:200])
        if image_id is None or image_id not in keys:
            strangers.setdefault(repr(row["image_id"])[:60], at)
            continue
        label = labels[keys[image_id].part]
        if not isinstance(category_id, int) or category_id not in label:
            names = ", ".join(f"{c} {split.classes[i - 1]!r}" for c, i in list(label.items())[:12])
            raise DataError(
                f"{where}: row {at} has category_id {row['category_id']!r}, which {split.name} does not have.\n"
                f"Its categories: {names}. Write those ids, or give the data set that the results are of."
            )
        by_image.setdefault(keys[image_id], []).append((score, box, label[category_id]))
    if strangers:
        likes = ", ".join(repr(image_id) for image_id in list(keys)[:3])
        raise DataError(
            f"{where} holds {len(strangers)} image ids that {split.name} does not have, the first: "
            f"{next(iter(strangers))}.\nIts {len(keys)} ids look like {likes} (a number is not a text). "
            "Give the data set, and the --split, that the results are of."
        )
    return {key: _sorted(entries) for key, entries in by_image.items()}


def _rows(rows: Any, where: str) -> list[Mapping[str, Any]]:
    """The list of results, every row with its fields."""
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


def _sorted(entries: list[tuple[float, tuple[float, ...], int]]) -> Detections:
    entries = sorted(entries, key=lambda entry: -entry[0])
    scores, boxes, labels = zip(*entries, strict=True)
    return Detections(np.array(boxes, np.float64), np.array(scores, np.float64), np.array(labels, np.int64))


def _number(value: Any) -> float | None:
    try:
        number = float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else math.nan
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _box(value: Any) -> tuple[float, ...] | None:
    """xyxy from COCO's xywh."""
    edges = [_number(v) for v in value] if isinstance(value, list) and len(value) == 4 else [None]
    x, y, w, h = (edge for edge in edges) if None not in edges else (None,) * 4
    if x is None or y is None or w is None or h is None or min(w, h) < 0:
        return None
    return (x, y, x + w, y + h)
