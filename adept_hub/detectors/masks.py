"""COCO's compressed run-length encoding of masks, as in pycocotools, for which the library has no need.

Runs alternate between outside and inside, column by column, the first of them outside. Each count, from the fourth on
its difference to the count two before, is written in digits of five bits, the lowest first, plus 48 to be printable.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

Rle = dict[str, Any]
_MORE, _SIGN, _DIGIT = 0x20, 0x10, 0x1F


def encode_mask(inside_HW: npt.NDArray[Any]) -> Rle:
    """Return the mask, whose pixels other than zero are inside, as ``{"size": [H, W], "counts": bytes}``."""
    flat = np.asarray(inside_HW, bool).ravel(order="F")
    ends = [0, *(np.flatnonzero(flat[1:] != flat[:-1]) + 1).tolist(), flat.size]
    counts = [after - before for before, after in pairwise(ends)]
    counts = [0, *counts] if flat.size and flat[0] else counts
    return {"size": list(inside_HW.shape), "counts": _write(counts)}


def decode_mask(rle: Mapping[str, Any]) -> npt.NDArray[np.uint8]:
    """Return the mask of `encode_mask`, or of pycocotools, as uint8 (H, W): 1 inside.

    Raises:
        ValueError: the counts do not add up to the size.
    """
    height, width = rle["size"]
    counts = _read(rle["counts"])
    if min(counts, default=0) < 0 or sum(counts) != height * width:
        raise ValueError(f"the counts of a mask do not add up to {height} x {width} pixels")
    values = np.arange(len(counts), dtype=np.int64).astype(np.uint8) & 1
    return np.repeat(values, counts).reshape((height, width), order="F")


def _write(counts: list[int]) -> bytes:
    written = bytearray()
    for place, count in enumerate(counts):
        value = count - counts[place - 2] if place > 2 else count
        while True:
            digit = value & _DIGIT
            value >>= 5
            if value == (-1 if digit & _SIGN else 0):
                written.append(digit + 48)
                break
            written.append((digit | _MORE) + 48)
    return bytes(written)


def _read(written: bytes) -> list[int]:
    counts: list[int] = []
    value = shift = 0
    for byte in written:
        digit = byte - 48
        value |= (digit & _DIGIT) << shift
        shift += 5
        if not digit & _MORE:
            value -= (1 << shift) if digit & _SIGN else 0
            counts.append(value + counts[-2] if len(counts) > 2 else value)
            value = shift = 0
    return counts
