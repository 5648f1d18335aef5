"""Local binary patterns (8 points, radius 1), bit for bit as scikit-image computes them, a row at a time.

A pattern's bits mark which of 8 points on a circle are at least as bright as the center. The diagonal points lie
between pixels and are interpolated bilinearly, in floating point: on flat ground the rounding decides, and it depends
on the position in the image, so that the same products and sums are formed here in the same order.

Legend: H x W pixels, C = 3 channels (planes).
"""

from __future__ import annotations

import numba
import numpy as np
import numpy.typing as npt

_DIAGONAL = 0.70711  # cos 45 degrees, rounded to 5 places as scikit-image does


@numba.njit(nogil=True, cache=True)
def _fractions(n: int, offset: float) -> npt.NDArray[np.float64]:
    out = np.empty(n)
    for i in range(n):
        out[i] = (i + offset) - np.floor(i + offset)
    return out


@numba.njit(nogil=True, cache=True)
def local_binary_patterns(image_HWC: npt.NDArray[np.uint8], codes_CHW: npt.NDArray[np.uint8]) -> None:
    """Fill ``codes_CHW`` with the codes 0..255. Pixels outside the image are black."""
    height, width = image_HWC.shape[:2]
    row_minus, row_plus = _fractions(height, -_DIAGONAL), _fractions(height, _DIAGONAL)
    minus, plus = _fractions(width, -_DIAGONAL), _fractions(width, _DIAGONAL)
    keep_minus, keep_plus = 1 - minus, 1 - plus
    pixels = np.zeros((3, width + 2))  # rows above, here, below; a black pixel at either end
    left, right = np.zeros((3, width)), np.zeros((3, width))  # the same, interpolated along the row
    for c in range(3):
        pixels[:] = 0
        left[:] = 0
        right[:] = 0
        for y in range(-1, height):
            slot = (y + 1) % 3
            line, line_left, line_right = pixels[slot], left[slot], right[slot]
            if y + 1 < height:
                for x in range(width):
                    line[x + 1] = image_HWC[y + 1, x, c]
                for x in range(width):
                    line_left[x] = keep_minus[x] * line[x] + minus[x] * line[x + 1]
                    line_right[x] = keep_plus[x] * line[x + 1] + plus[x] * line[x + 2]
            else:
                line[:] = 0
                line_left[:] = 0
                line_right[:] = 0
            if y >= 0:
                above, here = (y - 1) % 3, y % 3
                _codes_of_row(
                    pixels[above], pixels[here], pixels[slot],
                    left[above], left[here], left[slot],
                    right[above], right[here], right[slot],
                    row_minus[y], row_plus[y], codes_CHW[c, y],
                )  # fmt: skip


@numba.njit(nogil=True, cache=True)
def _codes_of_row(
    above: npt.NDArray[np.float64],
    here: npt.NDArray[np.float64],
    below: npt.NDArray[np.float64],
    left_above: npt.NDArray[np.float64],
    left_here: npt.NDArray[np.float64],
    left_below: npt.NDArray[np.float64],
    right_above: npt.NDArray[np.float64],
    right_here: npt.NDArray[np.float64],
    right_below: npt.NDArray[np.float64],
    up: float,
    down: float,
    out: npt.NDArray[np.uint8],
) -> None:
    keep_up, keep_down = 1 - up, 1 - down
    for x in range(len(out)):
        center = here[x + 1]
        code = np.int64(here[x + 2] >= center)
        code |= np.int64(keep_up * right_above[x] + up * right_here[x] >= center) << 1
        code |= np.int64(above[x + 1] >= center) << 2
        code |= np.int64(keep_up * left_above[x] + up * left_here[x] >= center) << 3
        code |= np.int64(here[x] >= center) << 4
        code |= np.int64(keep_down * left_here[x] + down * left_below[x] >= center) << 5
        code |= np.int64(below[x + 1] >= center) << 6
        code |= np.int64(keep_down * right_here[x] + down * right_below[x] >= center) << 7
        out[x] = code
