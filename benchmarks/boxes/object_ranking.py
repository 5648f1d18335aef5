"""Fit what the preset ``objects`` ranks by: weights of its cues, and the sizes that are usual in photographs.

    python -m benchmarks.boxes.object_ranking coco:instances_train2017.json:train2017

prints the constants of ``adept_training/proposals/objects/ranking.py``. Logistic regression (does a candidate cover an
object with IoU 0.6; every object weighs the same) starts, and coordinate ascent on recall itself ends: the mean over
10, 30, 50 and 100 boxes and IoU 0.5 and 0.7. No randomness; about three minutes for 128 images on one core.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from adept_hub.images.decode import decode
from adept_training.labels.datasets import open_data
from adept_training.proposals.measure import box_iou
from adept_training.proposals.objects import ranking
from adept_training.proposals.objects import search as objects
from adept_training.proposals.objects.cues import CUES
from adept_training.proposals.objects.suppress import suppress
from adept_training.proposals.search.presets import get_preset

Floats = npt.NDArray[np.float64]

POSITIVE, PENALTY = 0.6, 1.0
COUNTS, IOUS, STEPS, ROUNDS = (10, 30, 50, 100), (0.5, 0.7), (0.5, 0.25, 0.12), 2


@dataclass(frozen=True)
class Candidates:
    """The candidates of one image."""

    boxes_N4: Floats
    standard_NF: Floats
    iou_NM: Floats


def logistic(images: Sequence[Candidates]) -> Floats:
    """Return weights by Newton's method; objects and background weigh the same in each image."""
    rows, covered, weights = [], [], []
    for one in images:
        best_N, object_N = one.iou_NM.max(axis=1), one.iou_NM.argmax(axis=1)
        positive_N = best_N >= POSITIVE
        weight_N = np.where(positive_N, 1.0, 0.0)
        found = np.unique(object_N[positive_N])
        for m in found:
            own_N = positive_N & (object_N == m)
            weight_N[own_N] = 1 / own_N.sum()
        weight_N[~positive_N] = max(1, len(found)) / max(1, (~positive_N).sum())
        rows.append(np.hstack([one.standard_NF, np.ones((len(best_N), 1))]))
        covered.append(positive_N.astype(np.float64))
        weights.append(weight_N)
    x, y, weight = np.concatenate(rows), np.concatenate(covered), np.concatenate(weights)
    ridge = np.eye(x.shape[1]) * PENALTY
    ridge[-1, -1] = 0
    beta = np.zeros(x.shape[1])
    for _ in range(30):
        p = 1 / (1 + np.exp(-x @ beta))
        gradient = x.T @ (weight * (p - y)) + ridge @ beta
        beta -= np.linalg.solve((x * (weight * p * (1 - p))[:, None]).T @ x + ridge, gradient)
    return np.asarray(beta[:-1])


def recall(images: Sequence[Candidates], weights: Floats) -> float:
    """Return the mean recall over counts and IoU thresholds."""
    found = total = 0
    for one in images:
        order = np.argsort(-(one.standard_NF @ weights), kind="stable")
        iou_KM = one.iou_NM[suppress(one.boxes_N4, order, ranking.MOST_IOU, max(COUNTS))]
        for count in COUNTS:
            best_M = iou_KM[:count].max(axis=0)
            found += sum(int((best_M >= iou).sum()) for iou in IOUS)
            total += len(IOUS) * len(best_M)
    return found / total


def ascend(images: Sequence[Candidates], weights: Floats) -> Floats:
    """Change one weight at a time while recall rises."""
    best = recall(images, weights)
    for step in STEPS:
        for _ in range(ROUNDS):
            before = best
            for k in range(len(weights)):
                for change in (step, -step):
                    tried = weights.copy()
                    tried[k] += change
                    if (now := recall(images, tried)) > best + 1e-4:
                        best, weights = now, tried
            if best == before:
                break
    return weights


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the constants."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", metavar="DATA", help="labeled images, as --data of adept finetune")
    args = parser.parse_args(arguments)
    preset = get_preset("objects")
    images, sizes = [], np.zeros(len(ranking.SIZE_BINS) - 1, np.int64)
    for record in open_data(args.data).train.images:
        image = decode(record.path.read_bytes(), record.file_name)
        lab_HWC, factor_4 = objects.shrink(image)
        boxes_N4, cues_NF = objects.describe(lab_HWC, preset)
        sizes += ranking.count_sizes(boxes_N4, cues_NF)
        truth_M4 = record.boxes_M4[~record.crowd_M] / factor_4
        if len(truth_M4) and len(boxes_N4):
            images.append(Candidates(boxes_N4, ranking.standardize(cues_NF), box_iou(boxes_N4, truth_M4)))
    start = logistic(images)
    weights = ascend(images, start)
    out = sys.stdout.write
    out(f"recall {recall(images, start):.4f} by logistic regression, {recall(images, weights):.4f} at the end\n")
    out("WEIGHTS = " + repr({cue: round(float(w), 2) for cue, w in zip(CUES, weights, strict=True)}) + "\n")
    out("USUAL_SIZES = " + repr(tuple(np.round(sizes / sizes.sum(), 3).tolist())) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
