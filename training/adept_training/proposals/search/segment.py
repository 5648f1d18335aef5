"""Felzenszwalb and Huttenlocher's graph segmentation (IJCV 2004), the same as scikit-image's, several times faster.

Edges are taken in ascending order of cost; an edge joins two segments when it costs less than the threshold of both,
``cost of the last join + scale / size``. Costs are dealt into narrow bins; of a bin, the edges that lie within one
segment by then are dropped before the rest is sorted. When segments below ``min_size`` are joined along their cheapest
edges afterwards, only the edges at such segments matter: an edge between two large ones can never join them.

Edges of equal cost: the first stage does not depend on their order (a segment that refuses one edge refuses every later
one, and one that accepted an edge accepts its equals), the second may. scikit-image takes them in the
order of ``numpy.argsort``'s unstable sort, which is asked for in the rare case that it matters.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from adept_training.proposals.search import forest
from adept_training.proposals.search.edges import SCALE_TABLE, edge_costs, gaussian_weights
from adept_training.proposals.search.workspace import Workspace, workspace_for

Labels = npt.NDArray[np.int32]


def felzenszwalb(
    image: npt.NDArray[np.uint8],
    scale: float,
    sigma: float,
    min_size: int,
    *,
    stable_ties: bool = False,
    workspace: Workspace | None = None,
) -> tuple[Labels, int]:
    """Segment an RGB uint8 (H, W, 3) image, exactly as ``skimage.segmentation.felzenszwalb`` does.

    Args:
        scale: larger means larger segments. sigma: of the Gaussian, in pixels. min_size: pixels of a segment.
        stable_ties: take edges of equal cost in a fixed order, not in scikit-image's, which depends on the processor.

    Returns:
        int32 (H, W) labels 0..S-1 in the order of the segments' first pixels, valid until the workspace is used again,
        and S.
    """
    height, width = image.shape[:2]
    pixels = height * width
    space = workspace or workspace_for(height, width)
    costs_DHW = space.take("costs", (4, height, width), np.float64)
    edge_costs(image, gaussian_weights(sigma), SCALE_TABLE, costs_DHW)
    bits_DHW = costs_DHW.view(np.int64)
    bits, edges = space.take("bits", (4 * pixels,), np.int64), space.take("edges", (4 * pixels,), np.int32)
    starts = space.take("starts", (forest.BINS + 1,), np.int64)
    forest.deal_into_bins(bits_DHW, starts, bits, edges)
    parent = space.take("parent", (pixels,), np.int32)
    size = space.take("size", (pixels,), np.int32)
    threshold = space.take("threshold", (pixels,), np.float32)
    forest.join_similar(width, scale / 255.0, starts, bits, edges, parent, size, threshold)
    labels_P = space.take("labels", (pixels,), np.int32)
    labels_HW = labels_P.reshape(height, width)
    segments, sizes_S = forest.number_segments(parent, size, labels_P)
    n = forest.edges_of_small(bits_DHW, labels_HW, sizes_S, min_size, bits, edges)
    if n == 0:
        return labels_HW, segments
    order = np.argsort(bits[:n], kind="stable")
    parent_S, ambiguous = forest.join_small(
        bits[:n][order], edges[:n][order], labels_P, width, min_size, sizes_S.copy()
    )
    if ambiguous and not stable_ties:
        order = np.argsort(_places_in_numpys_order(costs_DHW, edges[:n]))
        # Costs that all differ keep join_small from looking for ties again.
        parent_S, _ = forest.join_small(np.arange(n), edges[:n][order], labels_P, width, min_size, sizes_S.copy())
    return labels_HW, forest.renumber_segments(parent_S, labels_P)


def _places_in_numpys_order(costs_DHW: npt.NDArray[np.float64], edges: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
    """Return the positions of ``edges`` in scikit-image's ``np.argsort(costs)``."""
    _, height, width = costs_DHW.shape
    numbers_HW = 4 * np.arange(height * width).reshape(height, width)
    rows, columns = slice(0, height - 1), slice(0, width - 1)
    ranges = [(slice(None), columns), (rows, slice(None)), (rows, columns), (rows, columns)]
    costs = np.hstack([costs_DHW[d][where].ravel() for d, where in enumerate(ranges)])
    numbers = np.hstack([(numbers_HW[where] + d).ravel() for d, where in enumerate(ranges)])
    place = np.empty(4 * height * width, np.int64)
    place[numbers[np.argsort(costs)]] = np.arange(len(costs))
    return place[edges]
