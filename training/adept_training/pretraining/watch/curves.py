"""Plot a run's scalars by section, each with its unit, the look of a good curve, and lines for chance and alarms."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from adept_hub.cards.random_share import MAX_RANDOM_SHARE
from adept_training.pages.page import Chart, Page
from adept_training.pages.plotting import lines_plot
from adept_training.pretraining.watch.log import RunLog
from adept_training.pretraining.watch.outcome import network_of
from adept_training.pretraining.watch.verdict import MIN_RANK
from adept_training.runtime.recipe_files import flatten

Line = tuple[list[float], list[float]]


@dataclass(frozen=True)
class Curve:
    """One plot.

    Attributes:
        unit: of the y axis, in words.
        good: a sentence on what a good curve looks like.
        lines: their names by the name in the log; NETWORK is the exported one.
        noisy: logged at every few steps, and smoothed.
    """

    title: str
    unit: str
    good: str
    lines: Mapping[str, str]
    noisy: bool = True
    zero: bool = True
    log: bool = False


_LEVELS = {f"positives_p{i}": f"P{i}" for i in range(2, 6)}
LEARNING = (
    Curve("Loss", "no unit", "Falls, then flattens. A falling loss alone proves nothing: it falls fastest in a "
          "collapse.", {"loss": "loss"}, zero=False),
    Curve("Contrast between views", "-2 x cosine, or InfoNCE", "Both fall and stay close to each other.",
          {"contrast_12": "V1 with V2", "contrast_13": "V1 with V3"}, zero=False),
    Curve("Same box found in another view", "share of images", "Rises above chance.", {"retrieval": "retrieval"}),
    Curve("RoI head: class, box", "loss", "The class loss falls; the box loss rises at first, as more boxes count.",
          {"head_class": "class", "head_box": "box"}),
    Curve("Objects whose class is recognized", "share of objects", "Rises. Classes are clusters of boxes that look "
          "alike, so that far below 1 is normal.", {"head_right": "recognized"}),
)  # fmt: skip
ALARMS = (
    Curve("Spread of the features", "1: all directions equal", "Stays well above the alarm, at which the run stops.",
          {"spread_target": "target", "spread_online": "online"}),
    Curve("Directions of the RoI head's features", "effective rank, log scale", "Falls from a random start, then stays "
          "above the alarm and rises again.", {"NETWORK_head_rank": "rank"}, noisy=False, zero=False, log=True),
    Curve("Neighbors from the same image", "share of neighbors", "Stays near chance. A rise means that features "
          "describe light and background.", {"NETWORK_head_same_image": "same image"}, noisy=False),
    Curve("Features explained by color", "R²", "Low at the end: the features describe more than color.",
          {"NETWORK_head_color_r2": "color"}, noisy=False),
    Curve("What remains of the random start", "share of the exported weights", "Falls below the alarm before the end.",
          {"random_share": "random start"}, noisy=False),
)  # fmt: skip
RPN = (
    Curve("Boxes that the RPN finds", "share of boxes, held-out images", "Both rise, then flatten: more training would "
          "add little.", {"NETWORK_recall100_iou50": "IoU 0.5", "NETWORK_recall100_iou70": "IoU 0.7"}, noisy=False),
    Curve("Objects above background", "AUC, held-out images", "Both rise well above guessing, also within a level.",
          {"NETWORK_objectness_auc": "all anchors", "NETWORK_objectness_auc_level": "within a level"},
          noisy=False, zero=False),
    Curve("RPN: objectness, box", "loss", "Both fall, then flatten.",
          {"rpn_objectness": "objectness", "rpn_box": "box"}),
    Curve("Positive anchors", "per image, by level", "Each level on which your objects lie has some: a level at 0 "
          "learns only background.", _LEVELS),
)  # fmt: skip
PACE = (
    Curve("Learning rate", "no unit", "Rises in the warm-up, then falls to its end.", {"lr": "rate"}, noisy=False),
    Curve("Momentum of the target", "no unit", "Near 1; 1 keeps the target as it is.", {"momentum": "momentum"},
          noisy=False, zero=False),
    Curve("Speed", "images per second", "Level. A fall means that something else uses the machine.",
          {"images_per_s": "speed"}),
    Curve("Waiting for data", "share of time", "Below 0.1. Above it, more workers or a cache help.",
          {"data_wait": "waiting"}),
)  # fmt: skip


def write_curves(page: Page, runs: Sequence[RunLog], names: Sequence[str]) -> None:
    """Add the sections; for several runs one scalar per plot, and a line per run."""
    page.text("Faint lines are the logged values, strong ones their moving averages. The x axis is the step.", "dim")
    for title, curves in (("Learning", LEARNING), ("Collapse alarms", ALARMS), ("RPN", RPN)):
        if charts := [*_charts(curves, runs, names)]:
            page.heading(title)
            page.charts(charts)
    if charts := [*_charts(PACE, runs, names)]:
        with page.fold("Schedule and speed"):
            page.charts(charts)


def line_of(run: RunLog, key: str) -> Line:
    """Return steps and values of a scalar; NETWORK is the exported network."""
    return run.series(key.replace("NETWORK", network_of(run)))


def _charts(curves: Sequence[Curve], runs: Sequence[RunLog], names: Sequence[str]) -> Iterator[Chart]:
    for curve in curves:
        if len(runs) == 1:
            plots = {curve.title: {name: line_of(runs[0], key) for key, name in curve.lines.items()}}
        else:
            several = len(curve.lines) > 1
            plots = {
                curve.title + (f", {line}" if several else ""): dict(
                    zip(names, (line_of(run, key) for run in runs), strict=True)
                )
                for key, line in curve.lines.items()
            }
        for title, lines in plots.items():
            present = {name: line for name, line in lines.items() if line[0]}
            if present:
                yield Chart(title, curve.unit, curve.good, _plot(curve, present, runs))


def _plot(curve: Curve, lines: Mapping[str, Line], runs: Sequence[RunLog]) -> str:
    longest = max(len(x) for x, _ in lines.values())
    marks = levels_of(curve, runs)
    return lines_plot(lines, smooth=longest // 30 if curve.noisy else 0, marks=marks, zero=curve.zero, log=curve.log)


def levels_of(curve: Curve, runs: Sequence[RunLog]) -> dict[str, float]:
    """Return the dotted lines of a plot: chance and alarms, if they are the same for all runs."""
    key = next(iter(curve.lines))
    found = [_levels(key, run) for run in runs]
    return {words: level for words, level in found[0].items() if all(one.get(words) == level for one in found)}


def _levels(key: str, run: RunLog) -> dict[str, float]:
    flat, levels = flatten(run.recipe()), dict[str, Any]()
    if key == "retrieval":
        levels["chance"] = _chance(flat.get("engine.batch_size"), run.start.get("processes", 1))
    elif key == "spread_target":
        levels["alarm"] = flat.get("engine.collapse_spread")
    elif key == "NETWORK_head_rank":
        levels["alarm"] = MIN_RANK
    elif key == "NETWORK_head_same_image":
        levels["chance"] = 1 / run.start["held_out"] if run.start.get("held_out") else None
    elif key == "NETWORK_objectness_auc":
        levels["guessing"] = 0.5
    elif key == "random_share":
        levels["alarm"] = MAX_RANDOM_SHARE
    elif key == "data_wait":
        levels["0.1"] = 0.1
    return {words: float(level) for words, level in levels.items() if isinstance(level, (int, float)) and level > 0}


def _chance(batch: object, processes: object) -> float | None:
    """Return the chance level of retrieval: one over the images that a process sees at once."""
    if not isinstance(batch, int) or not isinstance(processes, int) or batch < processes:
        return None
    return 1 / (batch // processes)
