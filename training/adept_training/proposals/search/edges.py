"""Costs of the pixel grid's edges: Gaussian smoothing and color distance, bit for bit as scikit-image computes them.

scikit-image's ``felzenszwalb`` scales uint8 by 1/255, smooths with ``scipy.ndimage.gaussian_filter`` (reflecting, cut
at 4 sigma, axis 0 before axis 1) and joins every pixel to its 8 neighbors at the Euclidean distance of their colors.
Sums are taken in the same order as there: a cost that differs in its last bit can turn a segment.

Legend: H x W pixels, C = 3 channels, D = 4 directions: right, down, down-right, up-right. The edge of direction d at
pixel p (row-major) joins p + FIRST and p + SECOND: (p, p+1), (p, p+W), (p, p+W+1), (p+W, p+1).
"""

from __future__ import annotations

import numba
import numpy as np
import numpy.typing as npt

SCALE_TABLE = np.arange(256, dtype=np.float64) * (1.0 / 255.0)


def gaussian_weights(sigma: float) -> npt.NDArray[np.float64]:
    """Return weights of offsets 0..radius, normalized over the whole kernel; radius = int(4 sigma + 0.5)."""
    radius = int(4.0 * sigma + 0.5)
    if sigma <= 0 or radius == 0:
        return np.ones(1)
    offsets = np.arange(-radius, radius + 1)
    kernel = np.exp(-0.5 / (sigma * sigma) * offsets**2)
    half: npt.NDArray[np.float64] = np.ascontiguousarray((kernel / kernel.sum())[radius:], dtype=np.float64)
    return half


@numba.njit(nogil=True, cache=True)
def reflect(i: int, n: int) -> int:
    """Return the index into 0..n-1 of a line that is mirrored at its ends, end pixels repeated."""
    i %= 2 * n
    return i if i < n else 2 * n - 1 - i


@numba.njit(nogil=True, cache=True)
def edge_costs(
    image_HWC: npt.NDArray[np.uint8],
    weights: npt.NDArray[np.float64],
    table: npt.NDArray[np.float64],
    costs_DHW: npt.NDArray[np.float64],
) -> None:
    """Fill ``costs_DHW``; entries of edges that would leave the image are left as they are."""
    height, width = image_HWC.shape[:2]
    radius = len(weights) - 1
    slots = 2 * radius + 1
    ring = np.empty((slots, 3, width))  # unsmoothed rows around the current one
    padded = np.empty((3, width + 2 * radius))
    smooth = np.empty((2, 3, width))  # the row above and the current one
    known = 0
    for y in range(height):
        while known < height and known <= y + radius:
            slot = ring[known % slots]
            for x in range(width):
                slot[0, x] = table[image_HWC[known, x, 0]]
                slot[1, x] = table[image_HWC[known, x, 1]]
                slot[2, x] = table[image_HWC[known, x, 2]]
            known += 1
        now, above = smooth[y & 1], smooth[1 - (y & 1)]
        for c in range(3):
            line = padded[c]
            inner = line[radius : radius + width]
            center = ring[y % slots, c]
            for x in range(width):
                inner[x] = center[x] * weights[0]
            for j in range(radius, 0, -1):  # the far ones first, as SciPy does
                up, down = ring[reflect(y - j, height) % slots, c], ring[reflect(y + j, height) % slots, c]
                weight = weights[j]
                for x in range(width):
                    inner[x] += (up[x] + down[x]) * weight
            for j in range(1, radius + 1):
                line[radius - j] = inner[reflect(-j, width)]
                line[radius + width - 1 + j] = inner[reflect(width - 1 + j, width)]
            out = now[c]
            for x in range(width):
                out[x] = inner[x] * weights[0]
            for j in range(radius, 0, -1):
                left, right, weight = line[radius - j :], line[radius + j :], weights[j]
                for x in range(width):
                    out[x] += (left[x] + right[x]) * weight
        _distances(now, now, 0, 1, costs_DHW[0, y])
        if y > 0:
            _distances(above, now, 0, 0, costs_DHW[1, y - 1])
            _distances(above, now, 0, 1, costs_DHW[2, y - 1])
            _distances(now, above, 0, 1, costs_DHW[3, y - 1])


@numba.njit(nogil=True, cache=True)
def _distances(
    first_CW: npt.NDArray[np.float64],
    second_CW: npt.NDArray[np.float64],
    start: int,
    shift: int,
    out_W: npt.NDArray[np.float64],
) -> None:
    """Compute out[x] = |first[:, x] - second[:, x + shift]|."""
    a0, a1, a2 = first_CW[0], first_CW[1], first_CW[2]
    b0, b1, b2 = second_CW[0, shift:], second_CW[1, shift:], second_CW[2, shift:]
    for x in range(start, len(out_W) - shift):
        d0, d1, d2 = a0[x] - b0[x], a1[x] - b1[x], a2[x] - b2[x]
        out_W[x] = np.sqrt(d0 * d0 + d1 * d1 + d2 * d2)
