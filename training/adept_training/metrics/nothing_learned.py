"""Check whether a detector, or a fine-tuning, found anything at all: metrics in, sentences out."""

from __future__ import annotations

from collections.abc import Sequence

from adept_training.metrics.stats import NOTHING


def found_nothing(detections: int, objects: int, images: int) -> str:
    """Return a warning for an evaluation without a single detection; empty if there is one, or no object.

    Args:
        detections: number above the detector's score threshold, in all images.
        objects: number of objects.
        images: number of images.
    """
    if detections or not objects:
        return ""
    return (
        f"Nothing was found: no detection of {objects} objects in {images} images, so every metric is 0. "
        "Lower detector.score_threshold, train longer, or check that classes and images are those of training."
    )


def learned_nothing(validation: Sequence[tuple[int, float | None]], report_ap: float | None, iterations: int) -> str:
    """Return a warning for a fine-tuning whose AP stayed zero; empty if it did not, or if nothing was measured.

    Args:
        validation: iteration and AP of every evaluation, percent; None: no objects.
        report_ap: AP on the split of the report.
        iterations: iterations of the run.
    """
    measured = [ap for ap in (*(ap for _, ap in validation), report_ap) if ap is not None]
    if not measured or max(measured) >= NOTHING:
        return ""
    return (
        f"Nothing was learned: AP is 0.0 in all {len(measured)} evaluations. Try more than {iterations} iterations "
        f"(--iterations {4 * iterations}), a larger --size for objects of a few pixels, or another --lr, with another "
        "--out."
    )
