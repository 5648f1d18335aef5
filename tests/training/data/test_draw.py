"""Drawing boxes evenly over their sizes."""

from __future__ import annotations

from collections import Counter

import numpy as np

from adept_training.data.draw import draw_rows, octaves
from adept_training.data.views import ViewsRecipe, draw_geometry


def test_sizes_are_those_in_the_square() -> None:
    """A 400 x 100 image becomes 200 x 200: half as wide, twice as high."""
    boxes = np.array([[0, 0, 16, 4], [0, 0, 40, 10], [10, 10, 138, 42], [0, 0, 400, 100], [5, 5, 5, 5]], np.float32)
    # 8 x 8, 20 x 20, 64 x 64 and 200 x 200 px; nothing counts as one pixel.
    assert octaves(boxes, (400, 100), 200).tolist() == [3, 4, 6, 7, 0]


def test_one_of_every_size_before_a_second_of_any() -> None:
    """Twenty boxes of one size, three of another, one of a third; the last two are not to be drawn."""
    sizes = np.array([2.0] * 20 + [4.0] * 3 + [6.0] + [7.0] * 2)
    candidates = sizes < 7
    counts, first = Counter(), Counter()
    for seed in range(300):
        rows = draw_rows(np.random.default_rng(seed), candidates, 6, sizes)
        assert len(set(rows.tolist())) == 6
        assert Counter(sizes[rows].tolist()) in ({2.0: 3, 4.0: 2, 6.0: 1}, {2.0: 2, 4.0: 3, 6.0: 1})
        counts.update(rows.tolist())
        first[float(sizes[draw_rows(np.random.default_rng(seed), candidates, 1, sizes)[0]])] += 1
    assert len(counts) == 24, "every box comes"
    assert max(counts[row] for row in range(20)) < 2 * min(counts[row] for row in range(20))
    assert min(first.values()) > 0
    assert len(first) == 3


def test_few_candidates_are_all_drawn() -> None:
    rows = draw_rows(np.random.default_rng(0), np.array([True, False, True]), 4, np.zeros(3))
    assert rows.tolist() == [0, 2]


def test_views_have_all_sizes() -> None:
    """Of 41 boxes one is large: drawn uniformly it is in a tenth of the samples, evenly over sizes in all of them."""
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 180, (40, 2))
    small = np.concatenate([corners, corners + 20], axis=1)
    boxes = np.concatenate([small, [[10, 10, 190, 190]]]).astype(np.float32)
    shares = {}
    for stratify in (False, True):
        recipe = ViewsRecipe(boxes=4, best=41, stratify=stratify, box_sets="separate", v3_mode="independent")
        drawn = [draw_geometry(np.random.default_rng(seed), (200, 200), boxes, recipe)[1] for seed in range(100)]
        shares[stratify] = np.mean([[40 in b.ids_K for b in (one.boxes2, one.boxes3)] for one in drawn])
    assert shares[False] < 0.25
    assert shares[True] == 1
