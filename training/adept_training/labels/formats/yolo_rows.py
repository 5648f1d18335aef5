"""Parse the lines of YOLO's label files: ``class x y width height``, or ``class x1 y1 x2 y2 x3 y3 ...``.

Coordinates are shares of the width and height of the image as it is shown.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

#: A larger coordinate is one in pixels, not an object that reaches over the image's edge.
_LARGEST = 2.0


@dataclass(frozen=True)
class YoloRow:
    """A line of a label file: a class and its coordinates, or the kind of damage (``fault``) and its description."""

    line: int
    label: int = -1
    values: tuple[float, ...] = ()
    fault: str = ""
    detail: str = ""

    @property
    def is_polygon(self) -> bool:
        return len(self.values) > 4


def parse_rows(text: str) -> list[YoloRow]:
    """Parse a label file; blank lines are skipped."""
    return [_row(at, line.split()) for at, line in enumerate(text.splitlines(), start=1) if line.strip()]


def _row(at: int, words: list[str]) -> YoloRow:
    label, values = _number(words[0]), [_number(word) for word in words[1:]]
    shown = " ".join(words)[:80]
    if label is None:
        return YoloRow(at, fault="unknown-category", detail=f"{words[0]!r:.40} is not the number of a class")
    if not math.isfinite(label) or not label.is_integer():
        return YoloRow(at, fault="malformed-record", detail=f"the class {words[0]!r:.40} is not an integer")
    numbers = [value for value in values if value is not None]
    if len(numbers) < len(values) or len(values) < 4:
        return YoloRow(at, fault="malformed-box", detail=shown)
    if len(values) == 5:
        return YoloRow(
            at, fault="malformed-record",
            detail=f"{shown}: the sixth value is a score, so this is a prediction, not a label. "
            "Remove the column, or use the predictions' COCO file",
        )  # fmt: skip
    if not all(map(math.isfinite, numbers)):
        return YoloRow(at, fault="non-finite-box", detail=shown)
    if max(map(abs, numbers)) > _LARGEST:
        return YoloRow(at, fault="malformed-box", detail=f"{shown}: not shares of the image's sides, from 0 to 1")
    if len(values) % 2:
        return YoloRow(at, fault="malformed-mask", detail=f"{len(values)} coordinates, which are not pairs of x and y")
    return YoloRow(at, int(label), tuple(numbers))


def as_box(row: YoloRow, width: int, height: int) -> tuple[float, float, float, float]:
    """Return the xyxy box in pixels, of a polygon the enclosing one."""
    if row.is_polygon:
        xs, ys = row.values[::2], row.values[1::2]
        return min(xs) * width, min(ys) * height, max(xs) * width, max(ys) * height
    x, y, w, h = row.values
    return (x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height


def as_polygon(row: YoloRow, width: int, height: int) -> list[list[float]]:
    """Return COCO's segmentation, in pixels."""
    return [[value * (height if at % 2 else width) for at, value in enumerate(row.values)]]


def area_of(polygon: list[float]) -> float:
    """Return the area of a polygon of x, y, ..."""
    xs, ys = polygon[::2], polygon[1::2]
    return abs(sum(xs[i - 1] * ys[i] - xs[i] * ys[i - 1] for i in range(len(xs)))) / 2


def _number(word: str) -> float | None:
    try:
        return None if "_" in word else float(word)
    except ValueError:
        return None
