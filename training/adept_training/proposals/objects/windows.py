"""Candidates from a dense window search: where color changes consistently across the outline of an ellipse or a box.

The score is the flux of the color gradient through the outline: the mean over the outline of the gradient's component
along the outward normal, as a signed value per channel, and the length of that vector over channels. Texture changes
its sign along an outline and cancels; an object that is brighter, darker or of another color than its surroundings adds
up.

Legend: H x W pixels, C = 3 channels (L, a, b), N boxes; 4 = x1, y1, x2, y2 in pixels, continuous.
"""

from __future__ import annotations

import math

import numba
import numpy as np
import numpy.typing as npt

from adept_training.proposals.objects.suppress import suppress

Floats = npt.NDArray[np.float64]
Gradient = npt.NDArray[np.float32]

POINTS = 24  # of an ellipse
SMALLEST, GROWTH, STEP = 14.0, 1.4, 0.2  # pixels; between sizes; share of a side between windows
RATIOS = np.array([0.4, 0.7, 1.0, 1 / 0.7, 2.5])  # width / height
PER_SIZE, CONSIDERED = 70, 1500  # windows kept of each size, and those that compete for it
_FLAT = 1e-3  # levels per pixel, below which there is nothing to find
_WITHIN = 0.5  # IoU of windows of one size
_MOVES = (0.12, 0.06)  # share of a side that an edge moves by while the score rises

_ANGLES = (np.arange(POINTS) + 0.5) * (2 * np.pi / POINTS)
_COS, _SIN = np.cos(_ANGLES), np.sin(_ANGLES)


def window_boxes(gx_HWC: Gradient, gy_HWC: Gradient) -> Floats:
    """Return the best windows of every size, edges refined: float64 (N, 4), small sizes first.

    Args:
        gx_HWC: horizontal derivative of the smoothed Lab image, float32.
        gy_HWC: vertical derivative.
    """
    height, width = gx_HWC.shape[:2]
    count = int(math.log(max(1.0, 0.9 * math.sqrt(height * width) / SMALLEST)) / math.log(GROWTH)) + 1
    down_CHW, across_CHW = running_sums(gx_HWC, gy_HWC)
    kept = [np.empty((0, 4))]
    for size in SMALLEST * GROWTH ** np.arange(count):
        boxes_N4, score_N = _scan(gx_HWC, gy_HWC, down_CHW, across_CHW, _COS, _SIN, size, RATIOS, STEP)
        order = np.argsort(-score_N, kind="stable")[:CONSIDERED]
        order = order[score_N[order] > _FLAT]
        kept.append(boxes_N4[suppress(boxes_N4, order, _WITHIN, PER_SIZE)])
    boxes_N4 = np.concatenate(kept)
    _refine(boxes_N4, gx_HWC, gy_HWC, down_CHW, across_CHW, _COS, _SIN, np.array(_MOVES))
    return boxes_N4


def ellipse_flux(gx_HWC: Gradient, gy_HWC: Gradient, boxes_N4: Floats) -> Floats:
    """Return the flux through the ellipse inscribed in each box, float64 (N,)."""
    return np.asarray(_fluxes(gx_HWC, gy_HWC, boxes_N4, _COS, _SIN))


@numba.njit(nogil=True, cache=True)
def running_sums(gx_HWC: Gradient, gy_HWC: Gradient) -> tuple[Gradient, Gradient]:
    """Sum gx down the columns, (C, H + 1, W), and gy along the rows, (C, H, W + 1)."""
    height, width, channels = gx_HWC.shape
    down = np.zeros((channels, height + 1, width), np.float32)
    across = np.zeros((channels, height, width + 1), np.float32)
    for c in range(channels):
        for y in range(height):
            total = np.float32(0)
            for x in range(width):
                total += gy_HWC[y, x, c]
                across[c, y, x + 1] = total
                down[c, y + 1, x] = down[c, y, x] + gx_HWC[y, x, c]
    return down, across


@numba.njit(nogil=True, cache=True)
def _ellipse(gx: Gradient, gy: Gradient, x1: float, y1: float, x2: float, y2: float, cos: Floats, sin: Floats) -> float:
    height, width = gx.shape[:2]
    cx, cy, rx, ry = 0.5 * (x1 + x2), 0.5 * (y1 + y2), 0.5 * (x2 - x1), 0.5 * (y2 - y1)
    s0 = s1 = s2 = length = 0.0
    for k in range(len(cos)):
        x = min(max(int(cx + rx * cos[k]), 0), width - 1)
        y = min(max(int(cy + ry * sin[k]), 0), height - 1)
        nx, ny = cos[k] * ry, sin[k] * rx  # the outward normal, times the length of outline between points
        s0 += nx * gx[y, x, 0] + ny * gy[y, x, 0]
        s1 += nx * gx[y, x, 1] + ny * gy[y, x, 1]
        s2 += nx * gx[y, x, 2] + ny * gy[y, x, 2]
        length += math.sqrt(nx * nx + ny * ny)
    return float(math.sqrt(s0 * s0 + s1 * s1 + s2 * s2) / length)


