"""Read YOLO's images and label files leniently: keep sound records, report all others."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

from adept_hub.errors import DataError, ImageDecodeError, ImagesError
from adept_hub.images.files import name_of, search
from adept_hub.io.paths import is_dir, is_file, not_a
from adept_hub.io.read import BoundedReader
from adept_hub.words.text import is_utf8
from adept_training.images import IMAGE_SUFFIXES, read_file_size
from adept_training.labels.formats.yolo_rows import YoloRow, area_of, as_box, as_polygon, parse_rows
from adept_training.labels.formats.yolo_set import YoloSet, image_id, label_path
from adept_training.labels.identity import ImageKey, Part
from adept_training.labels.objects import Collector, size_fault
from adept_training.labels.pixels import file_fault
from adept_training.labels.problems import LabelProblem
from adept_training.labels.records import Split

_READER = BoundedReader(DataError, limit=64 << 20)
_LIST_READER = BoundedReader(DataError, limit=1 << 30)
_THREADS = 8


@dataclass
class _Reading:
    """The split that is being read."""

    yolo: YoloSet
    name: str
    problems: list[LabelProblem]
    images: dict[str, Path] = field(default_factory=dict)

    def note(self, kind: str, where: str, detail: str = "") -> None:
        self.problems.append(LabelProblem(kind, self.name, where, detail))


def read_yolo(yolo: YoloSet, set_name: str, part: Part, name: str, problems: list[LabelProblem]) -> Split:
    """Read one split of a YOLO data set; the sizes of the images are read from their headers.

    The split has masks if most of its objects are polygons. An image without a label file has no objects.

    Args:
        yolo: the ``data.yaml``.
        set_name: ``train``, ``val`` or ``test``.
        part: part of the data set; its folder is the root of ``yolo``.
        name: name of the split in reports.
        problems: problems are appended here, and left out of the split.
    """
    reading = _Reading(yolo, name, problems)
    for place in yolo.locations[set_name]:
        _list_images(reading, place)
    _note_orphans(reading, yolo.locations[set_name])
    rows = {key: found for key, path in _own_labels(reading) if (found := _read_labels(reading, key, path)) is not None}
    if reading.images and not any(is_file(label_path(path)) for path in reading.images.values()):
        expected = label_path(next(iter(reading.images.values())))
        reading.note("missing-section", str(yolo.file), f"none of the images has a label file, such as {expected}")
    objects = [row for found in rows.values() for row in found if not row.fault]
    with_masks = 2 * sum(row.is_polygon for row in objects) > len(objects)
    label = {number: at for at, number in enumerate(yolo.classes, start=1)}
    images = []
    with ThreadPoolExecutor(_THREADS) as pool:
        sizes = pool.map(_size, [reading.images[key] for key in rows], rows)
        for (key, found), size in zip(rows.items(), sizes, strict=True):
            if isinstance(size, Exception):
                reading.note(*_with_image(key, file_fault(size, reading.images[key])))
            elif fault := size_fault(*size):
                reading.note(*_with_image(key, fault))
            else:
                collector = Collector(
                    name, ImageKey(part.number, key), reading.images[key], key, *size, problems
                )  # fmt: skip
                labels = label_path(reading.images[key])
                shown = labels.relative_to(part.folder) if labels.is_relative_to(part.folder) else labels
                for row in found:
                    _add(collector, f"line {row.line} of {shown.as_posix()}", row, label, with_masks)
                images.append(collector.finish(with_masks))
    return Split(name, tuple(images), tuple(yolo.classes.values()), (replace(part, category_ids=tuple(yolo.classes)),))


def _add(collector: Collector, where: str, row: YoloRow, label: dict[int, int], with_masks: bool) -> None:
    if row.fault:
        collector.note(row.fault, where, row.detail)
        return
    if row.label not in label:
        collector.note("unknown-category", where, f"class {row.label} of {len(label)}, which are counted from 0")
        return
    width, height = collector.width, collector.height
    mask = as_polygon(row, width, height) if with_masks and row.is_polygon else None
    collector.add(
        where, as_box(row, width, height), label[row.label],
        area=None if mask is None else area_of(mask[0]), mask=mask, masks_expected=with_masks,
    )  # fmt: skip


def _list_images(reading: _Reading, place: Path) -> None:
    if is_dir(place):
        try:
            keys = [key for key in search(place) if key.lower().endswith(IMAGE_SUFFIXES)]
        except ImagesError as error:
            reading.note("missing-section", str(place), str(error))
            return
        for key in keys:
            _list_image(reading, key, place / name_of(key))
        return
    if not is_file(place):
        reading.note("missing-section", str(place), not_a("a folder of images, or text file of paths", place))
        return
    try:
        # A path in another encoding is a problem of its image, which is then missing.
        text = _LIST_READER.read(place).decode("utf-8-sig", "replace")
    except DataError as error:
        reading.note("unreadable-annotations", str(place), str(error)[:160])
        return
    for line in filter(None, map(str.strip, text.splitlines())):
        _list_image(reading, line, _listed(line, place, reading.yolo.base))


def _listed(line: str, place: Path, base: Path) -> Path:
    """Return the image of a line, relative to the list or to the data set, in any system's writing."""
    candidates = [place.parent / line, base / line]
    if "\\" in line:
        candidates += [folder / line.replace("\\", "/") for folder in (place.parent, base)]
    return next((path for path in candidates if is_file(path)), candidates[0])


