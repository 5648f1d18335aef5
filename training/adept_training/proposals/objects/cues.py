"""Measure cues of objects at every candidate, without labels.

Legend: H x W pixels, N boxes, G pieces of contour, F cues; 4 = x1, y1, x2, y2 in pixels, continuous.
"""

from __future__ import annotations

import math

import numba
import numpy as np
import numpy.typing as npt

from adept_training.proposals.objects.contours import Gradients, contour_pieces
from adept_training.proposals.objects.windows import ellipse_flux

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

WINDOW, REGION, CONTOUR = range(3)  # where a candidate comes from
#: Logarithms, except the last two. "flux": see windows.py. "border": gradient on the border over that around it.
#: "contrast": color of the box less that of its surroundings, over the spread of both. "enclosed", "cut": contours
#: inside, and across the border, per border length. "density": gradient inside. "crowd": candidates of IoU above 0.5.
#: "edge_boxes": best score of EdgeBoxes nearby. "windows", "regions": IoU of the nearest candidate of that origin.
CUES = ("flux", "border", "contrast", "enclosed", "cut", "density", "crowd", "edge_boxes", "windows", "regions")
_FLOOR = 0.02  # keeps logarithms finite


def measure_cues(
    lab_HWC: npt.NDArray[np.uint8], field: Gradients, boxes_N4: Floats, origin_N: Ints, edge_score_N: Floats
) -> Floats:
    """Return the cues of every box, float64 (N, F), in the order of ``CUES``.

    Args:
        lab_HWC: the image, uint8.
        field: its gradients.
        boxes_N4: candidates, none of them empty.
        origin_N: WINDOW, REGION or CONTOUR.
        edge_score_N: 0..1 for EdgeBoxes' candidates, 0 for others.
    """
    cues_NF = np.empty((len(boxes_N4), len(CUES)))
    mean = float(field.magnitude_HW.mean()) + 1e-6
    cues_NF[:, 0] = np.log(ellipse_flux(field.gx_HWC, field.gy_HWC, boxes_N4) / mean + _FLOOR)
    sums = summed_area(lab_HWC, field.magnitude_HW)
    _measure_inside(sums, contour_pieces(field), boxes_N4, mean, cues_NF)
    _measure_agreement(boxes_N4, origin_N, edge_score_N, cues_NF)
    return cues_NF


@numba.njit(nogil=True, cache=True)
def summed_area(lab_HWC: npt.NDArray[np.uint8], magnitude_HW: npt.NDArray[np.float32]) -> Floats:
    """Return summed-area tables of L, a, b, their squares' sum, and the gradient, float64 (H + 1, W + 1, 5)."""
    height, width = magnitude_HW.shape
    out = np.zeros((height + 1, width + 1, 5))
    row = np.empty(5)
    for y in range(height):
        row[:] = 0
        for x in range(width):
            a, b, c = float(lab_HWC[y, x, 0]), float(lab_HWC[y, x, 1]), float(lab_HWC[y, x, 2])
            row[0] += a
            row[1] += b
            row[2] += c
            row[3] += a * a + b * b + c * c
            row[4] += magnitude_HW[y, x]
            for k in range(5):
                out[y + 1, x + 1, k] = out[y, x + 1, k] + row[k]
    return out


@numba.njit(nogil=True, cache=True)
def _sum_in(sums: Floats, box_4: Floats, grow_x: float, grow_y: float, out_5: Floats) -> float:
    """Sum over the pixels of a box that is grown on every side; return their number."""
    height, width = sums.shape[0] - 1, sums.shape[1] - 1
    x1 = min(max(math.floor(box_4[0] - grow_x + 0.5), 0), width)
    y1 = min(max(math.floor(box_4[1] - grow_y + 0.5), 0), height)
    x2 = min(max(math.floor(box_4[2] + grow_x + 0.5), 0), width)
    y2 = min(max(math.floor(box_4[3] + grow_y + 0.5), 0), height)
    out_5[:] = 0
    if x2 <= x1 or y2 <= y1:
        return 0.0
    for k in range(len(out_5)):
        out_5[k] = sums[y2, x2, k] - sums[y1, x2, k] - sums[y2, x1, k] + sums[y1, x1, k]
    return float((x2 - x1) * (y2 - y1))


