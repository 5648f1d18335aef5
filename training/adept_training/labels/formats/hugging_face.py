"""Read the boxes of a Hugging Face dataset: a COCO copy of each split in the user's cache, made once.

The library reads images from files, which a dataset does not have. A copy belongs to the dataset's own fingerprint, so
that another revision has another copy.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adept_hub.errors import DataError, ImageDecodeError, ImagesError
from adept_hub.images.decode import read_size
from adept_hub.io.write import atomic_folder
from adept_hub.words.spelling import did_you_mean
from adept_training.images.hugging_face import PREFIX, HuggingFaceImages, images_of, load_dataset

#: Parameters of a copy, so that a later version of this module makes another.
_VERSION = 1
_GRAMMAR = re.compile(r"(?P<name>[^@:?]+)(@(?P<revision>[^@:?]+))?(?P<splits>(:[^@:?]+)*)(\?boxes=(?P<boxes>\w+))?")
_FORM = f"{PREFIX}NAME[@REVISION][:TRAIN[:VAL[:TEST]]][?boxes=xyxy]"
_ROLES = ("train", "val", "test")
#: Names of the splits of a role, the usual one first.
_NAMES = {"train": ("train",), "val": ("validation", "val", "valid", "dev"), "test": ("test",)}
_BOXES = ("xywh", "xyxy")
#: Names of the columns, as the object detection datasets of the Hub have them.
_OBJECTS = ("objects", "annotations", "faces", "labels")
_BOX = ("bbox", "boxes", "bboxes", "box")
_CATEGORY = ("category", "categories", "category_id", "label", "labels", "classes", "class")
_SUFFIX = {b"\xff\xd8": ".jpg", b"\x89P": ".png", b"RI": ".webp", b"GI": ".gif", b"BM": ".bmp"}


@dataclass(frozen=True)
class CocoCopy:
    """The copy of one split.

    Attributes:
        word: the split, as a word of ``--data``.
        annotations: its COCO JSON.
        images: its image folder.
    """

    word: str
    annotations: Path
    images: Path


def copy_splits(word: str) -> dict[str, CocoCopy]:
    """Return copies of ``hf-datasets:NAME[@REVISION][:TRAIN[:VAL[:TEST]]][?boxes=xyxy]`` by role, making missing ones.

    Boxes are COCO's (x, y, width, height) unless ``?boxes=xyxy`` is given: a dataset does not declare its convention.
    Without splits each has the role of its name.

    Raises:
        DataError: no such dataset or split, or the dataset has no boxes or classes. MissingExtraError: datasets is not
                installed.
    """
    match = _GRAMMAR.fullmatch(word.removeprefix(PREFIX))
    boxes = (match and match["boxes"]) or _BOXES[0]
    if match is None or boxes not in _BOXES or match["splits"].count(":") > len(_ROLES):
        raise DataError(f"{word!r} is not {_FORM}.\nFor example {PREFIX}org/cells:train:validation.")
    try:
        splits = load_dataset(word, match["name"], match["revision"], None)
    except ImagesError as error:
        raise DataError(str(error)) from error
    name = match["name"] + (f"@{match['revision']}" if match["revision"] else "")
    roles = _roles(word, list(splits), list(filter(None, match["splits"].split(":"))))
    return {role: _copy(splits[split], f"{PREFIX}{name}:{split}", split, boxes) for role, split in roles.items()}


def _roles(word: str, names: list[str], given: list[str]) -> dict[str, str]:
    for split in given:
        if split not in names:
            near = did_you_mean(split, names)
            raise DataError(f"{word!r} has no split {split!r}.{near}\nIts splits: {', '.join(names)}.")
    if given:
        return dict(zip(_ROLES, given, strict=False))
    roles = {role: next((name for name in usual if name in names), "") for role, usual in _NAMES.items()}
    if not roles["train"]:
        raise DataError(f"{word!r} has no split train, only {', '.join(names)}.\nWrite {word}:{names[0]}")
    return {role: split for role, split in roles.items() if split}


def _copy(dataset: Any, word: str, split: str, boxes: str) -> CocoCopy:
    """Return the copy of one split; write it if it does not exist."""
    stamp = f"{_VERSION} {dataset._fingerprint} {split} {boxes}"
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "adept_hub" / "datasets"
    folder = cache / hashlib.sha256(stamp.encode()).hexdigest()[:32]
    copy = CocoCopy(word, folder / "annotations.json", folder / "images")
    if not copy.annotations.is_file():
        try:
            images = images_of(dataset, word, split)
        except ImagesError as error:
            raise DataError(str(error)) from error
        columns = _Columns.find(dataset, word)
        with atomic_folder(folder, overwrite=True) as temporary:
            (temporary / "images").mkdir()
            content, sizes = _write_images(images, columns, dataset, temporary / "images", boxes)
            _check_convention(content["annotations"], sizes, word, boxes)
            (temporary / "annotations.json").write_text(json.dumps(content), encoding="utf-8")
    return copy


@dataclass(frozen=True)
class _Columns:
    """Names of the columns, and of the classes."""

    objects: str
    box: str
    category: str
    classes: tuple[str, ...]

    @classmethod
    def find(cls, dataset: Any, word: str) -> _Columns:
        """Find the columns.

        Raises:
            DataError: one is missing, or its classes have no names.
        """
        for objects in (name for name in _OBJECTS if name in dataset.features):
            fields = _fields(dataset.features[objects])
            box = next((name for name in _BOX if name in fields), "")
            category = next((name for name in _CATEGORY if name in fields), "")
            if box and category:
                label = _element(fields[category])
                names = getattr(label, "names", None)
                if names is None and getattr(label, "dtype", "") == "string":
                    names = sorted({str(c) for row in dataset[objects] for c in _column(row, category)})
                if names is None:
                    raise DataError(
                        f"{word}: the classes in {objects}.{category} have no names, because it is not a ClassLabel.\n"
                        f"Cast it: dataset.cast_column, see the documentation of datasets."
                    )
                return cls(objects, box, category, tuple(names))
        raise DataError(
            f"{word} has no boxes: none of its columns ({', '.join(dataset.features)}) is {' or '.join(_OBJECTS[:2])} "
            f"with {_BOX[0]} and {_CATEGORY[0]}.\nGive a dataset for object detection."
        )


def _fields(feature: Any) -> dict[str, Any]:
    """Return the features of an object: those of a list of dictionaries, or of a dictionary of lists."""
    inner = _element(feature)
    return dict(inner) if isinstance(inner, dict) else {}


def _element(feature: Any) -> Any:
    if isinstance(feature, list):
        return feature[0]
    return getattr(feature, "feature", feature)


def _column(row: Any, name: str) -> list[Any]:
    """Return one field of all objects of an image."""
    if isinstance(row, dict):
        return list(row[name] or []) if name in row else []
    return [one[name] for one in row or [] if name in one]


def _write_images(
    images: HuggingFaceImages, columns: _Columns, dataset: Any, folder: Path, boxes: str
) -> tuple[dict[str, list[dict[str, Any]]], dict[int, tuple[int, int]]]:
    """Write the images to ``folder``; return COCO's content, and width and height of those that can be read."""
    rows, objects = [], []
    sizes: dict[int, tuple[int, int]] = {}
    table = dataset.select_columns([columns.objects])
    for number, key in enumerate(images.keys()):
        row: dict[str, Any] = {"id": number, "file_name": f"{number:08d}.jpg", "width": 1, "height": 1}
        try:
            content = images.read(key)
            row["file_name"] = f"{number:08d}{_SUFFIX.get(content[:2], '.jpg')}"
            (folder / row["file_name"]).write_bytes(content)
            row["width"], row["height"] = sizes[number] = read_size(content, key)
        except ImageDecodeError:
            pass  # the check of the labels reports the missing or unreadable file
        rows.append(row)
        objects += [{"image_id": number, **one} for one in _objects(table[number][columns.objects], columns, boxes)]
    coco = {
        "images": rows,
        "annotations": [{"id": number, **one} for number, one in enumerate(objects, start=1)],
        "categories": [{"id": number, "name": name} for number, name in enumerate(columns.classes, start=1)],
    }
    return coco, sizes


