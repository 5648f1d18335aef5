"""AlpacaDB's selective search on one image: segments, their features, grouping."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from adept_training.proposals.search import features, group
from adept_training.proposals.search.presets import Preset
from adept_training.proposals.search.segment import felzenszwalb
from adept_training.proposals.search.texture import local_binary_patterns
from adept_training.proposals.search.workspace import workspace_for


def alpacadb_regions(
    image: npt.NDArray[np.uint8], preset: Preset
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Return boxes, float32 (N, 4) xyxy, and sizes in pixels, int64 (N,), of every region in order of creation.

    ``image``: RGB uint8 (H, W, 3). Segments come first, in the order of their first pixels, then what they merged into.
    """
    image = np.ascontiguousarray(image)
    height, width = image.shape[:2]
    space = workspace_for(height, width)
    labels_HW, segments = felzenszwalb(
        image, preset.scale, preset.sigma, preset.min_size, stable_ties=preset.stable_ties, workspace=space
    )
    rows = 2 * segments - 1
    boxes, sizes = np.empty((rows, 4), np.int64), np.empty(rows, np.int64)
    features.boxes_and_sizes(labels_HW, boxes[:segments], sizes[:segments])
    area_S1 = sizes[:segments, None]
    color = np.empty((rows, 2 + features.COLOR_BINS if preset.narrow_color_range else 3 * features.COLOR_BINS))
    features.color_histograms(image, labels_HW, preset.narrow_color_range, features.value_bins(), color[:segments])
    color[:segments] /= area_S1
    codes_CHW = space.take("codes", (3, height, width), np.uint8)
    local_binary_patterns(image, codes_CHW)
    texture = np.empty((rows, 3 * (2 if preset.narrow_texture_range else features.TEXTURE_BINS)))
    features.texture_histograms(
        codes_CHW, labels_HW, features.texture_bins(preset.narrow_texture_range), texture[:segments]
    )
    texture[:segments] /= area_S1
    if preset.box_neighbors:
        pairs = group.neighbors_by_box(boxes[:segments])
    else:
        pairs = group.neighbors_by_touch(labels_HW, segments)
    extent = 0 if preset.short_boxes else 1
    regions = group.merge_regions(pairs, segments, boxes, sizes, color, texture, height * width, extent)
    boxes_N4 = boxes[:regions].astype(np.float32)
    boxes_N4[:, 2:] += extent
    return boxes_N4, sizes[:regions].copy()
