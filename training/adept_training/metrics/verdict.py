"""Whether a detector, or a fine-tuning, found anything at all. Pure: figures in, sentences out."""

from __future__ import annotations

from collections.abc import Sequence

from adept_training.metrics.stats import NOTHING


def found_nothing(detections: int, objects: int, images: int) -> str:
    """Return a caution for an evaluation without a single detection; empty where there is one, or no object.

    Args:
        detections: above the detector's score threshold, in all images.
        objects: to be found.
        images: that were looked at.
    """
    if detections or not objects:
        return ""
    return (
        f"Nothing was found: no detection of {objects} objects in {images} images, so every figure is 0. "
        "Lower detector.score_threshold, train longer, or check that classes and images are those of training."
    )


def learned_nothing(validation: Sequence[tuple[int, float | None]], report_ap: float | None, iterations: int) -> str:
    """Return a caution for a fine-tuning whose AP never left zero; empty where it did, or where nothing was measured.

    Args:
        validation: iteration and AP of every evaluation, percent; None: nothing to count.
        report_ap: AP on the split of the report.
        iterations: of the run.
    """
    known = [ap for ap in (*(ap for _, ap in validation), report_ap) if ap is not None]
    if not known or max(known) >= NOTHING:
        return ""
    return (
        f"Nothing was learned: AP is 0.0 in all {len(known)} evaluations. Try more than {iterations} iterations "
        f"(--iterations {4 * iterations}), a larger --size for objects of a few pixels, or another --lr, with another "
        "--out."
    )
