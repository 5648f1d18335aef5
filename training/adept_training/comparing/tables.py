"""Tabulate cells as means with intervals, paired differences and verdicts in plain words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from adept_training.comparing.runs import RunResult, by_seed
from adept_training.labels.subsets import parse_budget
from adept_training.metrics.names import is_cost, title_of
from adept_training.metrics.stats import MIN_SEEDS, Interval, PairedDifference, compare_pairs, interval
from adept_training.pages.page import Tone


@dataclass(frozen=True)
class Comparison:
    """One metric of all sources over all budgets; the first source is the baseline."""

    metric: str
    sources: tuple[str, ...]
    budgets: tuple[str, ...]
    variant: str
    means: dict[tuple[str, str], Interval]
    gains: dict[tuple[str, str], PairedDifference]
    #: Value by seed.
    values: dict[tuple[str, str], dict[int, float]]

    def rows(self) -> list[list[str]]:
        """Return a row per source with a cell per budget; a significant difference is marked better or worse."""
        rows = []
        for source in self.sources:
            cells = []
            for budget in self.budgets:
                mean, gain = self.means.get((source, budget)), self.gains.get((source, budget))
                mark = f" ({gain.word})" if gain is not None and gain.significant else ""
                cells.append("-" if mean is None else f"{mean}{mark}")
            rows.append([source, *cells])
        return rows

    def head(self) -> list[str]:
        """Return the column heads of `rows`."""
        return ["source", *(parse_budget(budget).in_words() for budget in self.budgets)]

    def gain_rows(self) -> list[list[str]]:
        """Return a row per source but the first: its paired difference from that, by budget, with its interval."""
        return [
            [source, *("-" if (gain := self.gains.get((source, budget))) is None else _signed(gain)
                       for budget in self.budgets)]
            for source in self.sources[1:]
        ]  # fmt: skip

    def verdicts(self) -> list[str]:
        """Return a sentence per budget for every source but the first."""
        return [
            f"{parse_budget(budget).in_words()}: {self.gains[source, budget].verdict}"
            for source in self.sources[1:]
            for budget in self.budgets
            if (source, budget) in self.gains
        ]

    def as_json(self) -> dict[str, Any]:
        """Return means, half-widths and differences; None if there are too few seeds for an interval."""
        return {
            "metric": self.metric, "variant": self.variant, "against": self.sources[0],
            "cells": [
                {
                    "source": source, "budget": budget, "mean": round(mean.mean, 4), "half": _plain(mean.half),
                    "seeds": mean.count, "values": [round(value, 4) for value in mean.values],
                    "gain": _gain(self.gains.get((source, budget))),
                }
                for (source, budget), mean in self.means.items()
            ],
        }  # fmt: skip


def tabulate(
    cells: Sequence[RunResult], sources: Sequence[str], budgets: Sequence[str], metric: str, variant: str
) -> Comparison:
    """Compute the means of every source and budget, and paired gains over the first source."""
    means: dict[tuple[str, str], Interval] = {}
    gains: dict[tuple[str, str], PairedDifference] = {}
    found: dict[tuple[str, str], dict[int, float]] = {}
    for budget in budgets:
        base = by_seed(cells, sources[0], budget, variant, metric)
        for source in sources:
            values = by_seed(cells, source, budget, variant, metric)
            if not values:
                continue
            found[source, budget] = values
            means[source, budget] = interval([values[seed] for seed in sorted(values)])
            if source != sources[0] and values.keys() & base.keys():
                gains[source, budget] = compare_pairs(source, values, sources[0], base, is_cost(metric))
    return Comparison(metric, tuple(sources), tuple(budgets), variant, means, gains, found)


def all_metrics(comparisons: Sequence[Comparison], budget: str) -> tuple[list[str], list[tuple[str, str, list[str]]]]:
    """Tabulate all metrics of one budget: heads, and a row per metric of its name, meaning and a cell per source.

    A cell is the mean, and in parentheses its paired difference from the first source.
    """
    rows = []
    for one in comparisons:
        cells = []
        for source in one.sources:
            mean, gain = one.means.get((source, budget)), one.gains.get((source, budget))
            cells.append("-" if mean is None else f"{mean.mean:.1f}" + ("" if gain is None else f" ({_signed(gain)})"))
        title, _, meaning = title_of(one.metric).partition(", ")
        rows.append((title, meaning, cells))
    return ["metric", *comparisons[0].sources], rows


def _signed(gain: PairedDifference) -> str:
    half = f" ± {gain.interval.half:.1f}" if gain.judged else ""
    return f"{round(gain.interval.mean, 1) + 0.0:+.1f}{half}" + (f", {gain.word}" if gain.word else "")


def tone(comparison: Comparison) -> Tone:
    """Return the tone of the summary.

    ``good`` needs a significant gain and no significant loss, ``bad`` the reverse; ``caution`` is for what could not be
    compared; everything else is neutral.
    """
    words = {gain.word for gain in comparison.gains.values()}
    if not any(gain.judged for gain in comparison.gains.values()):
        return "caution"
    if "better" in words:
        return "neutral" if "worse" in words else "good"
    return "bad" if "worse" in words else "neutral"


def headline(comparison: Comparison) -> str:
    """Return which source won, by how much and over how many pairs; or why there is no winner."""
    base = comparison.sources[0]
    judged = {key: gain for key, gain in comparison.gains.items() if gain.judged}
    if not judged:
        pairs = max((gain.interval.count for gain in comparison.gains.values() if not gain.empty), default=0)
        return f"Too few pairs for a verdict: {pairs}, of at least {MIN_SEEDS}." if pairs else "Nothing to compare."
    (source, budget), most = max(judged.items(), key=lambda item: (item[1].significant, abs(item[1].gain)))
    size = f"{abs(most.gain):.1f} ± {most.interval.half:.1f} points of {title_of(comparison.metric)}"
    labels = f"with {parse_budget(budget).in_words()}: {size}, {most.interval.count} pairs"
    if not most.significant:
        return f"No clear winner. The largest difference is between {source} and {base} {labels}."
    winner, loser = (source, base) if most.word == "better" else (base, source)
    return f"{winner} beats {loser} {labels}."


def summary(comparison: Comparison) -> str:
    """Summarize all budgets: how often a source is better or worse, and where it gains most."""
    gains, base, title = comparison.gains, comparison.sources[0], title_of(comparison.metric)
    clear = [key for key, gain in gains.items() if gain.word == "better"]
    worse = [key for key, gain in gains.items() if gain.word == "worse"]
    judged = [gain for gain in gains.values() if gain.judged]
    empty = sum(gain.empty for gain in gains.values())
    few = len(gains) - len(judged) - empty
    if not gains:
        return "One source only: nothing to compare."
    if empty == len(gains):
        reason = "every cost is" if is_cost(comparison.metric) else "no source found anything:"
        return f"{title}: nothing can be compared, {reason} 0.0 in every run."
    if not judged:
        least = f"{title}: no verdict. Intervals need at least {MIN_SEEDS} seeds; only the values are shown."
        return least + (f" In {empty} of {len(gains)} comparisons neither source found anything." if empty else "")
    count = len(judged)
    text = (
        f"{title}: compared with {base}, {len(clear)} of {count} are significantly better, "
        f"{len(worse)} significantly worse, {count - len(clear) - len(worse)} not significant (95%)."
    )
    if empty:
        text += f" In {empty} more neither source found anything: nothing to compare."
    if few:
        text += f" {few} more have fewer than {MIN_SEEDS} seeds: no verdict."
    if clear:
        source, budget = max(clear, key=lambda key: gains[key].gain)
        largest = gains[source, budget]
        text += (
            f" The largest significant gain is {source}'s with {parse_budget(budget).in_words()}: "
            f"{Interval(largest.gain, largest.interval.half, largest.interval.count)} points."
        )
    if count > 8:
        expected = count * 0.05
        text += f" With {count} comparisons about {expected:.1f} would look significant by chance alone."
    return text


def _gain(gain: PairedDifference | None) -> dict[str, Any] | None:
    if gain is None:
        return None
    return {
        "mean": round(gain.interval.mean, 4), "half": _plain(gain.interval.half), "significant": gain.significant,
        "judged": gain.judged, "verdict": gain.verdict,
    }  # fmt: skip


def _plain(value: float) -> float | None:
    return None if value != value else round(value, 4)
