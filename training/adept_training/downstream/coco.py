"""COCO's JSON, read leniently: what is sound is kept, all that is not is reported."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from adept_training.downstream.objects import Collector, as_float, file_below, size_fault
from adept_training.downstream.problems import Problem
from adept_training.downstream.records import Split
from adept_training.text import is_utf8


def read_coco(annotations: Path, folder: Path, name: str, problems: list[Problem]) -> Split:
    """One split of a COCO data set; COCO's xywh becomes xyxy.

    Args:
        annotations: the JSON of the split.
        folder: where its images are; ``file_name`` is relative to it.
        name: of the split, in reports.
        problems: whatever is wrong is appended here, and left out of the split.
    """
    content = _load(annotations, name, problems)
    category_ids, classes = _categories(content["categories"], name, problems)
    label = {category: i + 1 for i, category in enumerate(category_ids)}
    # A set is one of masks when most of its objects have one: a few that lack it are damage, not its absence.
    rows = [row for row in content["annotations"] if isinstance(row, dict)]
    with_masks = bool(rows) and 2 * sum(bool(row.get("segmentation")) for row in rows) > len(rows)
    images = _images(content["images"], folder, name, problems)
    seen: set[Any] = set()
    for at, row in enumerate(content["annotations"]):
        if not isinstance(row, dict) or not _is_id(row.get("image_id")) or not _is_id(row.get("category_id")):
            problems.append(Problem("malformed-record", name, f"annotation at place {at}", repr(row)[:80]))
            continue
        where = f"annotation {row.get('id', f'at place {at}')}"
        if "id" in row:
            if not _is_id(row["id"]) or row["id"] in seen:
                problems.append(Problem("duplicate-annotation-id", name, where))
                continue
            seen.add(row["id"])
        if row["image_id"] not in images:
            problems.append(Problem("unknown-image", name, where, f"image_id {row['image_id']!r}"))
            continue
        if row["category_id"] not in label:
            problems.append(Problem("unknown-category", name, where, f"category_id {row['category_id']!r}"))
            continue
        collector = images[row["image_id"]]
        if collector is not None:
            collector.add(
                where, _xyxy(row.get("bbox")), label[row["category_id"]], crowd=row.get("iscrowd"),
                area=row.get("area"), mask=row.get("segmentation"), masks_expected=with_masks,
            )  # fmt: skip
    ordered = sorted((c for c in images.values() if c is not None), key=lambda c: _natural(c.image_id))
    return Split(name, tuple(c.finish(with_masks) for c in ordered), classes, category_ids)


def _load(path: Path, name: str, problems: list[Problem]) -> dict[str, list[Any]]:
    sections: dict[str, list[Any]] = {"images": [], "annotations": [], "categories": []}
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        problems.append(Problem("unreadable-annotations", name, str(path), str(why)[:100]))
        return sections
    for section in sections:
        found = content.get(section) if isinstance(content, dict) else None
        if isinstance(found, list):
            sections[section] = found
        else:
            problems.append(Problem("missing-section", name, str(path), f"no list {section!r}"))
    return sections


def _categories(rows: list[Any], name: str, problems: list[Problem]) -> tuple[tuple[int, ...], tuple[str, ...]]:
    names: dict[int, str] = {}
    for row in rows:
        if not isinstance(row, dict) or not isinstance(row.get("id"), int) or not _is_text(row.get("name")):
            problems.append(Problem("malformed-record", name, "a category", repr(row)[:80]))
        elif row["id"] in names:
            problems.append(Problem("duplicate-category-id", name, f"category {row['id']}", row["name"]))
        elif row["name"] in names.values():
            problems.append(Problem("duplicate-category-name", name, f"category {row['id']}", row["name"]))
        else:
            names[row["id"]] = row["name"]
    ids = tuple(sorted(names))
    return ids, tuple(names[i] for i in ids)


def _images(rows: list[Any], folder: Path, name: str, problems: list[Problem]) -> dict[Any, Collector | None]:
    """Collectors by image id; None for an image that is declared but cannot be used."""
    images: dict[Any, Collector | None] = {}
    files: set[str] = set()
    for row in rows:
        if not isinstance(row, dict) or not _is_id(row.get("id")) or not _is_text(row.get("file_name")):
            problems.append(Problem("malformed-record", name, "an image", repr(row)[:80]))
            continue
        where, file_name = f"image {row['id']}", row["file_name"]
        width, height, path = row.get("width"), row.get("height"), file_below(folder, file_name)
        if row["id"] in images:
            problems.append(Problem("duplicate-image-id", name, where, file_name))
            continue
        images[row["id"]] = None
        if path is None:
            problems.append(Problem("path-outside-folder", name, where, file_name[:80]))
        elif file_name in files:
            problems.append(Problem("duplicate-image-file", name, where, file_name))
        elif fault := size_fault(width, height):
            problems.append(Problem(fault[0], name, where, fault[1]))
        else:
            files.add(file_name)
            images[row["id"]] = Collector(name, str(row["id"]), path, row["width"], row["height"], problems)
    return images


def _xyxy(box: Any) -> Any:
    if not isinstance(box, list) or len(box) != 4 or not all(type(v) in (int, float) for v in box):
        return box
    x, y, width, height = (as_float(v) for v in box)
    return (x, y, x + width, y + height)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and is_utf8(value)


def _is_id(value: Any) -> bool:
    return (isinstance(value, int) and not isinstance(value, bool)) or _is_text(value)


def _natural(image_id: str) -> tuple[int, str]:
    """Ids in pycocotools' order: by number where they are numbers."""
    return (int(image_id), "") if image_id.isdecimal() else (-1, image_id)
