"""Validate COCO segmentations before pycocotools reads them: its C code trusts every number.

Legend: H x W of the image.
"""

from __future__ import annotations

import math
from typing import Any

#: A character of a compressed run encodes five bits; runs of an image take at most seven.
_MOST_CHARACTERS = 7


def mask_fault(mask: Any, width: int, height: int, *, may_be_empty: bool = False) -> str:
    """Describe why a segmentation is invalid; return an empty string for a valid one.

    Args:
        mask: a list of polygons, or an RLE with ``size`` and ``counts`` (a list, or COCO's compressed string).
        width: width of the image in pixels.
        height: height of the image in pixels.
        may_be_empty: allow an RLE without pixels, as in detections.
    """
    if isinstance(mask, list):
        return next((fault for part in mask if (fault := _polygon_fault(part, width, height))), "")
    if not isinstance(mask, dict):
        return "neither polygons nor an RLE"
    size = mask.get("size")
    if size != [height, width] or not all(type(side) is int for side in size):
        return f"an RLE of size {size!r:.40} in an image of [{height}, {width}] (height, width)"
    counts = mask.get("counts")
    runs = decompress(counts) if isinstance(counts, str) else counts
    if not isinstance(runs, list) or not all(type(run) is int and run >= 0 for run in runs):
        return "an RLE whose counts are damaged"
    if sum(runs) != width * height:
        return f"an RLE whose counts cover {sum(runs)} of {width * height} pixels"
    return "" if may_be_empty or any(runs[1::2]) else "an RLE without a pixel"


def decompress(text: str) -> list[int] | None:
    """Return the runs of COCO's compressed counts (maskApi.c, ``rleFrString``); None for a damaged string."""
    runs: list[int] = []
    value = at = 0
    for character in text:
        code = ord(character) - 48
        if not 0 <= code < 64 or at == _MOST_CHARACTERS:
            return None
        value |= (code & 31) << (5 * at)
        at += 1
        if code & 32:
            continue
        if code & 16:
            value -= 1 << (5 * at)
        # From the third on, a run is stored as the difference to the second last.
        runs.append(value + runs[-2] if len(runs) > 2 else value)
        value = at = 0
    return None if at else runs


def _polygon_fault(part: Any, width: int, height: int) -> str:
    if not isinstance(part, list) or len(part) < 6 or len(part) % 2:
        return "a polygon that is not a list of three or more x, y"
    if not {type(value) for value in part} <= {int, float}:
        return "a polygon with coordinates that are not numbers"
    try:
        finite = math.isfinite(sum(part))
    except OverflowError:
        finite = False
    if not finite:
        return "a polygon with coordinates that are not finite"
    # pycocotools overflows on large coordinates, and allocates memory for every pixel on the way.
    for name, values, side in (("x", part[::2], width), ("y", part[1::2], height)):
        low, high = min(values), max(values)
        if low < -side or high > 2 * side:
            worst = low if low < -side else high
            return f"a polygon that leaves the image: {name} = {worst:g} in {width} x {height}"
    longest = width * height + 4 * (width + height)
    if 3 * max(width, height) * len(part) > 2 * longest and _length(part) > longest:
        return "a polygon whose outline is longer than the image has pixels"
    return ""


def _length(part: list[float]) -> float:
    """Return the number of pixels on the outline, as pycocotools walks it."""
    xs, ys = part[::2], part[1::2]
    return sum(max(abs(xs[i] - xs[i - 1]), abs(ys[i] - ys[i - 1])) for i in range(len(xs)))