@numba.njit(nogil=True, cache=True)
def _measure_inside(sums: Floats, pieces_G5: Floats, boxes_N4: Floats, mean: float, cues_NF: Floats) -> None:
    """Fill border, contrast, enclosed, cut and density."""
    height, width = sums.shape[0] - 1, sums.shape[1] - 1
    whole = sums[height, width] / (height * width)
    spread = whole[3] - whole[0] ** 2 - whole[1] ** 2 - whole[2] ** 2 + 1.0
    inner, outer, inside, around, core = np.empty(5), np.empty(5), np.empty(5), np.empty(5), np.empty(5)
    for i in range(len(boxes_N4)):
        box = boxes_N4[i]
        w, h = box[2] - box[0], box[3] - box[1]
        half = max(1.5, 0.06 * min(w, h))  # of the band that counts as border
        n_outer, n_inner = _sum_in(sums, box, half, half, outer), _sum_in(sums, box, -half, -half, inner)
        n_around, n_core = _sum_in(sums, box, 0.25 * w, 0.25 * h, around), _sum_in(sums, box, -0.2 * w, -0.2 * h, core)
        border = (outer[4] - inner[4]) / max(1.0, n_outer - n_inner)
        nearby = (around[4] - outer[4] + core[4]) / max(1.0, n_around - n_outer + n_core)
        cues_NF[i, 1] = math.log((border + 0.1 * mean) / (nearby + 0.1 * mean))
        n_inside = max(_sum_in(sums, box, 0.0, 0.0, inside), 1.0)
        n_ring = _sum_in(sums, box, 0.2 * w, 0.2 * h, around) - n_inside
        within, beyond = inside[3] / n_inside, (around[3] - inside[3]) / max(n_ring, 1.0)
        apart = 0.0
        if n_ring >= 1:
            for c in range(3):
                own, other = inside[c] / n_inside, (around[c] - inside[c]) / n_ring
                apart += (own - other) ** 2
                within -= own * own
                beyond -= other * other
        cues_NF[i, 2] = math.log(_FLOOR + math.sqrt(apart / (max(within, 0.0) + max(beyond, 0.0) + 0.05 * spread)))
        enclosed = cut = 0.0
        for g in range(len(pieces_G5)):
            piece = pieces_G5[g]
            if piece[0] >= box[2] or piece[2] <= box[0] or piece[1] >= box[3] or piece[3] <= box[1]:
                continue
            if (
                piece[0] >= box[0] - 2 and piece[2] <= box[2] + 2
                and piece[1] >= box[1] - 2 and piece[3] <= box[3] + 2
            ):  # fmt: skip
                enclosed += piece[4]
            else:
                cut += piece[4]
        cues_NF[i, 3] = math.log(_FLOOR + enclosed / (w + h) / mean)
        cues_NF[i, 4] = math.log(_FLOOR + cut / (w + h) / mean)
        cues_NF[i, 5] = math.log(_FLOOR + inside[4] / n_inside / mean)


@numba.njit(nogil=True, cache=True)
def _measure_agreement(boxes_N4: Floats, origin_N: Ints, edge_score_N: Floats, cues_NF: Floats) -> None:
    """Fill crowd, edge_boxes, windows and regions."""
    count = len(boxes_N4)
    # Columns, and every pair once: this loop is a fifth of the preset's time.
    x1, y1 = boxes_N4[:, 0].copy(), boxes_N4[:, 1].copy()
    x2, y2 = boxes_N4[:, 2].copy(), boxes_N4[:, 3].copy()
    area = (x2 - x1) * (y2 - y1)
    crowd, edge, nearest = np.zeros(count), edge_score_N.copy(), np.zeros((count, 3))
    for i in range(count):
        for j in range(i + 1, count):
            w = min(x2[i], x2[j]) - max(x1[i], x1[j])
            h = min(y2[i], y2[j]) - max(y1[i], y1[j])
            if w <= 0 or h <= 0 or 3 * w * h <= area[i] + area[j]:  # IoU of at most 0.5
                continue
            iou = w * h / (area[i] + area[j] - w * h)
            crowd[i] += iou - 0.5
            crowd[j] += iou - 0.5
            edge[i] = max(edge[i], edge_score_N[j] * iou * iou)
            edge[j] = max(edge[j], edge_score_N[i] * iou * iou)
            nearest[i, origin_N[j]] = max(nearest[i, origin_N[j]], iou)
            nearest[j, origin_N[i]] = max(nearest[j, origin_N[i]], iou)
    for i in range(count):
        cues_NF[i, 6], cues_NF[i, 7] = math.log(0.2 + crowd[i]), math.log(_FLOOR + edge[i])
        cues_NF[i, 8], cues_NF[i, 9] = nearest[i, WINDOW], nearest[i, REGION]
