"""Hierarchical grouping: merge the two most similar neighbors until no two neighbors are left.

After Uijlings et al., "Selective Search for Object Recognition" (IJCV 2013), as in AlpacaDB's selectivesearch 0.4. Its
similarities are in a dict that is sorted for every merge, and of equal ones the latest inserted wins: pairs are
therefore numbered in the order of their insertion, and a heap keeps the greatest (similarity, number) on top.

Legend: S segments, R <= 2 S - 1 regions (the segments, then what they were merged into), Q pairs of neighbors.
"""

from __future__ import annotations

import numba
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@numba.njit(nogil=True, cache=True)
def neighbors_by_box(boxes_S4: Ints) -> Ints:
    """Return pairs (Q, 2) in AlpacaDB's sense: a corner of the later box lies strictly inside the earlier one."""
    segments = len(boxes_S4)
    pairs = np.empty((max(16, 8 * segments), 2), np.int64)
    n = 0
    for a in range(segments - 1):
        left, top, right, bottom = boxes_S4[a]
        if right - left < 2 or bottom - top < 2:
            continue
        for b in range(a + 1, segments):
            if (left < boxes_S4[b, 0] < right or left < boxes_S4[b, 2] < right) and (
                top < boxes_S4[b, 1] < bottom or top < boxes_S4[b, 3] < bottom
            ):
                if n == len(pairs):
                    pairs = np.concatenate((pairs, np.empty_like(pairs)))
                pairs[n, 0], pairs[n, 1] = a, b
                n += 1
    return pairs[:n]


@numba.njit(nogil=True, cache=True)
def neighbors_by_touch(labels_HW: npt.NDArray[np.int32], segments: int) -> Ints:
    """Return pairs (Q, 2) of segments with pixels side by side or corner to corner, in ascending order."""
    height, width = labels_HW.shape
    keys = np.empty(1024, np.int64)
    n = 0
    for y in range(height):
        for x in range(width):
            here = np.int64(labels_HW[y, x])
            for dy, dx in ((0, 1), (1, 0), (1, 1), (1, -1)):
                if y + dy < height and 0 <= x + dx < width and labels_HW[y + dy, x + dx] != here:
                    other = np.int64(labels_HW[y + dy, x + dx])
                    key = min(here, other) * segments + max(here, other)
                    if n > 0 and keys[n - 1] == key:
                        continue
                    if n == len(keys):
                        keys = np.concatenate((keys, np.empty_like(keys)))
                    keys[n] = key
                    n += 1
    unique = np.unique(keys[:n])
    pairs = np.empty((len(unique), 2), np.int64)
    for q in range(len(unique)):
        pairs[q, 0], pairs[q, 1] = unique[q] // segments, unique[q] % segments
    return pairs


@numba.njit(nogil=True, cache=True)
def similarity(a: int, b: int, boxes: Ints, sizes: Ints, color: Array, texture: Array, area: int, extent: int) -> float:
    """Return color + texture + size + fill, in the reference's order of operations."""
    alike = 0.0
    for i in range(color.shape[1]):
        alike += min(color[a, i], color[b, i])
    alike_texture = 0.0
    for i in range(texture.shape[1]):
        alike_texture += min(texture[a, i], texture[b, i])
    both = sizes[a] + sizes[b]
    width = max(boxes[a, 2], boxes[b, 2]) - min(boxes[a, 0], boxes[b, 0]) + extent
    height = max(boxes[a, 3], boxes[b, 3]) - min(boxes[a, 1], boxes[b, 1]) + extent
    return float(alike + alike_texture + (1.0 - both / area) + (1.0 - (width * height - both) / area))


@numba.njit(nogil=True, cache=True)
def _above(a: int, b: int, score: Array) -> bool:
    return score[a] > score[b] or (score[a] == score[b] and a > b)


@numba.njit(nogil=True, cache=True)
def _push(heap: Ints, n: int, pair: int, score: Array) -> None:
    while n > 0:
        up = (n - 1) >> 1
        if not _above(pair, heap[up], score):
            break
        heap[n] = heap[up]
        n = up
    heap[n] = pair


