"""The compiled parts of the segmentation (segment.py): sorting edges by cost, and joining segments along them.

Legend: P pixels (row-major), D = 4 directions (see edges.py), S segments. An edge is numbered 4 p + d. Costs are
compared as the bit patterns of their float64, whose order is the same for numbers that are not negative.
"""

from __future__ import annotations

import numba
import numpy as np
import numpy.typing as npt

# A bin is a range of float64 bit patterns: exponent and the first 6 bits of the mantissa, from 2^-18 to 2.
_SHIFT = 46
_LOWEST = (1023 - 18) << 6
BINS = 19 << 6


@numba.njit(nogil=True, cache=True)
def find(parent: npt.NDArray[np.int32], node: int) -> int:
    """Return the root of ``node``, and make the node point to it."""
    root = int(parent[node])
    while parent[root] != root:
        root = int(parent[root])
    parent[node] = root
    return root


@numba.njit(nogil=True, cache=True)
def _bin(bits: int) -> int:
    return min(max((bits >> _SHIFT) - _LOWEST, 0), BINS - 1)


@numba.njit(nogil=True, cache=True)
def deal_into_bins(
    bits_DHW: npt.NDArray[np.int64],
    starts: npt.NDArray[np.int64],
    sorted_bits: npt.NDArray[np.int64],
    sorted_edges: npt.NDArray[np.int32],
) -> None:
    """Sort all edges by bin (counting sort); ``starts`` receives the start of each bin."""
    height, width = bits_DHW.shape[1:]
    starts[:] = 0
    for y in range(height):
        for d in range(4):
            if d > 0 and y == height - 1:
                continue
            line = bits_DHW[d, y, : width if d == 1 else width - 1]
            for x in range(len(line)):
                starts[_bin(line[x]) + 1] += 1
    for b in range(BINS):
        starts[b + 1] += starts[b]
    places = starts[:-1].copy()
    for y in range(height):
        for d in range(4):
            if d > 0 and y == height - 1:
                continue
            line = bits_DHW[d, y, : width if d == 1 else width - 1]
            first = 4 * y * width + d
            for x in range(len(line)):
                b = _bin(line[x])
                place = places[b]
                places[b] = place + 1
                sorted_bits[place] = line[x]
                sorted_edges[place] = first + 4 * x


@numba.njit(nogil=True, cache=True)
def sort_edges(
    bits: npt.NDArray[np.int64],
    edges: npt.NDArray[np.int32],
    spare_bits: npt.NDArray[np.int64],
    spare_edges: npt.NDArray[np.int32],
    counts: npt.NDArray[np.int64],
) -> None:
    """Sort edges of one bin by cost, in place: one counting pass over the next 8 bits, then insertion."""
    n = len(bits)
    if n > 40:
        counts[:] = 0
        for i in range(n):
            counts[((bits[i] >> (_SHIFT - 8)) & 255) + 1] += 1
        for b in range(256):
            counts[b + 1] += counts[b]
        longest = 0
        for b in range(256):
            longest = max(longest, counts[b + 1] - counts[b])
        for i in range(n):
            b = (bits[i] >> (_SHIFT - 8)) & 255
            spare_bits[counts[b]] = bits[i]
            spare_edges[counts[b]] = edges[i]
            counts[b] += 1
        if longest > 200:  # many costs that are almost equal, as in drawings: insertion sort could take forever
            order = np.argsort(spare_bits[:n])
            for i in range(n):
                bits[i] = spare_bits[order[i]]
                edges[i] = spare_edges[order[i]]
            return
        for i in range(n):
            bits[i] = spare_bits[i]
            edges[i] = spare_edges[i]
    for i in range(1, n):
        bit, edge, j = bits[i], edges[i], i - 1
        while j >= 0 and bits[j] > bit:
            bits[j + 1] = bits[j]
            edges[j + 1] = edges[j]
            j -= 1
        bits[j + 1] = bit
        edges[j + 1] = edge


@numba.njit(nogil=True, cache=True)
def join_similar(
    width: int,
    scale: float,
    starts: npt.NDArray[np.int64],
    bits: npt.NDArray[np.int64],
    edges: npt.NDArray[np.int32],
    parent: npt.NDArray[np.int32],
    size: npt.NDArray[np.int32],
    threshold: npt.NDArray[np.float32],
) -> None:
    """Run the first stage: ``parent`` becomes the forest of segments, whose roots are their first pixels.

    ``size`` receives their pixels at the roots; ``bits`` and ``edges``, sorted into bins, are overwritten.
    """
    costs = bits.view(np.float64)
    first_of = np.array([0, 0, 0, width])
    second_of = np.array([1, width, width + 1, 1])
    counts = np.empty(257, np.int64)
    largest = 0
    for b in range(BINS):
        largest = max(largest, starts[b + 1] - starts[b])
    spare_bits, spare_edges = np.empty(largest, np.int64), np.empty(largest, np.int32)
    pixels = len(parent)
    for p in range(pixels):
        parent[p] = p
        size[p] = 1
        threshold[p] = np.float32(scale)
    flat_until = pixels // 8
    for b in range(BINS):
        begin = starts[b]
        if begin == starts[b + 1]:
            continue
        if begin >= flat_until:
            # A parent comes before its children, so that one pass brings every pixel to its root.
            for p in range(pixels):
                parent[p] = parent[parent[p]]
            flat_until = begin + pixels // 8
        # Without a branch that the processor could mispredict: most edges lie within a segment and end here.
        end = begin
        for i in range(begin, starts[b + 1]):
            edge = edges[i]
            p, d = edge >> 2, edge & 3
            bits[end] = bits[i]
            edges[end] = edge
            end += parent[p + first_of[d]] != parent[p + second_of[d]]
        sort_edges(bits[begin:end], edges[begin:end], spare_bits, spare_edges, counts)
        for i in range(begin, end):
            p, d, cost = edges[i] >> 2, edges[i] & 3, costs[i]
            root0, root1 = find(parent, p + first_of[d]), find(parent, p + second_of[d])
            if root0 != root1 and cost < threshold[root0] and cost < threshold[root1]:
                kept, joined = min(root0, root1), max(root0, root1)
                parent[joined] = kept
                size[kept] += size[joined]
                # float32, as scikit-image has it
                threshold[kept] = np.float32(cost + scale / size[kept])


