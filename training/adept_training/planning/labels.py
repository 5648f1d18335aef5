"""Look at labeled images: how many there are, and which boxes cover their objects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from adept_training.images import ImageSource
from adept_training.labels.records import Split
from adept_training.proposals.recall.tune import COMPARED, Compared, Tuned, tune

#: Labeled images that are searched at most.
SEARCHED = 12
PRESET = "objects"


@dataclass(frozen=True)
class Labels:
    """Recall of boxes on labeled images.

    Attributes:
        words: of ``--data``.
        images: labeled ones of the training split.
        tuned: recall of the boxes on a few of them.
        options: of `adept proposals`, if boxes other than the recipe's are better; empty otherwise.
    """

    words: tuple[str, ...]
    images: int
    tuned: Tuned
    options: tuple[str, ...]


def look_at_labels(source: ImageSource, words: Sequence[str], split: Split, preset: str, boxes: int = 50) -> Labels:
    """Compare the boxes of a recipe's preset with those of ``objects``, without and with bounds of size.

    Args:
        source: the images of the plan.
        words: of ``--data``, whose training split is ``split``.
        split: labeled images.
        preset: of the recipe.
        boxes: per image.

    Raises:
        ProposalsError: fewer than two images have objects.
    """
    presets = tuple({PRESET, *([preset] if preset in COMPARED else [])})
    tuned = tune(source, split, boxes=boxes, most=SEARCHED, presets=presets)
    return Labels(tuple(words), len(split), tuned, options_of(tuned.rows, preset))


def options_of(rows: Sequence[Compared], preset: str) -> tuple[str, ...]:
    """Return the options of better boxes than the recipe's own, if some surely are; empty otherwise.

    Better is what the best does not surely lead; of several, the setting with the fewest options.
    """
    own = next((row for row in rows if row.options == ("--preset", preset)), None)
    if own is None or own.behind[0] <= 0:
        return ()
    return min((row.options for row in rows if row.behind[0] <= 0), key=len)
