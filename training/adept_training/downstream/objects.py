"""One object's box, area and mask, checked; shared by the COCO and the VOC reader."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from adept_training.downstream.problems import Problem
from adept_training.downstream.records import LabelledImage

#: Boxes may reach over the edge by this much, pixels, before it is called damage: tools differ in where pixels begin.
TOLERANCE = 2.0

Box = tuple[float, float, float, float]


@dataclass
class Collector:
    """Gathers an image's sound objects, and notes what is wrong with the others."""

    split: str
    image_id: str
    path: Path
    width: int
    height: int
    problems: list[Problem] = field(repr=False)
    _rows: list[tuple[Box, int, bool, bool, float, Any]] = field(default_factory=list)
    _seen: set[tuple[Box, int, bool]] = field(default_factory=set)

    def note(self, kind: str, where: str, detail: str = "") -> None:
        """Record a problem of this image."""
        self.problems.append(Problem(kind, self.split, f"image {self.image_id}, {where}", detail))

    def add(
        self, where: str, box: Any, label: int, *, crowd: bool = False, difficult: bool = False,
        area: Any = None, mask: Any = None, masks_expected: bool = False,
    ) -> None:  # fmt: skip
        """Take one object whose xyxy ``box`` may be anything at all."""
        if not isinstance(box, (list, tuple)) or len(box) != 4 or not all(_is_number(v) for v in box):
            self.note("malformed-box", where, repr(box)[:80])
            return
        if not all(math.isfinite(v) for v in box):
            self.note("non-finite-box", where, str([float(v) for v in box]))
            return
        x1, y1, x2, y2 = (float(v) for v in box)
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
        elif masks_expected and not _is_mask(mask, self.width, self.height):
            self.note("malformed-mask", where, repr(mask)[:80])
            return
        if (clipped, label, crowd) in self._seen:
            self.note("duplicate-object", where, shown)
        self._seen.add((clipped, label, crowd))
        if area is not None and not (_is_number(area) and math.isfinite(area) and area > 0):
            self.note("bad-area", where, repr(area)[:40])
            area = None
        size = (x2 - x1) * (y2 - y1) if area is None else float(area)
        self._rows.append((clipped, label, crowd, difficult, size, mask if masks_expected else None))

    def finish(self, with_masks: bool) -> LabelledImage:
        """The image with its sound objects."""
        if not self._rows:
            self.problems.append(Problem("image-without-objects", self.split, f"image {self.image_id}"))
        boxes, labels, crowd, difficult, area, masks = zip(*self._rows, strict=True) if self._rows else ((),) * 6
        return LabelledImage(
            self.image_id, self.path, self.width, self.height,
            np.array(boxes, np.float64).reshape(-1, 4), np.array(labels, np.int64), np.array(crowd, np.bool_),
            np.array(difficult, np.bool_), np.array(area, np.float64), tuple(masks) if with_masks else None,
        )  # fmt: skip


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_mask(mask: Any, width: int, height: int) -> bool:
    if isinstance(mask, list):
        return all(_is_polygon(part) for part in mask)
    if not isinstance(mask, dict) or mask.get("size") != [height, width]:
        return False
    counts = mask.get("counts")
    if isinstance(counts, list):
        return all(isinstance(c, int) and c >= 0 for c in counts) and sum(counts) == width * height
    return isinstance(counts, str) and bool(counts)


def _is_polygon(part: Any) -> bool:
    sound = isinstance(part, list) and len(part) >= 6 and len(part) % 2 == 0
    return sound and all(_is_number(v) and math.isfinite(v) for v in part)


def file_below(folder: Path, name: str) -> Path | None:
    """``folder``/``name``, or None where the name leads out of the folder."""
    path = Path(name)
    if path.is_absolute() or ".." in path.parts or not path.parts or "\0" in name:
        return None
    return folder / path
