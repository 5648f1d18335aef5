"""Names and titles of every metric of an evaluation, and whether higher or lower is better."""

from __future__ import annotations

from adept_hub.errors import RecipeError
from adept_hub.words.spelling import did_you_mean

_COCO = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")
_TIDE = ("Cls", "Loc", "Both", "Dupe", "Bkg", "Miss", "FalsePos", "FalseNeg")
_WORDS = {"VOC07_AP50": "AP50 by eleven points (VOC 2007)", "VOC_AP50": "AP50 by area (VOC)"}

#: All of `adept_training.metrics.evaluate.Evaluation.flat`; those of masks only with Mask R-CNN.
METRICS = (
    *_COCO, *(f"mask_{name}" for name in _COCO), *_WORDS, *(f"TIDE_{name}" for name in _TIDE),
    *(f"RPN_AR{count}" for count in (1, 10, 100, 1000)),
)  # fmt: skip


def is_cost(metric: str) -> bool:
    """Check whether lower is better: TIDE's values are costs of errors."""
    return metric.startswith("TIDE_")


def title_of(metric: str) -> str:
    """Return a metric in words."""
    family, _, name = metric.partition("_")
    if family == "TIDE":
        return f"TIDE {name}, points of AP50 lost (lower is better)"
    if family == "RPN":
        return f"AR@{name.removeprefix('AR')} of the RPN alone"
    return f"{name} of masks" if family == "mask" else _WORDS.get(metric, metric)


def check_metric(metric: str, detector: str) -> None:
    """Check a metric before hours of training rather than after them.

    Raises:
        RecipeError: the metric is unknown, or of masks although the detector has none.
    """
    available = [name for name in METRICS if detector == "mask_rcnn" or not name.startswith("mask_")]
    if metric not in available:
        hint = did_you_mean(metric, available)
        raise RecipeError(f"--metric {metric!r} is not available.\nAvailable: {', '.join(available)}.{hint}")
