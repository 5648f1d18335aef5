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

#: Fewer seeds have no interval: two values fix their spread to within a factor of thirty (Student's t of one degree of
#: freedom is 12.7, of two 4.3), and an interval that wide or that lucky says nothing.
MIN_SEEDS = 3
#: Percent. Anything below is shown as 0.0: a detector that found nothing.
NOTHING = 0.05


@dataclass(frozen=True)
class Interval:
    """A mean over ``count`` seeds and the half-width of its 95% interval (NaN for fewer than `MIN_SEEDS`)."""

    mean: float
    half: float
    count: int
    #: What each seed measured.
    values: tuple[float, ...] = ()

    def __str__(self) -> str:
        if math.isnan(self.half):
            return ", ".join(f"{value:.1f}" for value in self.values or (self.mean,))
        return f"{self.mean:.1f} ± {self.half:.1f}"


@dataclass(frozen=True)
class PairedDifference:
    """A source minus another, paired by seed, and what may be said of it.

    Attributes:
        interval: of the differences.
        verdict: a sentence.
        cost: less is better.
        empty: both measured nothing in every seed, so that there is nothing to compare.
    """

    interval: Interval
    verdict: str
    cost: bool = False
    empty: bool = False

    @property
    def judged(self) -> bool:
        """Whether there is enough to say better, worse or no significant difference."""
        return not self.empty and not math.isnan(self.interval.half)

    @property
    def significant(self) -> bool:
        """Whether the 95% interval leaves zero out."""
        return self.judged and abs(self.interval.mean) > self.interval.half

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
    """Mean and Student's 95% interval of independent values; without an interval below `MIN_SEEDS` values.

    Raises:
        ValueError: there is none.
    """
    count = len(values)
    if count == 0:
        raise ValueError("no values")
    mean = math.fsum(values) / count
    if count < MIN_SEEDS:
        return Interval(mean, math.nan, count, tuple(values))
    deviation = math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (count - 1))
    return Interval(mean, t95(count - 1) * deviation / math.sqrt(count), count, tuple(values))


def compare_pairs(
    name: str, ours: Mapping[int, float], other: str, theirs: Mapping[int, float], cost: bool = False
) -> PairedDifference:
    """``ours`` minus ``theirs`` over the seeds that both have, with a verdict in plain words.

    Args:
        cost: whether less is better.

    Raises:
        ValueError: they have no seed in common.
    """
    seeds = sorted(ours.keys() & theirs.keys())
    found = interval([ours[seed] - theirs[seed] for seed in seeds])
    count = f"{found.count} seed{'s' if found.count > 1 else ''}"
    if all(max(abs(ours[seed]), abs(theirs[seed])) < NOTHING for seed in seeds):
        same = f"{name} and {other} both have 0.0 ({count})"
        return PairedDifference(found, f"{same}." if cost else f"Nothing to compare: {same}.", cost, empty=True)
    bare = PairedDifference(found, "", cost)
    position = f"{name} is {abs(found.mean):.1f} points {'above' if found.mean >= 0 else 'below'} {other}"
    if not bare.judged:
        values = ", ".join(f"{value:+.1f}" for value in found.values)
        verdict = f"{count}, too few to judge: {name} minus {other} is {values} points."
    elif bare.significant:
        meaning = f", which is {bare.word}" if cost else ""
        verdict = f"{position}{meaning} (± {found.half:.1f}, {found.count} seeds)."
    else:
        verdict = (
            f"No significant difference: {position}, but the 95% interval is ± {found.half:.1f} ({found.count} seeds)."
        )
    return PairedDifference(found, verdict, cost)
