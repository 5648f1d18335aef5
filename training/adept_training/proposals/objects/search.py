"""The preset ``objects``: candidates of three kinds, measured, ranked, and the best kept. Not in the paper.

Windows, regions of selective search at three scales, and EdgeBoxes on gradients miss different objects. Everything is
computed on a copy of the image whose longer side measures 320 pixels; boxes are returned in pixels of the image.

Legend: N boxes; 4 = x1, y1, x2, y2 in pixels, continuous.
"""

from __future__ import annotations

import math
from dataclasses import replace

import cv2
import numpy as np
import numpy.typing as npt

from adept_training.proposals.objects.contours import Gradients, edge_boxes, gradients
from adept_training.proposals.objects.cues import CONTOUR, CUES, REGION, WINDOW, measure_cues
from adept_training.proposals.objects.ranking import count_sizes, rank
from adept_training.proposals.objects.windows import window_boxes
from adept_training.proposals.search.alpacadb import alpacadb_regions
from adept_training.proposals.search.boxes import filter_mask
from adept_training.proposals.search.presets import PRESETS, ObjectSearch, Preset

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Pixels = npt.NDArray[np.uint8]

SIDE, CONTOUR_SIDE = (
    320,
    160,
)  # pixels of the longer side; EdgeBoxes searches a smaller image: it takes most of the time
_REGION_SCALES = (60, 150, 400)
_REGIONS = replace(PRESETS["fixed"], sigma=0.8, min_size=30)
_LEAST_SIDE = 8  # pixels of the copy


def object_boxes(image: Pixels, preset: Preset) -> npt.NDArray[np.float32]:
    """Return the best boxes, best first, float32 (N, 4). ``image``: RGB uint8 (H, W, 3).

    Raises MissingExtraError if the installed OpenCV lacks the contrib modules.
    """
    settings = preset.objects or ObjectSearch()
    lab_HWC, to_image_4 = shrink(image)
    boxes_N4, cues_NF = describe(lab_HWC, preset)
    best_N4 = rank(boxes_N4, cues_NF, settings.size_prior, settings.most) * to_image_4
    height, width = image.shape[:2]
    return np.clip(best_N4, 0, [width, height, width, height]).astype(np.float32)


def sizes_in(image: Pixels, preset: Preset) -> Ints:
    """Count the sizes of boxes that most candidates agree on, for the size prior of a set of images."""
    return count_sizes(*describe(shrink(image)[0], preset))


def describe(lab_HWC: Pixels, preset: Preset) -> tuple[Floats, Floats]:
    """Return the candidates that the preset's filter and sizes admit, float64 (N, 4), and their cues, (N, F)."""
    field = gradients(lab_HWC)
    boxes_N4, origin_N, edge_score_N = _candidates(lab_HWC, field)
    admitted_N = _admitted(boxes_N4, lab_HWC.shape[:2], preset)
    boxes_N4, origin_N, edge_score_N = boxes_N4[admitted_N], origin_N[admitted_N], edge_score_N[admitted_N]
    if len(boxes_N4) == 0:
        return boxes_N4, np.empty((0, len(CUES)))
    return boxes_N4, measure_cues(lab_HWC, field, boxes_N4, origin_N, edge_score_N)


def _candidates(lab_HWC: Pixels, field: Gradients) -> tuple[Floats, Ints, Floats]:
    """Return boxes (N, 4), their origin (N,) and the score of EdgeBoxes (N,), 0 for others."""
    height, width = lab_HWC.shape[:2]
    windows_N4 = window_boxes(field.gx_HWC, field.gy_HWC)
    found = [alpacadb_regions(lab_HWC, replace(_REGIONS, scale=scale))[0] for scale in _REGION_SCALES]
    regions_N4 = np.unique(np.concatenate(found), axis=0).astype(np.float64)
    small_HWC = _resized(lab_HWC, CONTOUR_SIDE)
    contours_N4, score_N = edge_boxes(small_HWC)
    contours_N4 *= np.tile([width / small_HWC.shape[1], height / small_HWC.shape[0]], 2)
    parts = ((WINDOW, windows_N4), (REGION, regions_N4), (CONTOUR, contours_N4))
    origin_N = np.concatenate([np.full(len(boxes), origin, np.int64) for origin, boxes in parts])
    return (
        np.concatenate([boxes for _, boxes in parts]),
        origin_N,
        np.concatenate([np.zeros(len(windows_N4) + len(regions_N4)), score_N]),
    )


def _admitted(boxes_N4: Floats, shape: tuple[int, ...], preset: Preset) -> npt.NDArray[np.bool_]:
    height, width = shape
    settings = preset.objects or ObjectSearch()
    wh_N2 = boxes_N4[:, 2:] - boxes_N4[:, :2]
    size_N = np.sqrt(wh_N2.prod(axis=1)) / min(height, width)
    return np.asarray(
        filter_mask(boxes_N4.astype(np.float32), (width, height), preset.filter)
        & (wh_N2 >= _LEAST_SIDE).all(axis=1)
        & (settings.sizes[0] <= size_N)
        & (size_N <= settings.sizes[1])
    )


def shrink(image: Pixels) -> tuple[Pixels, Floats]:
    """Return the image at 320 pixels in Lab, and the factors of x1, y1, x2, y2 back to its own pixels."""
    small = _resized(np.ascontiguousarray(image), SIDE)
    factor = np.tile([image.shape[1] / small.shape[1], image.shape[0] / small.shape[0]], 2)
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2LAB), np.uint8), factor


def _resized(image: Pixels, side: int) -> Pixels:
    height, width = image.shape[:2]
    scale = side / max(height, width)
    size = (max(1, math.floor(width * scale + 0.5)), max(1, math.floor(height * scale + 0.5)))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, size, interpolation=how), np.uint8)
