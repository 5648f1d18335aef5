"""Advise what is better than a run with too little time or too few images: a pure function of its numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from adept_hub.words.command_line import command_line
from adept_training.planning.need import LEAST_IMAGES, Outlook, more_time

#: Labeled images from which on labels are plenty: in docs/evidence.md 60 of 899 gained; the more labels, the less.
PLENTY, PLENTY_SHARE = 1000, 0.5
#: The gains of docs/evidence.md are at this number of labels or fewer.
MEASURED_LABELS = 60
_WEEKS = 14 * 24 * 60


@dataclass(frozen=True)
class Advice:
    """A sentence, and the command to follow it, if there is one."""

    text: str
    command: str | None = None


@dataclass(frozen=True)
class Instead:
    """A start for ``adept finetune`` that needs no pre-training: in words, and as typed."""

    text: str
    source: str


def labels_are_plenty(labeled: int, images: int) -> bool:
    """Return whether there are enough labeled images to leave little for pre-training to earn."""
    return labeled >= PLENTY or labeled >= PLENTY_SHARE * images


def advise(
    outlook: Outlook,
    *,
    images: int,
    minutes_for_enough: float,
    instead: Instead,
    data: Sequence[str],
    labeled: int | None,
) -> list[Advice]:
    """Return what is better, the most promising first; empty if nothing is known to be.

    Args:
        outlook: of the chosen run.
        images: in the training set.
        minutes_for_enough: time in which the chosen recipe would see enough, proposals included.
        instead: a start for its architecture.
        data: labeled images, as words of ``--data``.
        labeled: their number; None: unknown.
    """
    found: list[Advice] = []
    finetune = command_line("finetune", instead.source, "--data", *(data or ["DATA"]), "--out", "runs/finetuned")
    plenty = labeled is not None and labels_are_plenty(labeled, images)
    if labeled is not None and plenty:
        found.append(
            Advice(
                f"{labeled:,} labeled images are plenty: gains have been measured with {MEASURED_LABELS} or fewer. "
                "Fine-tune first, and compare:",
                finetune,
            )
        )
    if images < LEAST_IMAGES:
        found.append(
            Advice(
                f"{images} images are fewer than in any run that gained ({LEAST_IMAGES}): add unlabeled images of the "
                f"same kind, or fine-tune {instead.text}:",
                finetune,
            )
        )
    if outlook.verdict == "too little":
        if outlook.wanted:
            found.append(Advice(_more_time(outlook.enough_steps, minutes_for_enough)))
        if images >= LEAST_IMAGES and not plenty:
            found.append(Advice(f"without that time, fine-tune {instead.text}:", finetune))
    return found


def _more_time(steps: int, minutes: float) -> str:
    if minutes > _WEEKS:
        return (
            f"enough, {steps:,} steps, would take {minutes / 1440:.0f} days here: use a GPU, or fewer parameters and "
            "smaller views"
        )
    return f"{more_time(steps, minutes)}: --minutes {minutes:.0f}"
