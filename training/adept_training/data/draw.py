"""Draw some of an image's boxes: uniformly, or evenly over their sizes.

Legend: M boxes of the image, R rows to draw from.
"""

from __future__ import annotations

import numpy as np

from adept_training.data.arrays import Array, Bools, Floats, Ints


def draw_rows(rng: np.random.Generator, candidates_M: Bools, count: int, octaves_M: Floats | None = None) -> Ints:
    """Draw at most ``count`` candidates without replacement; all of them, in order, if they are not more.

    Args:
        rng: nothing else is random.
        candidates_M: boxes to draw from.
        count: boxes to draw.
        octaves_M: size of each box in octaves (`octaves`). One of every size that occurs is drawn before a second of
            any, and so on; the sizes of the last round are random.
    """
    rows_R = np.flatnonzero(candidates_M)
    if len(rows_R) <= count:
        return rows_R
    if octaves_M is None:
        return rng.choice(rows_R, size=count, replace=False)
    rows_R = rng.permutation(rows_R)
    same_RR = octaves_M[rows_R][:, None] == octaves_M[rows_R]
    round_R = np.tril(same_RR, -1).sum(axis=1)  # how many of its size come before
    return rows_R[np.argsort(round_R, kind="stable")[:count]]


def octaves(boxes_M4: Array, size: tuple[int, int], side: int) -> Floats:
    """Return the octave of sqrt(w h) of each box after an image of ``size`` (width, height) is resized to a square.

    A level of the FPN is for one octave of sizes, too.

    Args:
        boxes_M4: xyxy in pixels of the image.
        size: width and height of the image.
        side: of the square, pixels.
    """
    wh_M2 = (boxes_M4[:, 2:].astype(np.float64) - boxes_M4[:, :2]) * side / np.array(size, dtype=np.float64)
    result: Floats = np.floor(np.log2(np.sqrt(wh_M2.prod(axis=1).clip(1))))
    return result
