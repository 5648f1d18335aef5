"""Validate an object's box, flags, area and mask: the only reader of objects, for checks, training and evaluation.

COCO's and VOC's readers pass on the values of the file, whatever their type.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from adept_hub.io.paths import is_file
from adept_training.images import MAX_PIXELS
from adept_training.labels.identity import ImageKey, spelled
from adept_training.labels.masks import mask_fault
from adept_training.labels.problems import LabelProblem
from adept_training.labels.records import LabeledImage

#: Pixels by which boxes may exceed the edge before it counts as damage: tools differ in where pixels begin.
TOLERANCE = 2.0
#: Aspect ratio of at most 50 : 1. Scaled to a network's input, the shorter side of a longer image would vanish.
LONGEST = 50

Box = tuple[float, float, float, float]


@dataclass
class Collector:
    """Collects an image's sound objects, and records the problems of the others."""

    split: str
    key: ImageKey
    path: Path
    file_name: str
    width: int
    height: int
    problems: list[LabelProblem] = field(repr=False)
    _rows: list[tuple[Box, int, bool, bool, float, Any]] = field(default_factory=list)
    _seen: set[tuple[Box, int, bool]] = field(default_factory=set)

    def note(self, kind: str, where: str, detail: str = "") -> None:
        """Record a problem of this image."""
        self.problems.append(LabelProblem(kind, self.split, f"image {spelled(self.key.id)}, {where}", detail))

    def add(
        self, where: str, box: Any, label: int, *, crowd: Any = None, difficult: Any = None,
        area: Any = None, mask: Any = None, masks_expected: bool = False,
    ) -> None:  # fmt: skip
        """Add one object whose xyxy ``box``, flags, area and mask may have any value and type."""
        flags = {name: flag_of(value) for name, value in (("iscrowd", crowd), ("difficult", difficult))}
        for name, value in (("iscrowd", crowd), ("difficult", difficult)):
            if flags[name] is None:
                self.note("malformed-flag", where, f"{name} is {value!r:.40}")
                return
        crowd, difficult = bool(flags["iscrowd"]), bool(flags["difficult"])
        if not isinstance(box, (list, tuple)) or len(box) != 4 or not all(_is_number(v) for v in box):
            self.note("malformed-box", where, repr(box)[:80])
            return
        x1, y1, x2, y2 = (as_float(v) for v in box)
        if not all(math.isfinite(v) for v in (x1, y1, x2, y2)):
            self.note("non-finite-box", where, str([x1, y1, x2, y2]))
            return
        shown = f"({x1:g}, {y1:g}, {x2:g}, {y2:g}) in {self.width} x {self.height}"
        if x2 <= x1 or y2 <= y1:
            self.note("degenerate-box", where, shown)
            return
        if x1 >= self.width or y1 >= self.height or x2 <= 0 or y2 <= 0:
            self.note("box-outside-image", where, shown)
            return
        if min(x1, y1) < -TOLERANCE or x2 > self.width + TOLERANCE or y2 > self.height + TOLERANCE:
            self.note("box-out-of-range", where, shown)
        if min(x2 - x1, y2 - y1) < 1:
            self.note("tiny-box", where, shown)
        clipped = (max(x1, 0.0), max(y1, 0.0), min(x2, float(self.width)), min(y2, float(self.height)))
        if masks_expected and not mask:
            self.note("object-without-mask", where)
            mask = None
        elif masks_expected and (fault := mask_fault(mask, self.width, self.height)):
            self.note("malformed-mask", where, fault)
            return
        if (clipped, label, crowd) in self._seen:
            self.note("duplicate-object", where, shown)
        self._seen.add((clipped, label, crowd))
        if area is not None and not (_is_number(area) and 0 < as_float(area) < math.inf):
            self.note("bad-area", where, repr(area)[:40])
            area = None
        size = (x2 - x1) * (y2 - y1) if area is None else as_float(area)
        self._rows.append((clipped, label, crowd, difficult, size, mask if masks_expected else None))

    def finish(self, with_masks: bool) -> LabeledImage:
        """Return the image with its sound objects."""
        if all(crowd for _, _, crowd, *_ in self._rows):
            only = "only crowds" if self._rows else ""
            self.problems.append(
                LabelProblem("image-without-objects", self.split, f"image {spelled(self.key.id)}", only)
            )
        boxes, labels, crowd, difficult, area, masks = zip(*self._rows, strict=True) if self._rows else ((),) * 6
        return LabeledImage(
            self.key, self.path, self.file_name, self.width, self.height,
            np.array(boxes, np.float64).reshape(-1, 4), np.array(labels, np.int64), np.array(crowd, np.bool_),
            np.array(difficult, np.bool_), np.array(area, np.float64), tuple(masks) if with_masks else None,
        )  # fmt: skip


def flag_of(value: Any) -> bool | None:
    """Parse a flag of 0 or 1; absent or null is 0, as in pycocotools; anything else, including strings, is None."""
    if value is None:
        return False
    return bool(value) if isinstance(value, (int, float)) and value in (0, 1) else None


def as_float(value: float) -> float:
    """Convert ``value`` to float; integers beyond its range, which JSON allows, become infinite."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def size_fault(width: Any, height: Any) -> tuple[str, str] | None:
    """Return the kind of problem with an image's size, and its detail; None for a usable size."""
    if not all(type(side) is int and side > 0 for side in (width, height)):
        return "bad-image-size", f"{width!r:.30} x {height!r:.30}"
    if width * height > MAX_PIXELS:
        return "bad-image-size", f"{width!s:.30} x {height!s:.30}, more than {MAX_PIXELS:,} pixels"
    if max(width, height) > LONGEST * min(width, height):
        return "extreme-shape", f"{width} x {height}"
    return None


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def name_below(folder: Path, name: str) -> str | None:
    """Return ``name`` relative to ``folder``, or None if it leads out of the folder.

    The name is unchanged, unless its backslashes are another system's separators and no such file exists.
    """
    if "\\" in name and not is_file(folder / name):
        name = name.replace("\\", "/")
    path = PurePosixPath(name)
    return None if path.is_absolute() or ".." in path.parts or not path.parts or "\0" in name else name
