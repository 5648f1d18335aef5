"""Rank candidates without labels: standardized cues in a weighted sum, sizes, suppression, voting.

Legend: N candidates, F cues, K kept; 4 = x1, y1, x2, y2 in pixels, continuous.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from adept_training.proposals.objects.cues import CUES
from adept_training.proposals.objects.suppress import suppress, vote

Floats = npt.NDArray[np.float64]

#: Weights of standardized cues, from the 128 training images of coco256 and nothing else:
#: python -m benchmarks.boxes.object_ranking coco:coco256/instances_train2017.json:coco256/train2017
WEIGHTS = {
    "flux": 0.12, "border": -0.08, "contrast": 0.28, "enclosed": 0.75, "cut": -0.15, "density": -0.1, "crowd": 0.41,
    "edge_boxes": -0.13, "windows": -0.18, "regions": 1.53,
}  # fmt: skip
#: Share of sizes among the 15 boxes of an image with most agreement, by bin: from the same images and command.
USUAL_SIZES = (
    0.006, 0.023, 0.05, 0.06, 0.061, 0.061, 0.065, 0.072, 0.07, 0.096, 0.086, 0.093, 0.088, 0.065, 0.053, 0.036, 0.015,
    0.0,
)  # fmt: skip
#: Bins: logarithm of sqrt(w h) in pixels of the image at 320 pixels.
SIZE_BINS = np.arange(2.2, 6.0, 0.2)
MOST_IOU = 0.6  # of two boxes that are kept
_AGREED = 15  # boxes of an image that vote on the sizes of a set
_RARE = 0.02  # share below which the size of a bin is not evidence
_PRIOR_WEIGHT = 1.0
_VOTE_IOU, _VOTE_SCALE = 0.6, 3.0


def rank(boxes_N4: Floats, cues_NF: Floats, size_prior: Sequence[float], most: int) -> Floats:
    """Return the best boxes, best first, none of which overlap by more than 0.6; float64 (K, 4).

    Args:
        boxes_N4: candidates.
        cues_NF: see ``cues.measure_cues``.
        size_prior: logarithm of a factor per size bin (see ``size_prior``); empty: none.
        most: boxes.
    """
    if len(boxes_N4) == 0:
        return boxes_N4
    score_N = score(cues_NF)
    if len(size_prior):
        centers = SIZE_BINS[:-1] + 0.1
        score_N = score_N + _PRIOR_WEIGHT * np.interp(log_sizes(boxes_N4), centers, np.asarray(size_prior))
    kept_K = suppress(boxes_N4, np.argsort(-score_N, kind="stable"), MOST_IOU, most)
    return np.asarray(vote(boxes_N4, np.exp((score_N - score_N.max()) / _VOTE_SCALE), kept_K, _VOTE_IOU))


def score(cues_NF: Floats) -> Floats:
    """Return the weighted sum of standardized cues, (N,)."""
    return np.asarray(standardize(cues_NF) @ np.array([WEIGHTS[cue] for cue in CUES]))


def standardize(cues_NF: Floats) -> Floats:
    """Subtract the mean over the candidates of one image, and divide by their standard deviation."""
    return np.asarray((cues_NF - cues_NF.mean(axis=0)) / (cues_NF.std(axis=0) + 1e-6))


def log_sizes(boxes_N4: Floats) -> Floats:
    """Return the logarithm of sqrt(w h)."""
    return np.asarray(np.log((boxes_N4[:, 2] - boxes_N4[:, 0]) * (boxes_N4[:, 3] - boxes_N4[:, 1])) / 2)


def count_sizes(boxes_N4: Floats, cues_NF: Floats) -> npt.NDArray[np.int64]:
    """Count the sizes of an image's boxes that most candidates agree on, by bin."""
    if len(boxes_N4) == 0:
        return np.zeros(len(SIZE_BINS) - 1, np.int64)
    standard_NF = standardize(cues_NF)
    agreement_N = standard_NF[:, CUES.index("regions")] + standard_NF[:, CUES.index("windows")]
    kept_K = suppress(boxes_N4, np.argsort(-agreement_N, kind="stable"), MOST_IOU, _AGREED)
    return np.histogram(log_sizes(boxes_N4[kept_K]), SIZE_BINS)[0].astype(np.int64)


def size_prior(counts: npt.NDArray[np.int64]) -> tuple[float, ...]:
    """Return the logarithm of how much more often than usual each size recurs, from counts over a set of images."""
    if counts.sum() == 0:
        return ()
    share = counts / counts.sum()
    usual = np.array(USUAL_SIZES)
    return tuple(np.round(np.log((share + _RARE) / (usual + _RARE)), 4).tolist())
