"""The number of images that a method has to see, from past measurements: pure functions of numbers.

docs/evidence.md has the runs of this project; the others are lightly's on Imagenette (ResNet-18, 128 px, batch 256).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from adept_hub.words.command_line import command_line
from adept_training.pretraining.pace import MIN_STEPS, about

#: Passes are what scales between sets up to this size. For larger ones it is not known: they want as many images as
#: this one at least.
KNOWN_IMAGES = 10_000
#: The smallest training set on which a pre-training run gained (docs/evidence.md: BCCD, within its interval).
LEAST_IMAGES = 205
#: Steps that are suggested if what the method wants is unknown: three times the least.
_UNKNOWN_STEPS = 3 * MIN_STEPS
#: Share of a need that meets it: no need is known more exactly, and whole batches leave out the rest of every pass.
NEAR = 0.95

Verdict = Literal["enough", "some", "too little", "unknown"]


@dataclass(frozen=True)
class Need:
    """Passes over a set that a method needs.

    Attributes:
        method: in words.
        wanted: passes after which it has learned what it will learn, or nearly.
        gained: passes of a run whose weights were better than random ones when labels were few.
        evidence: where both come from.
    """

    method: str
    wanted: float
    gained: float
    evidence: str

    def wanted_images(self, images: int) -> int:
        """Return how many images are to be seen, of a set of ``images``."""
        return round(self.wanted * min(images, KNOWN_IMAGES))

    def gained_images(self, images: int) -> int:
        """Return how many images were enough for a gain, in a set of ``images``."""
        return round(self.gained * min(images, KNOWN_IMAGES))


_LADDER = "150,000 views of 899 images gained 4 to 6 AP on steel with 60 labels"
_NEEDS = {
    "cosine": Need("BYOL's cosine", 800, 167, f"Imagenette: kNN .705 after 200 passes, .887 after 800; {_LADDER}"),
    "infonce": Need("InfoNCE", 200, 167, f"Imagenette: kNN .835 after 200 passes, .889 after 800; {_LADDER}"),
    "prototypes": Need("SwAV's prototypes", 200, 167, "Imagenette: kNN .861 after 200 passes, .902 after 800"),
    "detection": Need(
        "detection", 8, 8, "7,200 to 17,280 views of 899 images gained 4 to 6 AP on steel with 60 labels"
    ),
}


def need_of(name: str, objective: str) -> Need | None:
    """Return the need of a method with an objective of the recipe; None if nothing has been measured.

    >>> need_of("soco", "infonce").wanted_images(500)
    100000
    """
    if name == "adept_separate":  # the RPN alone
        return None
    return _NEEDS.get(name if name == "detection" else objective)


@dataclass(frozen=True)
class Outlook:
    """Images that a run will see, and whether they are enough.

    Attributes:
        seen: images, counted again in every pass.
        steps: training steps.
        epochs: passes over the training images.
        wanted: images that the method wants to see; 0: unknown.
        verdict: ``enough``; ``some``: as much as has gained; ``too little``; ``unknown``.
        enough_steps: steps in which the method sees what it wants. The plan, the first lines of a run and the advice at
            its end all suggest this number.
    """

    seen: int
    steps: int
    epochs: float
    wanted: int
    verdict: Verdict
    enough_steps: int = _UNKNOWN_STEPS

    @property
    def share(self) -> float:
        """Share of the wanted images; 0 if unknown."""
        return self.seen / self.wanted if self.wanted else 0.0


def look_ahead(need: Need | None, images: int, batch: int, steps: int) -> Outlook:
    """Return the outlook of a run of ``steps`` steps of ``batch`` images on a training set of ``images``."""
    seen = steps * batch
    wanted = 0 if need is None else need.wanted_images(images)
    verdict: Verdict = "too little"
    if steps >= MIN_STEPS:
        if need is None:
            verdict = "unknown"
        elif seen >= NEAR * wanted:
            verdict = "enough"
        elif seen >= NEAR * need.gained_images(images):
            verdict = "some"
    return Outlook(seen, steps, seen / images, wanted, verdict, enough_steps(need, images, batch))


def enough_steps(need: Need | None, images: int, batch: int) -> int:
    """Return the steps of ``batch`` images in which a method sees what it wants of a set of ``images``.

    >>> enough_steps(need_of("soco", "infonce"), 500, 16), enough_steps(None, 500, 16)
    (6250, 300)
    """
    return _UNKNOWN_STEPS if need is None else max(math.ceil(need.wanted_images(images) / batch), MIN_STEPS)


def outlook_lines(outlook: Outlook, need: Need | None) -> list[str]:
    """Return what will be seen, whether it is enough, and by what evidence."""
    seen = f"{outlook.seen:,} images will be seen ({outlook.epochs:.3g} passes)"
    if need is None:
        return [f"{seen}; how many this method wants has not been measured"]
    wanted = f"{need.method} wants about {outlook.wanted:,} of a set of this size"
    ending = {
        "enough": f"enough: {wanted}",
        "some": f"{100 * outlook.share:.0f}% of enough: {wanted}, but fewer have gained",
        "too little": f"too little, {100 * outlook.share:.2g}% of enough: {wanted}",
        "unknown": wanted,
    }[outlook.verdict]
    if outlook.verdict == "too little" and outlook.share >= NEAR:
        ending = f"too little: {outlook.steps} steps, fewer than the {MIN_STEPS} that any run needs"
    return [f"{seen}: {ending}", f"evidence: {need.evidence}"]


def run_lines(outlook: Outlook, need: Need | None, minutes: int, command: str, images: str) -> list[str]:
    """Return the first lines of a run about what it will see; with what is better if that is too little.

    Args:
        outlook: of the run, at its pace.
        need: of its method.
        minutes: of ``outlook.enough_steps``, those so far included.
        command: runs that many steps.
        images: as typed by the user.
    """
    seen = outlook_lines(outlook, need)[0]
    if outlook.verdict != "too little":
        return [seen]
    compare = command_line("plan", images, "--minutes", "M")
    return [
        f"caution: {seen}",
        f"better: stop it and {more_time(outlook.enough_steps, minutes)}: {command}",
        f"or fewer parameters or smaller views ({compare} compares them), or the bundled weights: "
        "adept finetune detection --data DATA --out RUN",
    ]


def more_time(steps: int, minutes: float) -> str:
    """Return the words of the advice to train for this many steps.

    >>> more_time(6250, 95)
    'give it time for 6,250 steps, about 95 minutes'
    """
    return f"give it time for {steps:,} steps, {about(minutes)}"