@numba.njit(nogil=True, cache=True)
def number_segments(
    parent: npt.NDArray[np.int32],
    size: npt.NDArray[np.int32],
    labels_P: npt.NDArray[np.int32],
) -> tuple[int, npt.NDArray[np.int32]]:
    """Label segments 0..S-1 in the order of their first pixels; return S and their sizes in pixels."""
    roots = 0
    for p in range(len(parent)):
        roots += parent[p] == p
    sizes_S = np.empty(roots, np.int32)
    segments = 0
    for p in range(len(parent)):
        above = parent[p]
        if above == p:
            sizes_S[segments] = size[p]
            labels_P[p] = segments
            segments += 1
        else:  # comes earlier, and has its label
            labels_P[p] = labels_P[above]
    return segments, sizes_S


@numba.njit(nogil=True, cache=True)
def renumber_segments(parent_S: npt.NDArray[np.int32], labels_P: npt.NDArray[np.int32]) -> int:
    """Replace labels by those of the joined segments, again in the order of first pixels; return their number."""
    number = np.full(len(parent_S), -1, np.int32)
    segments = 0
    for s in range(len(parent_S)):  # labels are numbered by first pixels already
        root = find(parent_S, s)
        if number[root] < 0:
            number[root] = segments
            segments += 1
    for s in range(len(parent_S)):
        root = find(parent_S, s)
        if root != s:
            number[s] = number[root]
    for p in range(len(labels_P)):
        labels_P[p] = number[labels_P[p]]
    return segments


@numba.njit(nogil=True, cache=True)
def edges_of_small(
    bits_DHW: npt.NDArray[np.int64],
    labels_HW: npt.NDArray[np.int32],
    sizes_S: npt.NDArray[np.int32],
    min_size: int,
    bits: npt.NDArray[np.int64],
    edges: npt.NDArray[np.int32],
) -> int:
    """Write the edges between two segments one of which is below ``min_size``; return their number."""
    height, width = labels_HW.shape
    n = 0
    for y in range(height):
        below = min(y + 1, height - 1)
        for x in range(width):
            right = min(x + 1, width - 1)
            here, next_ = labels_HW[y, x], labels_HW[y, right]
            under, diagonal = labels_HW[below, x], labels_HW[below, right]
            if here == next_ and here == under and here == diagonal:
                continue
            for d in range(4):
                if (d != 1 and right == x) or (d != 0 and below == y):
                    continue
                first = under if d == 3 else here
                second = under if d == 1 else (diagonal if d == 2 else next_)
                if first != second and (sizes_S[first] < min_size or sizes_S[second] < min_size):
                    bits[n] = bits_DHW[d, y, x]
                    edges[n] = 4 * (y * width + x) + d
                    n += 1
    return n


@numba.njit(nogil=True, cache=True)
def join_small(
    bits: npt.NDArray[np.int64],
    edges: npt.NDArray[np.int32],
    labels_P: npt.NDArray[np.int32],
    width: int,
    min_size: int,
    sizes_S: npt.NDArray[np.int32],
) -> tuple[npt.NDArray[np.int32], bool]:
    """Run the second stage, over edges in ascending order of ``bits``; ``sizes_S`` is overwritten.

    Return the forest over segments, and whether the order of edges of equal cost may have mattered.
    """
    first_of = np.array([0, 0, 0, width])
    second_of = np.array([1, width, width + 1, 1])
    parent_S = np.arange(len(sizes_S)).astype(np.int32)
    partner = np.full(len(parent_S), -1, np.int32)
    seen = np.full(len(parent_S), -1, np.int64)
    ambiguous = False
    begin = 0
    while begin < len(bits):
        end = begin + 1
        while end < len(bits) and bits[end] == bits[begin]:
            end += 1
        if end > begin + 1:
            for i in range(begin, end):
                p, d = edges[i] >> 2, edges[i] & 3
                a, b = find(parent_S, labels_P[p + first_of[d]]), find(parent_S, labels_P[p + second_of[d]])
                if a == b or (sizes_S[a] >= min_size and sizes_S[b] >= min_size):
                    continue
                if (seen[a] == begin and partner[a] != b) or (seen[b] == begin and partner[b] != a):
                    ambiguous = True
                seen[a] = seen[b] = begin
                partner[a], partner[b] = b, a
        for i in range(begin, end):
            p, d = edges[i] >> 2, edges[i] & 3
            a, b = find(parent_S, labels_P[p + first_of[d]]), find(parent_S, labels_P[p + second_of[d]])
            if a != b and (sizes_S[a] < min_size or sizes_S[b] < min_size):
                parent_S[b] = a
                sizes_S[a] += sizes_S[b]
        begin = end
    return parent_S, ambiguous
