"""Contours without a model file: smoothed color gradients, OpenCV's EdgeBoxes on them, and pieces of contour.

Legend: H x W pixels, C = 3 channels (L, a, b), N boxes, G pieces; 4 = x1, y1, x2, y2 in pixels, continuous.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numba
import numpy as np
import numpy.typing as npt

from adept_hub.errors import MissingExtraError
from adept_training.proposals.objects.suppress import suppress

Floats = npt.NDArray[np.float64]
Map = npt.NDArray[np.float32]

SIGMA = 1.5  # pixels, of the Gaussian
EDGE_BOXES = 1000  # boxes asked of EdgeBoxes, then without near-duplicates
_ALPHA, _BETA = 0.6, 0.8  # step and suppression of its search, which takes most of its time
_NEAR, _KEPT = 0.75, 600
_FAINT = 0.02  # share of the strongest gradient below which a pixel is not an edge


@dataclass(frozen=True)
class Gradients:
    """Derivatives of the smoothed image."""

    gx_HWC: Map
    gy_HWC: Map
    gx_HW: Map  # of the channel with the largest gradient
    gy_HW: Map
    magnitude_HW: Map


def gradients(lab_HWC: npt.NDArray[np.uint8]) -> Gradients:
    """Compute Sobel derivatives of the smoothed Lab image, in levels per pixel."""
    smooth = cv2.GaussianBlur(lab_HWC.astype(np.float32), (0, 0), SIGMA)
    gx, gy = cv2.Sobel(smooth, cv2.CV_32F, 1, 0) / np.float32(8), cv2.Sobel(smooth, cv2.CV_32F, 0, 1) / np.float32(8)
    gx_HWC, gy_HWC = np.asarray(gx, np.float32), np.asarray(gy, np.float32)
    return Gradients(gx_HWC, gy_HWC, *_strongest(gx_HWC, gy_HWC))


def edge_boxes(lab_HWC: npt.NDArray[np.uint8]) -> tuple[Floats, Floats]:
    """Return EdgeBoxes' boxes, best first, float64 (N, 4), and their scores relative to the best, (N,).

    Raises MissingExtraError if the installed OpenCV lacks the contrib modules.
    """
    if not hasattr(cv2, "ximgproc"):
        raise MissingExtraError("The preset objects", "train", "opencv-contrib-python-headless")
    field = gradients(lab_HWC)
    edges_HW = thin_edges(field)
    strongest = max(1e-6, float(np.percentile(field.magnitude_HW, 99.5)))
    edges_HW = np.minimum(edges_HW / np.float32(strongest), np.float32(1))
    edges_HW[edges_HW < _FAINT] = 0
    along_HW = np.mod(np.arctan2(field.gy_HW, field.gx_HW) + np.pi / 2, np.pi).astype(np.float32)
    search = cv2.ximgproc.createEdgeBoxes(alpha=_ALPHA, beta=_BETA, maxBoxes=EDGE_BOXES, minBoxArea=100)
    xywh, score = search.getBoundingBoxes(edges_HW, along_HW)
    if len(xywh) == 0:
        return np.empty((0, 4)), np.empty(0)
    boxes_N4, score_N = np.asarray(xywh, np.float64).reshape(-1, 4), np.asarray(score, np.float64).reshape(-1)
    boxes_N4[:, 2:] += boxes_N4[:, :2]
    kept = suppress(boxes_N4, np.argsort(-score_N, kind="stable"), _NEAR, _KEPT)
    return boxes_N4[kept], score_N[kept] / max(float(score_N.max()), 1e-9)


def thin_edges(field: Gradients) -> Map:
    """Return the gradient where it is the largest across the contour, 0 elsewhere."""
    return np.asarray(_thin(field.magnitude_HW, field.gx_HW, field.gy_HW))


def contour_pieces(field: Gradients) -> Floats:
    """Return pieces of contour that run in one direction: x1, y1, x2, y2, sum of gradients; float64 (G, 5)."""
    edges_HW = thin_edges(field)
    least = max(0.5 * float(field.magnitude_HW.mean()), 0.3)
    direction_HW = np.mod(np.arctan2(field.gy_HW, field.gx_HW), np.pi) / np.pi * 4 + 0.5
    pieces = [np.empty((0, 5))]
    for direction in range(4):
        mask_HW = ((edges_HW > least) & (direction_HW.astype(np.int64) % 4 == direction)).astype(np.uint8)
        count, labels_HW, found, _ = cv2.connectedComponentsWithStats(mask_HW, connectivity=8, ltype=cv2.CV_32S)
        mass = np.bincount(labels_HW.ravel(), weights=edges_HW.ravel(), minlength=count)
        x1y1_G2, wh_G2 = found[1:, :2].astype(np.float64), found[1:, 2:4].astype(np.float64)
        pieces.append(np.hstack([x1y1_G2, x1y1_G2 + wh_G2, mass[1:, None]]))
    every = np.concatenate(pieces)
    return every[every[:, 4] > 2 * least]


@numba.njit(nogil=True, cache=True)
def _strongest(gx: Map, gy: Map) -> tuple[Map, Map, Map]:
    """Return the gradient of the channel where it is largest, and its magnitude."""
    height, width, channels = gx.shape
    x_HW, y_HW = np.empty((height, width), np.float32), np.empty((height, width), np.float32)
    m_HW = np.empty((height, width), np.float32)
    for y in range(height):
        for x in range(width):
            best, at = np.float32(-1), 0
            for c in range(channels):
                square = gx[y, x, c] * gx[y, x, c] + gy[y, x, c] * gy[y, x, c]
                if square > best:
                    best, at = square, c
            x_HW[y, x], y_HW[y, x], m_HW[y, x] = gx[y, x, at], gy[y, x, at], math.sqrt(best)
    return x_HW, y_HW, m_HW


@numba.njit(nogil=True, cache=True)
def _thin(magnitude: Map, gx: Map, gy: Map) -> Map:
    height, width = magnitude.shape
    out = np.zeros((height, width), np.float32)
    for y in range(1, height - 1):
        for x in range(1, width - 1):
            here = magnitude[y, x]
            length = math.sqrt(gx[y, x] * gx[y, x] + gy[y, x] * gy[y, x])
            if length < 1e-6:
                continue
            largest = True
            for side in (-1.0, 1.0):
                at_x, at_y = x + side * gx[y, x] / length, y + side * gy[y, x] / length
                x0, y0 = min(int(at_x), width - 2), min(int(at_y), height - 2)
                a, b = at_x - x0, at_y - y0
                upper = magnitude[y0, x0] * (1 - a) + magnitude[y0, x0 + 1] * a
                lower = magnitude[y0 + 1, x0] * (1 - a) + magnitude[y0 + 1, x0 + 1] * a
                if upper * (1 - b) + lower * b > here:
                    largest = False
            if largest:
                out[y, x] = here
    return out
