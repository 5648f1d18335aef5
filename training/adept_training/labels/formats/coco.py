"""Read COCO's JSON leniently: keep sound records, report all others."""

from __future__ import annotations

import logging
import unicodedata
from dataclasses import replace
from pathlib import Path
from typing import Any

from adept_hub.errors import DataError
from adept_hub.io.read import MAX_ANNOTATIONS, BoundedReader
from adept_hub.words.text import is_utf8
from adept_training.labels.identity import ImageId, ImageKey, Part, in_order, read_id, spelled
from adept_training.labels.objects import Collector, as_float, name_below, size_fault
from adept_training.labels.problems import LabelProblem
from adept_training.labels.records import Split

_log = logging.getLogger(__name__)
_READER = BoundedReader(DataError, limit=MAX_ANNOTATIONS)
_ID_FIELDS = ("image_id", "category_id")


def read_coco(annotations: Path, part: Part, name: str, problems: list[LabelProblem]) -> Split:
    """Read one split of a COCO data set; COCO's xywh becomes xyxy.

    Args:
        annotations: the JSON of the split.
        part: part of the data set; ``file_name`` is relative to its folder.
        name: name of the split in reports.
        problems: problems are appended here, and left out of the split.
    """
    content = _load(annotations, name, problems)
    category_ids, classes = _categories(content["categories"], name, problems)
    label: dict[ImageId, int] = {category: i + 1 for i, category in enumerate(category_ids)}
    # A split has masks if most of its objects have one: a few without are damage, not a split without masks.
    rows = [row for row in content["annotations"] if isinstance(row, dict)]
    with_masks = bool(rows) and 2 * sum(bool(row.get("segmentation")) for row in rows) > len(rows)
    images = _images(content["images"], part, name, problems)
    spellings = {spelled(image_id) for image_id in images}
    seen: set[Any] = set()
    for at, row in enumerate(content["annotations"]):
        image_id, category_id = (read_id(row.get(k)) if isinstance(row, dict) else None for k in _ID_FIELDS)
        if image_id is None or category_id is None:
            problems.append(LabelProblem("malformed-record", name, f"annotation at index {at}", repr(row)[:80]))
            continue
        where = f"annotation {row.get('id', f'at index {at}')}"
        if "id" in row:
            if read_id(row["id"]) is None or row["id"] in seen:
                problems.append(LabelProblem("duplicate-annotation-id", name, where))
                continue
            seen.add(row["id"])
        if image_id not in images:
            twin = ", a number where the image has a string, or vice versa" if spelled(image_id) in spellings else ""
            problems.append(LabelProblem("unknown-image", name, where, f"image_id {image_id!r}{twin}"))
            continue
        if category_id not in label:
            problems.append(LabelProblem("unknown-category", name, where, f"category_id {category_id!r}"))
            continue
        collector = images[image_id]
        if collector is not None:
            collector.add(
                where, _xyxy(row.get("bbox")), label[category_id], crowd=row.get("iscrowd"),
                area=row.get("area"), mask=row.get("segmentation"), masks_expected=with_masks,
            )  # fmt: skip
    ordered = sorted((c for c in images.values() if c is not None), key=lambda c: in_order(c.key.id))
    part = replace(part, category_ids=category_ids)
    return Split(name, tuple(c.finish(with_masks) for c in ordered), classes, (part,))


def _load(path: Path, name: str, problems: list[LabelProblem]) -> dict[str, list[Any]]:
    sections: dict[str, list[Any]] = {"images": [], "annotations": [], "categories": []}
    try:
        content = _READER.json(path, lenient=True)  # a NaN in one box is that object's problem
    except DataError as error:
        problems.append(LabelProblem("unreadable-annotations", name, str(path), str(error)[:160]))
        return sections
    if name != "train" and isinstance(content, dict) and "pseudo_labels" in (content.get("info") or {}):
        _log.warning(
            "%s contains pseudo-labels: metrics on them measure agreement with the model that made them.", path
        )
    for section in sections:
        section_rows = content.get(section) if isinstance(content, dict) else None
        if isinstance(section_rows, list):
            sections[section] = section_rows
        else:
            problems.append(LabelProblem("missing-section", name, str(path), f"no list {section!r}"))
    return sections


def _categories(rows: list[Any], name: str, problems: list[LabelProblem]) -> tuple[tuple[int, ...], tuple[str, ...]]:
    names: dict[int, str] = {}
    taken: set[str] = set()  # as they look: an accent may be one character or two
    for row in rows:
        category_id = read_id(row.get("id")) if isinstance(row, dict) else None
        if not isinstance(category_id, int) or not _is_text(row.get("name")) or not row["name"].strip():
            problems.append(LabelProblem("malformed-record", name, "a category", repr(row)[:80]))
        elif category_id in names:
            problems.append(LabelProblem("duplicate-category-id", name, f"category {category_id}", row["name"]))
        elif unicodedata.normalize("NFC", row["name"]) in taken:
            problems.append(LabelProblem("duplicate-category-name", name, f"category {category_id}", row["name"]))
        else:
            names[category_id] = row["name"]
            taken.add(unicodedata.normalize("NFC", row["name"]))
    ids = tuple(sorted(names))
    return ids, tuple(names[i] for i in ids)


def _images(rows: list[Any], part: Part, name: str, problems: list[LabelProblem]) -> dict[ImageId, Collector | None]:
    """Return collectors by image id; None for an image that is declared but unusable."""
    images: dict[ImageId, Collector | None] = {}
    spellings: set[str] = set()  # 1 and "1" are one image to some tools and two to others
    files: set[Path] = set()
    for row in rows:
        image_id = read_id(row.get("id")) if isinstance(row, dict) else None
        if image_id is None or not _is_text(row.get("file_name")):
            problems.append(LabelProblem("malformed-record", name, "an image", repr(row)[:80]))
            continue
        where, written = f"image {spelled(image_id)}", row["file_name"]
        width, height, file_name = row.get("width"), row.get("height"), name_below(part.folder, written)
        if spelled(image_id) in spellings:
            detail = "" if image_id in images else ", a number and a string with the same digits"
            problems.append(LabelProblem("duplicate-image-id", name, where, written + detail))
            images.setdefault(image_id)
            continue
        spellings.add(spelled(image_id))
        images[image_id] = None
        if file_name is None:
            problems.append(LabelProblem("path-outside-folder", name, where, written[:80]))
        elif part.folder / file_name in files:
            problems.append(LabelProblem("duplicate-image-file", name, where, written))
        elif fault := size_fault(width, height):
            problems.append(LabelProblem(fault[0], name, where, fault[1]))
        else:
            key, path = ImageKey(part.number, image_id), part.folder / file_name
            files.add(path)
            images[image_id] = Collector(name, key, path, file_name, row["width"], row["height"], problems)
    return images


def _xyxy(box: Any) -> Any:
    if not isinstance(box, list) or len(box) != 4 or not all(type(v) in (int, float) for v in box):
        return box
    x, y, width, height = (as_float(v) for v in box)
    return (x, y, x + width, y + height)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and is_utf8(value)
