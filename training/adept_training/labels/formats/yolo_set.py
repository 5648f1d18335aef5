"""Read the ``data.yaml`` of a YOLO data set: classes, and folders and lists of its images, in Ultralytics' layout.

Nothing that the file names is run or downloaded.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adept_hub.errors import DataError
from adept_hub.io.paths import exists, expanded, is_dir, is_file, not_a
from adept_hub.io.read import BoundedReader
from adept_hub.words.spelling import did_you_mean
from adept_hub.words.text import is_utf8, one_line
from adept_training.labels.exports import data_yaml_command

SPLITS = ("train", "val", "test")
_KNOWN = (*SPLITS, "path", "names", "nc")
_READER = BoundedReader(DataError)
_log = logging.getLogger(__name__)

#: Kind, location and value of a problem of the file itself; see `adept_training.labels.problems`.
Fault = tuple[str, str, str]


@dataclass(frozen=True)
class YoloSet:
    """The content of a ``data.yaml``.

    Attributes:
        file: the ``data.yaml``.
        root: the folder that contains all images; image ids are paths relative to it.
        base: the folder to which the file's own paths are relative.
        classes: names by the number in the label files, in order; damaged ones are left out.
        locations: the folders and text files of paths of each split.
        faults: problems of the classes.
    """

    file: Path
    root: Path
    base: Path
    classes: dict[int, str]
    locations: dict[str, tuple[Path, ...]]
    faults: tuple[Fault, ...] = ()


def open_yolo(file: Path) -> YoloSet:
    """Read a ``data.yaml``; whether its images exist is not checked.

    Raises:
        DataError: the file is missing or not a ``data.yaml`` of boxes or polygons.
    """
    if not is_file(file):
        inside = f"\nWrite yolo:{file / 'data.yaml'}" if is_file(file / "data.yaml") else _write_it(file)
        raise DataError(f"{not_a('a data.yaml', file)}{inside}")
    named = file.suffix.lower() in (".yaml", ".yml") or not _write_it(file)
    content = _READER.yaml(file) if named else None
    if not isinstance(content, dict) or not content.keys() & {*SPLITS}:
        raise DataError(f"{file} is not a YOLO data.yaml: it has no field train, val or test.{_write_it(file)}")
    for field in map(str, content.keys() - {*_KNOWN}):
        if near := did_you_mean(field, (*_KNOWN, "validation"), cutoff=0.75).replace("validation", "val"):
            raise DataError(f"{file} has an unknown field {field!r:.60}.{near}")
    if "kpt_shape" in content:
        raise DataError(f"{file} has keypoints (kpt_shape).\nOnly labels with boxes or polygons are read.")
    if content.get("download"):
        _log.warning("%s: its download: is not run; the images must already be there", one_line(str(file)))
    base = _base(file, content.get("path"))
    locations = {split: _locations(file, base, split, content[split]) for split in SPLITS if content.get(split)}
    classes, faults = _classes(content)
    return YoloSet(file, _root(file, base, locations), base, classes, locations, tuple(faults))


def _write_it(place: Path) -> str:
    command = data_yaml_command(place)
    return f"\nWrite one, then give it:\n  {command}" if command else ""


def label_path(image: Path) -> Path:
    """Return the label file of an image: the last ``/images/`` becomes ``/labels/``, the suffix ``.txt``."""
    before, sign, after = _absolute(image).rpartition(f"{os.sep}images{os.sep}")
    moved = f"{before}{os.sep}labels{os.sep}{after}" if sign else after
    return Path(moved).with_suffix(".txt")


def image_id(root: Path, image: Path) -> str | None:
    """Return the path of an image relative to the data set's folder, or None outside of it."""
    try:
        relative = Path(os.path.relpath(_absolute(image), _absolute(root)))
    except ValueError:  # another drive, or a null character
        return None
    return relative.as_posix() if relative.parts and relative.parts[0] != os.pardir else None