@numba.njit(nogil=True, cache=True)
def _pop(heap: Ints, n: int, score: Array) -> int:
    """Remove and return the top pair of a heap of ``n``."""
    top, last = heap[0], heap[n - 1]
    n -= 1
    i = 0
    while True:
        child = 2 * i + 1
        if child >= n:
            break
        if child + 1 < n and _above(heap[child + 1], heap[child], score):
            child += 1
        if not _above(heap[child], last, score):
            break
        heap[i] = heap[child]
        i = child
    heap[i] = last
    return int(top)


@numba.njit(nogil=True, cache=True)
def merge_regions(
    pairs_Q2: Ints, segments: int, boxes: Ints, sizes: Ints, color: Array, texture: Array, area: int, extent: int
) -> int:
    """Append merged regions to the first ``segments`` rows of the arrays (each of 2 S - 1 rows); return R.

    ``extent`` is the difference of a box's width and its inclusive edges: 1, or 0 as in the reference.
    """
    room = max(64, 3 * len(pairs_Q2))
    first, second = np.empty(room, np.int32), np.empty(room, np.int32)
    score, alive, heap = np.empty(room), np.zeros(room, np.bool_), np.empty(room, np.int64)
    # A list a region of its pairs in the order of insertion; a link 2 q + (0, 1) belongs to the pair's first, second.
    following = np.empty(2 * room, np.int64)
    head, tail = np.full(len(boxes), -1, np.int64), np.full(len(boxes), -1, np.int64)
    seen = np.full(len(boxes), -1, np.int64)
    count = in_heap = 0
    regions, n_fresh = segments, len(pairs_Q2)
    fresh = np.empty((max(16, n_fresh), 2), np.int64)  # pairs to insert
    fresh[:n_fresh] = pairs_Q2
    while True:
        for k in range(n_fresh):
            a, b = int(fresh[k, 0]), int(fresh[k, 1])
            if count == room:
                first, second = np.concatenate((first, first)), np.concatenate((second, second))
                score, alive = np.concatenate((score, score)), np.concatenate((alive, np.zeros(room, np.bool_)))
                heap, following = np.concatenate((heap, heap)), np.concatenate((following, following))
                room *= 2
            first[count], second[count], alive[count] = a, b, True
            score[count] = similarity(a, b, boxes, sizes, color, texture, area, extent)
            for side in range(2):
                region, link = (a, 2 * count) if side == 0 else (b, 2 * count + 1)
                following[link] = -1
                if head[region] < 0:
                    head[region] = link
                else:
                    following[tail[region]] = link
                tail[region] = link
            _push(heap, in_heap, count, score)
            in_heap += 1
            count += 1
        best = -1
        while in_heap > 0 and best < 0:
            top = _pop(heap, in_heap, score)
            in_heap -= 1
            if alive[top]:
                best = top
        if best < 0:
            return regions
        merged_a, merged_b = int(first[best]), int(second[best])
        _unite(merged_a, merged_b, regions, boxes, sizes, color, texture)
        # The neighbors of both, in the order in which their pairs were inserted, once each.
        n_fresh = 0
        alive[best] = False
        link_a, link_b = head[merged_a], head[merged_b]
        while link_a >= 0 or link_b >= 0:
            if link_b < 0 or (link_a >= 0 and link_a >> 1 < link_b >> 1):
                link, link_a = link_a, following[link_a]
            else:
                link, link_b = link_b, following[link_b]
            pair = link >> 1
            if not alive[pair]:
                continue
            alive[pair] = False
            other = int(first[pair]) if link & 1 else int(second[pair])
            if seen[other] == regions:
                continue
            seen[other] = regions
            if n_fresh == len(fresh):
                fresh = np.concatenate((fresh, fresh))
            fresh[n_fresh, 0], fresh[n_fresh, 1] = regions, other
            n_fresh += 1
        regions += 1


@numba.njit(nogil=True, cache=True)
def _unite(a: int, b: int, new: int, boxes: Ints, sizes: Ints, color: Array, texture: Array) -> None:
    sizes[new] = sizes[a] + sizes[b]
    for i in range(2):
        boxes[new, i] = min(boxes[a, i], boxes[b, i])
        boxes[new, 2 + i] = max(boxes[a, 2 + i], boxes[b, 2 + i])
    for i in range(color.shape[1]):
        color[new, i] = (color[a, i] * sizes[a] + color[b, i] * sizes[b]) / sizes[new]
    for i in range(texture.shape[1]):
        texture[new, i] = (texture[a, i] * sizes[a] + texture[b, i] * sizes[b]) / sizes[new]
