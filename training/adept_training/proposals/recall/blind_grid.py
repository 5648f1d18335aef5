"""The blind grid: boxes that look at nothing, next to which a recall has to be read.

Squares with sides of 20, 40 and 70 % of the image's shorter side, spread evenly over the image, as many of each as are
inversely proportional to the side. On a tray full of cells such a grid already covers many of them.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from adept_training.proposals.search.boxes import Boxes

SIDES = (0.2, 0.4, 0.7)  # of the shorter side


def blind_grid(size: tuple[int, int], count: int) -> Boxes:
    """Return exactly ``count`` boxes, float32 (count, 4) xyxy in pixels; ``size`` is (width, height)."""
    width, height = size
    share = np.array([1 / side for side in SIDES])
    exact = count * share / share.sum()
    counts = np.floor(exact).astype(int)
    for k in np.argsort(counts - exact, kind="stable")[: count - counts.sum()]:
        counts[k] += 1
    parts = [
        _spread(width, height, side * min(width, height), n) for side, n in zip(SIDES, counts.tolist(), strict=True)
    ]
    return np.concatenate(parts).astype(np.float32)


def _spread(width: int, height: int, side: float, count: int) -> npt.NDArray[np.float64]:
    """Spread ``count`` squares over rows and columns."""
    if count == 0:
        return np.empty((0, 4))
    free_x, free_y = width - side, height - side
    columns = max(1, math.ceil(math.sqrt(count * free_x / max(free_y, 1e-9))))
    rows = math.ceil(count / min(columns, count))
    columns = math.ceil(count / rows)
    x, y = _places(free_x, columns), _places(free_y, rows)
    every = np.array([[a, b, a + side, b + side] for b in y for a in x])
    return np.asarray(every[np.round(np.linspace(0, len(every) - 1, count)).astype(int)])


def _places(free: float, count: int) -> npt.NDArray[np.float64]:
    return np.linspace(0, free, count) if count > 1 else np.array([free / 2])