def _list_image(reading: _Reading, written: str, path: Path) -> None:
    key = image_id(reading.yolo.root, path)
    if key is None or "://" in written:
        outside = "remote" if "://" in written else f"outside {reading.yolo.root}: path: must contain all images"
        reading.note("path-outside-folder", f"image {written}", outside)
    elif not is_utf8(key):
        reading.note("unreadable-image", f"image {key}", "its name is not UTF-8")
    elif key in reading.images:
        reading.note("duplicate-image-id", f"image {key}", "twice in the split")
    else:
        reading.images[key] = reading.yolo.root / key


def _own_labels(reading: _Reading) -> Iterator[tuple[str, Path]]:
    """Yield images and their label files; of two images with one file, only the first."""
    owners: dict[Path, str] = {}
    for key in sorted(reading.images):
        path = label_path(reading.images[key])
        if (owner := owners.setdefault(path, key)) != key:
            reading.note("duplicate-image-file", f"image {key}", f"the label file {path.name}, as image {owner}")
            continue
        yield key, path


def _read_labels(reading: _Reading, key: str, path: Path) -> list[YoloRow] | None:
    if not os.path.lexists(path):
        return []
    try:
        return parse_rows(_READER.text(path))
    except DataError as error:
        reading.note("unreadable-annotations", f"image {key}", str(error)[:160])
        return None


def _note_orphans(reading: _Reading, places: tuple[Path, ...]) -> None:
    """Report label files without an image; unlisted images, and text files without labels, are not damage."""
    expected = {label_path(path) for path in reading.images.values()}
    files: set[Path] = set()
    for place in places:
        if is_dir(place):
            folder = label_path(place / "x.txt").parent
            files |= {folder / name_of(key) for key in search(folder)} if is_dir(folder) else set()
    if any(not is_dir(place) for place in places):
        for folder in {path.parent for path in reading.images.values() if is_dir(path.parent)}:
            expected |= {label_path(path) for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES}
            files |= set(labels.iterdir()) if is_dir(labels := label_path(folder / "x.txt").parent) else set()
    for file in sorted(files - expected):
        if file.suffix == ".txt" and _has_labels(file):
            reading.note("unknown-image", f"label file {file}", "no image has this name")


def _has_labels(file: Path) -> bool:
    try:
        return any(not row.fault for row in parse_rows(_READER.text(file)))
    except DataError:
        return False


def _size(path: Path, key: str) -> tuple[int, int] | Exception:
    try:
        path.stat()
        return read_file_size(path, key)
    except (ImageDecodeError, OSError, ValueError) as error:  # a null character in the name: ValueError
        return error


def _with_image(key: str, fault: tuple[str, str]) -> tuple[str, str, str]:
    return fault[0], f"image {key}", fault[1]
