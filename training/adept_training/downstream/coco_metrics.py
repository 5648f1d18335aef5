"""COCO's AP family and the RPN's AR, computed by pycocotools.

Legend of pycocotools' tables: T IoU thresholds, R recalls, K classes, A areas, M limits on detections.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pycocotools.cocoeval import COCOeval

from adept_training.downstream.detections import Found, coco_results, coco_truth
from adept_training.downstream.records import Split

_NAMES = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")
LIMITS = (1, 10, 100, 1000)


@dataclass(frozen=True)
class CocoMetrics:
    """The twelve statistics in percent (NaN where nothing of that size exists), AP and AP50 of each class, and curves.

    ``curves_KR`` is precision at IoU 0.5 over the 101 recalls, NaN for a class that does not occur.
    """

    summary: dict[str, float]
    per_class: dict[str, dict[str, float]]
    curves_KR: npt.NDArray[np.float64]


def coco_metrics(split: Split, found: Found, kind: str = "bbox") -> CocoMetrics:
    """AP of detections as ``pycocotools`` has it.

    Args:
        split: the truth.
        found: detections by image.
        kind: ``bbox`` or ``segm``.
    """
    truth = coco_truth(split, kind)
    evaluation = COCOeval(truth, coco_results(truth, split, found, kind), kind)
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    summary = {name: _percent(value) for name, value in zip(_NAMES, evaluation.stats, strict=True)}
    precision_TRK = np.where(evaluation.eval["precision"] < 0, np.nan, evaluation.eval["precision"])[:, :, :, 0, -1]
    per_class = {}
    for k, name in enumerate(split.classes):
        all_TR, half_R = precision_TRK[:, :, k], precision_TRK[0, :, k]
        per_class[name] = {"AP": _mean(all_TR), "AP50": _mean(half_R)}
    return CocoMetrics(summary, per_class, precision_TRK[0].T)


def proposal_recall(split: Split, found: Found, limits: Sequence[int] = LIMITS) -> dict[str, float]:
    """Class-agnostic average recall in percent over IoU 0.5-0.95, for the best 1, 10, 100, 1000 proposals an image."""
    truth = coco_truth(split)
    evaluation = COCOeval(truth, coco_results(truth, split, found), "bbox")
    evaluation.params.useCats = 0
    evaluation.params.maxDets = list(limits)
    evaluation.params.areaRng = evaluation.params.areaRng[:1]
    evaluation.params.areaRngLbl = evaluation.params.areaRngLbl[:1]
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation.evaluate()
        evaluation.accumulate()
    recall_TM = evaluation.eval["recall"][:, 0, 0, :]
    return {f"AR{limit}": _mean(np.where(row < 0, np.nan, row)) for limit, row in zip(limits, recall_TM.T, strict=True)}


def _mean(values: npt.NDArray[np.float64]) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) * 100 if known.size else float("nan")


def _percent(value: float) -> float:
    return float("nan") if value < 0 else float(value) * 100
