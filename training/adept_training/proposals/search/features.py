"""Features of a segment: box, size, color histogram, texture histogram.

AlpacaDB's code takes 25 bins each of hue, saturation and value and 10 bins of each channel's binary pattern, but gives
``numpy.histogram`` ranges that leave most of them empty (see presets.py). Bins that stay empty add nothing to any
similarity, so that they are left out here: the sums are the same to the last bit.

Legend: H x W pixels, C = 3 channels, S segments, B bins.
"""

from __future__ import annotations

import functools

import numba
import numpy as np
import numpy.typing as npt

COLOR_BINS, TEXTURE_BINS = 25, 10
NO_BIN = 255


@functools.cache
def value_bins() -> npt.NDArray[np.uint8]:
    """Return the bin of each value 0..255 among 25 over (0, 255), by numpy.histogram's rule."""
    return _bins(COLOR_BINS, 255.0)


@functools.cache
def texture_bins(narrow: bool) -> npt.NDArray[np.uint8]:
    """Return the bin of each pattern 0..255: 10 over (0, 255), or of patterns 0 and 1 only, those in (0, 1)."""
    if narrow:
        bins = np.full(256, NO_BIN, np.uint8)
        bins[:2] = 0, 1
        return bins
    return _bins(TEXTURE_BINS, 255.0)


def _bins(count: int, upper: float) -> npt.NDArray[np.uint8]:
    values = (np.histogram([value], count, (0.0, upper))[0].argmax() for value in range(256))
    return np.fromiter(values, np.uint8, 256)


@numba.njit(nogil=True, cache=True)
def boxes_and_sizes(
    labels_HW: npt.NDArray[np.int32], boxes_S4: npt.NDArray[np.int64], sizes_S: npt.NDArray[np.int64]
) -> None:
    """Compute least and greatest x and y (both inclusive) and the number of pixels of every segment."""
    boxes_S4[:, :2] = 0xFFFF  # the reference's start, which exceeds the width of any image
    boxes_S4[:, 2:] = 0
    sizes_S[:] = 0
    for y in range(labels_HW.shape[0]):
        for x in range(labels_HW.shape[1]):
            s = labels_HW[y, x]
            sizes_S[s] += 1
            boxes_S4[s, 0] = min(boxes_S4[s, 0], x)
            boxes_S4[s, 1] = min(boxes_S4[s, 1], y)
            boxes_S4[s, 2] = max(boxes_S4[s, 2], x)
            boxes_S4[s, 3] = max(boxes_S4[s, 3], y)


@numba.njit(nogil=True, cache=True)
def color_histograms(
    image_HWC: npt.NDArray[np.uint8],
    labels_HW: npt.NDArray[np.int32],
    narrow: bool,
    bin_of_value: npt.NDArray[np.uint8],
    counts_SB: npt.NDArray[np.float64],
) -> None:
    """Count pixels per bin. Narrow: B = 2 + 25, hue and saturation fall into one bin each; else B = 3 x 25."""
    counts_SB[:] = 0
    edges = np.linspace(0, 1, COLOR_BINS + 1)
    for y in range(labels_HW.shape[0]):
        for x in range(labels_HW.shape[1]):
            s = labels_HW[y, x]
            red, green, blue = np.int64(image_HWC[y, x, 0]), np.int64(image_HWC[y, x, 1]), np.int64(image_HWC[y, x, 2])
            value = max(red, green, blue)
            if narrow:
                counts_SB[s, 2 + bin_of_value[value]] += 1
                continue
            spread = value - min(red, green, blue)
            hue = saturation = 0.0
            if spread > 0:
                saturation = spread / value
                if blue == value:
                    hue = 4.0 + (red - green) / spread
                elif green == value:
                    hue = 2.0 + (blue - red) / spread
                else:
                    hue = (green - blue) / spread
                hue = (hue / 6.0) % 1.0
            counts_SB[s, _bin_of(hue, edges)] += 1
            counts_SB[s, COLOR_BINS + _bin_of(saturation, edges)] += 1
            counts_SB[s, 2 * COLOR_BINS + bin_of_value[value]] += 1
    if narrow:
        for s in range(len(counts_SB)):
            total = 0.0
            for b in range(2, counts_SB.shape[1]):
                total += counts_SB[s, b]
            counts_SB[s, 0] = counts_SB[s, 1] = total


@numba.njit(nogil=True, cache=True)
def _bin_of(value: float, edges: npt.NDArray[np.float64]) -> int:
    """Return numpy.histogram's bin of a value in [0, 1]."""
    last = len(edges) - 2
    b = min(int(value * (last + 1)), last)
    if value < edges[b]:
        b -= 1
    elif value >= edges[b + 1] and b != last:
        b += 1
    return b


@numba.njit(nogil=True, cache=True)
def texture_histograms(
    codes_CHW: npt.NDArray[np.uint8],
    labels_HW: npt.NDArray[np.int32],
    bin_of_code: npt.NDArray[np.uint8],
    counts_SB: npt.NDArray[np.float64],
) -> None:
    """Count pixels per bin; B = 3 channels x bins."""
    counts_SB[:] = 0
    bins = counts_SB.shape[1] // 3
    for c in range(3):
        for y in range(labels_HW.shape[0]):
            for x in range(labels_HW.shape[1]):
                b = bin_of_code[codes_CHW[c, y, x]]
                if b != NO_BIN:
                    counts_SB[labels_HW[y, x], c * bins + b] += 1