@numba.njit(nogil=True, cache=True)
def _rectangle(down: Gradient, across: Gradient, x1: float, y1: float, x2: float, y2: float) -> float:
    channels, height = across.shape[:2]
    width = down.shape[2]
    left, top, right, bottom = int(x1), int(y1), min(int(x2), width), min(int(y2), height)
    last_x, last_y = min(right, width - 1), min(bottom, height - 1)
    square = 0.0
    for c in range(channels):
        flux = down[c, bottom, last_x] - down[c, top, last_x] - down[c, bottom, left] + down[c, top, left]
        flux += across[c, last_y, right] - across[c, last_y, left] - across[c, top, right] + across[c, top, left]
        square += flux * flux
    return float(math.sqrt(square) / (2.0 * (right - left + bottom - top) + 1e-6))


@numba.njit(nogil=True, cache=True)
def _fluxes(gx: Gradient, gy: Gradient, boxes_N4: Floats, cos: Floats, sin: Floats) -> Floats:
    out = np.empty(len(boxes_N4))
    for i in range(len(boxes_N4)):
        x1, y1, x2, y2 = boxes_N4[i]
        out[i] = _ellipse(gx, gy, x1, y1, x2, y2, cos, sin)
    return out


@numba.njit(nogil=True, cache=True)
def _scan(
    gx: Gradient, gy: Gradient, down: Gradient, across: Gradient, cos: Floats, sin: Floats,
    size: float, ratios: Floats, step: float,
) -> tuple[Floats, Floats]:  # fmt: skip
    """Score every window of one size: boxes (N, 4) and scores (N,)."""
    height, width = gx.shape[:2]
    room = 0
    for ratio in ratios:
        w, h = size * math.sqrt(ratio), size / math.sqrt(ratio)
        if w <= width and h <= height:
            room += (int((width - w) / (step * w)) + 1) * (int((height - h) / (step * h)) + 1)
    boxes, score = np.empty((room, 4)), np.empty(room)
    n = 0
    for ratio in ratios:
        w, h = size * math.sqrt(ratio), size / math.sqrt(ratio)
        if w > width or h > height:
            continue
        columns, rows = int((width - w) / (step * w)) + 1, int((height - h) / (step * h)) + 1
        dx, dy = (width - w) / max(1, columns - 1), (height - h) / max(1, rows - 1)
        for row in range(rows):
            for column in range(columns):
                x, y = column * dx, row * dy
                boxes[n, 0], boxes[n, 1], boxes[n, 2], boxes[n, 3] = x, y, x + w, y + h
                round_flux = _ellipse(gx, gy, x, y, x + w, y + h, cos, sin)
                score[n] = max(round_flux, _rectangle(down, across, x, y, x + w, y + h))
                n += 1
    return boxes, score


@numba.njit(nogil=True, cache=True)
def _refine(
    boxes_N4: Floats, gx: Gradient, gy: Gradient, down: Gradient, across: Gradient, cos: Floats, sin: Floats,
    moves: Floats,
) -> None:  # fmt: skip
    """Move single edges of each box, in place, while that raises its score."""
    height, width = gx.shape[:2]
    box, tried = np.empty(4), np.empty(4)
    for i in range(len(boxes_N4)):
        box[:] = boxes_N4[i]
        best = max(
            _ellipse(gx, gy, box[0], box[1], box[2], box[3], cos, sin),
            _rectangle(down, across, box[0], box[1], box[2], box[3]),
        )
        for share in moves:
            for _ in range(2):
                moved = False
                for k in range(4):
                    by = share * (box[2] - box[0] if k % 2 == 0 else box[3] - box[1])
                    for shift in (-by, by):
                        tried[:] = box
                        tried[k] += shift
                        if tried[0] < 0 or tried[1] < 0 or tried[2] > width or tried[3] > height:
                            continue
                        if tried[2] - tried[0] < 8 or tried[3] - tried[1] < 8:
                            continue
                        score = max(
                            _ellipse(gx, gy, tried[0], tried[1], tried[2], tried[3], cos, sin),
                            _rectangle(down, across, tried[0], tried[1], tried[2], tried[3]),
                        )
                        if score > best:
                            best, moved = score, True
                            box[:] = tried
                if not moved:
                    break
        boxes_N4[i] = box