def _absolute(path: Path) -> str:
    """Return an absolute path without ``..``; links remain, because labels are found by the images' own paths."""
    return os.path.normpath(path.absolute())


def _base(file: Path, written: Any) -> Path:
    if written is None or written == "":
        return file.parent
    if not isinstance(written, str):
        raise DataError(f"{file}: path is {written!r:.60}, not a folder.")
    _check_local(file, "path", written)
    given = expanded(written, DataError)
    candidates = list(dict.fromkeys([file.parent / given, given]))
    found = next((folder for folder in candidates if is_dir(folder)), None)
    if found is None:
        tried = " and ".join(str(folder) for folder in candidates)
        raise DataError(
            f"{file}: path: {written} is not a folder (looked for {tried}).\n"
            "Write its absolute path, or delete the line if train: and val: are relative to this file."
        )
    return found


def _locations(file: Path, base: Path, split: str, value: Any) -> tuple[Path, ...]:
    words = value if isinstance(value, list) else [value]
    if not all(isinstance(word, str) and word.strip() for word in words):
        raise DataError(f"{file}: {split} must be a folder, a text file of image paths, or a list of them.")
    return tuple(_location(file, base, split, word) for word in words)


def _location(file: Path, base: Path, split: str, word: str) -> Path:
    _check_local(file, split, word)
    place = base / expanded(word, DataError)
    if word.startswith("../") and not exists(place) and exists(base / word[3:]):
        return base / word[3:]  # as in Ultralytics: Roboflow's exports write ../train/images for train/images
    return place


def _check_local(file: Path, field: str, word: str) -> None:
    if "://" in word:
        raise DataError(f"{file}: {field}: {one_line(word)} is remote.\nDownload it, and write the path of a folder.")


def _root(file: Path, base: Path, locations: dict[str, tuple[Path, ...]]) -> Path:
    """Return ``base``, or if a split lies outside, the folder that contains all splits."""
    listed = [place for several in locations.values() for place in several]
    if all(image_id(base, place / "x") for place in listed):
        return base
    try:
        folders = [place if is_dir(place) else place.parent for place in listed]
        return Path(os.path.commonpath([_absolute(folder) for folder in folders]))
    except ValueError as error:  # several drives
        raise DataError(f"{file}: the splits are not below one folder.\nMove them into one.") from error


def _classes(content: dict[Any, Any]) -> tuple[dict[int, str], list[Fault]]:
    faults: list[Fault] = []
    names, count = content.get("names"), content.get("nc")
    if count is not None and (type(count) is not int or count < 1):
        faults.append(("malformed-record", "nc", f"{count!r:.40}, not a number of classes"))
        count = None
    if names is None and count is not None and count <= 10_000:
        return {number: f"class_{number}" for number in range(count)}, faults  # as in Ultralytics
    if not isinstance(names, (list, dict)) or not names:
        return {}, [*faults, ("missing-section", "names", f"{names!r:.40}, neither a list nor a mapping of classes")]
    classes = _named(names.items() if isinstance(names, dict) else enumerate(names), faults)
    if count is not None and count != len(names):
        faults.append(("malformed-record", "nc", f"{count}, but names has {len(names)}"))
    return dict(sorted(classes.items())), faults


def _named(rows: Iterable[tuple[Any, Any]], faults: list[Fault]) -> dict[int, str]:
    classes: dict[int, str] = {}
    for key, name in rows:
        number = int(key) if isinstance(key, str) and key.isdecimal() else key
        where = f"class {one_line(str(key), 40)}"
        if type(number) is not int or number < 0:
            faults.append(("malformed-record", where, "its number is not an integer from 0"))
        elif not isinstance(name, str) or not name.strip() or not is_utf8(name):
            faults.append(("malformed-record", where, f"the name {name!r:.40} is not a text; write it in quotes"))
        elif number in classes:
            faults.append(("duplicate-category-id", where, name))
        elif name in classes.values():
            faults.append(("duplicate-category-name", where, name))
        else:
            classes[number] = name
    return classes
