"""Names of every figure that an evaluation may hold: which there are, how they are called, and which way is better."""

from __future__ import annotations

from adept_hub.errors import RecipeError
from adept_hub.words.spelling import did_you_mean

_COCO = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")
_TIDE = ("Cls", "Loc", "Both", "Dupe", "Bkg", "Miss", "FalsePos", "FalseNeg")
_WORDS = {"VOC07_AP50": "AP50 by eleven points (VOC 2007)", "VOC_AP50": "AP50 by area (VOC)"}

#: All of `adept_training.metrics.evaluate.Evaluation.flat`, those of masks with Mask R-CNN alone.
METRICS = (
    *_COCO, *(f"mask_{name}" for name in _COCO), *_WORDS, *(f"TIDE_{name}" for name in _TIDE),
    *(f"RPN_AR{count}" for count in (1, 10, 100, 1000)),
)  # fmt: skip


def is_cost(metric: str) -> bool:
    """Whether less is better: TIDE's figures are what an error costs."""
    return metric.startswith("TIDE_")


def title_of(metric: str) -> str:
    """A metric in words."""
    family, _, name = metric.partition("_")
    if family == "TIDE":
        return f"TIDE {name}, points of AP50 lost (less is better)"
    if family == "RPN":
        return f"AR@{name.removeprefix('AR')} of the RPN alone"
    return f"{name} of masks" if family == "mask" else _WORDS.get(metric, metric)


def check_metric(metric: str, detector: str) -> None:
    """Refuse a metric before hours of training rather than after them.

    Raises:
        RecipeError: no such metric, or one of masks where the detector has none.
    """
    known = [name for name in METRICS if detector == "mask_rcnn" or not name.startswith("mask_")]
    if metric not in known:
        hint = did_you_mean(metric, known)
        raise RecipeError(f"--metric {metric!r} is not measured here.\nMeasured: {', '.join(known)}.{hint}")
