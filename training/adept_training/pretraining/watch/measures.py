"""Tabulate the metrics of a run before the first step and after the last, with their meaning and good direction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from adept_training.pretraining.origin import recorded_origin
from adept_training.pretraining.watch.log import RunLog
from adept_training.pretraining.watch.outcome import ends_of, network_of
from adept_training.pretraining.watch.verdict import MIN_RANK, Change, changes_between, number


@dataclass(frozen=True)
class Measure:
    """A metric of the probes.

    Attributes:
        key: its name in the log without the network.
        good: direction of a gain; ``above``: it only has to stay above `MIN_RANK`.
    """

    key: str
    name: str
    meaning: str
    good: Literal["higher", "lower", "above"]


MEASURES = (
    Measure("recall100_iou50", "Boxes that the RPN finds", "Share of the boxes in held-out images that one of its best "
            "100 proposals covers with an IoU of at least 0.5.", "higher"),
    Measure("recall100_iou70", "Boxes that the RPN finds tightly", "The same with an IoU of at least 0.7.", "higher"),
    Measure("objectness_auc", "Objects above background", "How often the RPN gives an anchor on an object a higher "
            "score than an anchor on background (AUC); 0.5 is guessing.", "higher"),
    Measure("objectness_auc_level", "Objects above background, by level", "The same within one level of the FPN, where "
            "preferring large or small anchors gains nothing.", "higher"),
    Measure("head_rank", "Directions of the RoI head's features", "In how many directions the features of different "
            f"boxes differ (effective rank). Below {MIN_RANK:g} they have collapsed; a random start has many.",
            "above"),
    Measure("head_same_image", "Neighbors from the same image", "Share of the ten most similar boxes that come from "
            "the same image. High: the features describe light and background instead of the object.", "lower"),
    Measure("head_color_r2", "Features explained by color", "Share of the features' variance that the mean color of a "
            "box explains (R²).", "lower"),
)  # fmt: skip
_GOOD = {"higher": "↑ higher is better", "lower": "↓ lower is better", "above": f"must stay above {MIN_RANK:g}"}


def before_and_after(run: RunLog) -> list[tuple[str, str, list[str]]]:
    """Return a row per measured metric: name, meaning, and before, after, good direction and result."""
    first, last = ends_of(run)
    network = network_of(run)
    changes = changes_of(run)
    rows = []
    for measure in MEASURES:
        change = changes.get(measure.key)
        before, after = (number(probe, f"{network}_{measure.key}") for probe in (first, last))
        if change is not None:
            cells = [f"{change.before:.2f}", f"{change.after:.2f}", _GOOD[measure.good], result(measure, change)]
        elif measure.good == "above" and before is not None and after is not None:
            kept = "✓ above the alarm" if after >= MIN_RANK else "✕ collapsed"
            cells = [f"{before:.1f}", f"{after:.1f}", _GOOD["above"], kept]
        else:
            continue
        rows.append((measure.name, measure.meaning, cells))
    return rows


def changes_of(run: RunLog) -> dict[str, Change]:
    """Return how each share changed, by its name in the log without the network."""
    shares = [measure.key for measure in MEASURES if measure.good != "above"]
    found = changes_between(*ends_of(run), network_of(run), run.start.get("held_out_boxes"), shares)
    return {change.key: change for change in found}


def result(measure: Measure, change: Change) -> str:
    """Return whether a change is a gain, in words with a mark."""
    if change.word == "same":
        return f"no change beyond ±{change.margin:.2f}"
    gained = (change.word == "rose") == (measure.good == "higher")
    return f"{'▲' if change.word == 'rose' else '▼'} {'better' if gained else 'worse'}"


def start_in_words(run: RunLog) -> str:
    """Return the name of the weights that the run started from."""
    origin = recorded_origin(run.folder)
    return f"start ({origin.starts[-1].name})" if origin and origin.starts else "random start"