def _check_convention(objects: list[dict[str, Any]], sizes: dict[int, tuple[int, int]], word: str, boxes: str) -> None:
    """Check that boxes fit into their images as the convention has them, or no better as the other has them.

    Raises:
        DataError: a tenth of them does not fit, and all do by the other convention.
    """
    rows = [
        (sizes[one["image_id"]], one["bbox"]) for one in objects if one["image_id"] in sizes and _is_box(one["bbox"])
    ]
    here = sum(x + w > width + 1 or y + h > height + 1 or min(w, h) < 0 for (width, height), (x, y, w, h) in rows)
    if boxes == "xywh":
        there = sum(w <= x or h <= y or w > width + 1 or h > height + 1 for (width, height), (x, y, w, h) in rows)
    else:
        there = sum(x + x + w > width + 1 or y + y + h > height + 1 for (width, height), (x, y, w, h) in rows)
    if 10 * here > len(rows) and not there:
        other = "?boxes=xyxy" if boxes == "xywh" else ""
        raise DataError(
            f"{word}: read as {boxes}, {here} of {len(rows)} boxes do not fit into their images; all do as "
            f"{'xyxy' if boxes == 'xywh' else 'xywh'}.\nWrite {word}{other}"
        )


def _is_box(box: Any) -> bool:
    return isinstance(box, list) and len(box) == 4 and all(isinstance(value, (int, float)) for value in box)


def _objects(row: Any, columns: _Columns, boxes: str) -> Iterator[dict[str, Any]]:
    crowds, areas = _column(row, "iscrowd"), _column(row, "area")
    # What one of the lists lacks is a malformed record in the check of the labels.
    pairs = itertools.zip_longest(_column(row, columns.box), _column(row, columns.category))
    for at, (box, category) in enumerate(pairs):
        if boxes == "xyxy" and _is_box(box):
            box = [*box[:2], box[2] - box[0], box[3] - box[1]]
        label = columns.classes.index(category) if isinstance(category, str) else category
        one: dict[str, Any] = {"bbox": box, "category_id": None if label is None else label + 1}
        if at < len(crowds) and crowds[at] is not None:
            one["iscrowd"] = int(crowds[at])
        if at < len(areas):
            one["area"] = areas[at]
        yield one
