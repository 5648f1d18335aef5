"""Cells become a table of means with intervals, paired differences and verdicts in plain words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from adept_training.downstream.runs import Cell, by_seed
from adept_training.downstream.stats import Difference, Interval, compare_pairs, interval


@dataclass(frozen=True)
class Comparison:
    """One metric of all sources over all budgets; the first source is the one the others are measured against."""

    metric: str
    sources: tuple[str, ...]
    budgets: tuple[str, ...]
    variant: str
    means: dict[tuple[str, str], Interval]
    gains: dict[tuple[str, str], Difference]

    def rows(self) -> list[list[str]]:
        """Source by source, a cell for each budget; significant gains are starred."""
        rows = []
        for source in self.sources:
            cells = []
            for budget in self.budgets:
                mean, gain = self.means.get((source, budget)), self.gains.get((source, budget))
                star = " *" if gain is not None and gain.significant else ""
                cells.append("-" if mean is None else f"{mean}{star}")
            rows.append([source, *cells])
        return rows

    def verdicts(self) -> list[str]:
        """A sentence for every source but the first and every budget."""
        return [
            f"{budget}: {self.gains[source, budget].verdict}"
            for source in self.sources[1:]
            for budget in self.budgets
            if (source, budget) in self.gains
        ]

    def as_json(self) -> dict[str, Any]:
        """Means, half-widths and differences; None where one seed has no interval."""
        return {
            "metric": self.metric, "variant": self.variant, "against": self.sources[0],
            "cells": [
                {
                    "source": source, "budget": budget, "mean": round(mean.mean, 4), "half": _plain(mean.half),
                    "seeds": mean.count, "gain": _gain(self.gains.get((source, budget))),
                }
                for (source, budget), mean in self.means.items()
            ],
        }  # fmt: skip


def tabulate(
    cells: Sequence[Cell], sources: Sequence[str], budgets: Sequence[str], metric: str, variant: str
) -> Comparison:
    """Means of every source and budget, and gains over the first source, paired by seed."""
    means: dict[tuple[str, str], Interval] = {}
    gains: dict[tuple[str, str], Difference] = {}
    for budget in budgets:
        base = by_seed(cells, sources[0], budget, variant, metric)
        for source in sources:
            values = by_seed(cells, source, budget, variant, metric)
            if not values:
                continue
            means[source, budget] = interval([values[seed] for seed in sorted(values)])
            if source != sources[0] and values.keys() & base.keys():
                gains[source, budget] = compare_pairs(source, values, sources[0], base)
    return Comparison(metric, tuple(sources), tuple(budgets), variant, means, gains)


def summary(comparison: Comparison) -> str:
    """One sentence over all budgets: where the gains are, and whether they are largest with the fewest labels."""
    gains = comparison.gains
    clear = [key for key, gain in gains.items() if gain.significant and gain.interval.mean > 0]
    worse = [key for key, gain in gains.items() if gain.significant and gain.interval.mean < 0]
    base, count = comparison.sources[0], len(gains)
    if not gains:
        return "One source only: nothing to compare."
    text = (
        f"{comparison.metric}: of {count} comparisons with {base}, {len(clear)} are significantly better, "
        f"{len(worse)} significantly worse, {count - len(clear) - len(worse)} not significant at 95%."
    )
    if clear:
        source, budget = max(clear, key=lambda key: gains[key].interval.mean)
        text += f" The largest significant gain is {source}'s at {budget}: {gains[source, budget].interval} points."
    if count > 8:
        expected = count * 0.05
        text += f" With {count} comparisons about {expected:.1f} would look significant by chance alone."
    return text


def _gain(gain: Difference | None) -> dict[str, Any] | None:
    if gain is None:
        return None
    return {
        "mean": round(gain.interval.mean, 4), "half": _plain(gain.interval.half), "significant": gain.significant,
        "verdict": gain.verdict,
    }  # fmt: skip


def _plain(value: float) -> float | None:
    return None if value != value else round(value, 4)
