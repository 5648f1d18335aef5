"""Means over seeds with their intervals, and what a difference between two sources may be called.

Runs of two sources with the same seed share their labels and their order, so they are compared in pairs: the spread
that both share cancels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

#: Two-sided 95% points of Student's t for 1, 2, ... degrees of freedom, and for infinitely many.
_T95 = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
    2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
)  # fmt: skip
_T95_INFINITE = 1.960


@dataclass(frozen=True)
class Interval:
    """A mean over ``count`` seeds and the half-width of its 95% interval (NaN for a single seed)."""

    mean: float
    half: float
    count: int

    def __str__(self) -> str:
        return f"{self.mean:.1f}" if math.isnan(self.half) else f"{self.mean:.1f} ± {self.half:.1f}"


@dataclass(frozen=True)
class Difference:
    """A source minus another, paired by seed, and what may be said of it; ``cost``: less is better."""

    interval: Interval
    verdict: str
    cost: bool = False

    @property
    def significant(self) -> bool:
        """Whether the 95% interval leaves zero out."""
        return not math.isnan(self.interval.half) and abs(self.interval.mean) > self.interval.half

    @property
    def gain(self) -> float:
        """Points for the better: above zero where the source is better than the other."""
        return -self.interval.mean if self.cost else self.interval.mean

    @property
    def word(self) -> str:
        """``better``, ``worse``, or nothing where the difference is not significant."""
        return ("better" if self.gain > 0 else "worse") if self.significant else ""


def t95(degrees: int) -> float:
    """Student's t for a two-sided 95% interval."""
    return _T95[degrees - 1] if degrees <= len(_T95) else _T95_INFINITE + 2.5 / degrees


def interval(values: Sequence[float]) -> Interval:
    """Mean and Student's 95% interval of independent values.

    Raises:
        ValueError: there is none.
    """
    count = len(values)
    if count == 0:
        raise ValueError("no values")
    mean = math.fsum(values) / count
    if count == 1:
        return Interval(mean, math.nan, 1)
    deviation = math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (count - 1))
    return Interval(mean, t95(count - 1) * deviation / math.sqrt(count), count)


def compare_pairs(
    name: str, ours: Mapping[int, float], other: str, theirs: Mapping[int, float], cost: bool = False
) -> Difference:
    """``ours`` minus ``theirs`` over the seeds that both have, with a verdict in plain words.

    Args:
        cost: whether less is better.

    Raises:
        ValueError: they have no seed in common.
    """
    seeds = sorted(ours.keys() & theirs.keys())
    found = interval([ours[seed] - theirs[seed] for seed in seeds])
    bare = Difference(found, "", cost)
    placed = f"{name} is {abs(found.mean):.1f} points {'above' if found.mean >= 0 else 'below'} {other}"
    if found.count == 1:
        verdict = f"One seed: {placed}, which proves nothing."
    elif bare.significant:
        meaning = f", which is {bare.word}" if cost else ""
        verdict = f"{placed}{meaning} (± {found.half:.1f}, {found.count} seeds)."
    else:
        verdict = (
            f"No significant difference: {placed}, but the 95% interval is ± {found.half:.1f} ({found.count} seeds)."
        )
    return Difference(found, verdict, cost)
