"""Means over seeds with their intervals, and verdicts on differences between two sources.

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

#: Fewer seeds have no interval: two values determine their spread only to within a factor of thirty (Student's t of one
#: degree of freedom is 12.7, of two 4.3), and an interval that wide or that lucky is meaningless.
MIN_SEEDS = 3
#: Percent. Anything below is shown as 0.0: the detector found nothing.
NOTHING = 0.05


@dataclass(frozen=True)
class Interval:
    """A mean over ``count`` seeds and the half-width of its 95% interval (NaN for fewer than `MIN_SEEDS`)."""

    mean: float
    half: float
    count: int
    #: Value of each seed.
    values: tuple[float, ...] = ()

    def __str__(self) -> str:
        if math.isnan(self.half):
            return ", ".join(f"{value:.1f}" for value in self.values or (self.mean,))
        return f"{self.mean:.1f} ± {self.half:.1f}"


@dataclass(frozen=True)
class PairedDifference:
    """A source minus another, paired by seed, with a verdict.

    Attributes:
        interval: mean and interval of the differences.
        verdict: the conclusion as a sentence.
        cost: whether lower is better.
        empty: whether both are 0 in every seed, with nothing to compare.
    """

    interval: Interval
    verdict: str
    cost: bool = False
    empty: bool = False

    @property
    def judged(self) -> bool:
        """True if the seeds suffice for a verdict: better, worse or no significant difference."""
        return not self.empty and not math.isnan(self.interval.half)

    @property
    def significant(self) -> bool:
        """True if the 95% interval excludes zero."""
        return self.judged and abs(self.interval.mean) > self.interval.half

    @property
    def gain(self) -> float:
        """Improvement in points: above zero if the source is better than the other."""
        return -self.interval.mean if self.cost else self.interval.mean

    @property
    def word(self) -> str:
        """``better``, ``worse``, or empty if the difference is not significant."""
        return ("better" if self.gain > 0 else "worse") if self.significant else ""


def t95(degrees: int) -> float:
    """Return Student's t for a two-sided 95% interval."""
    return _T95[degrees - 1] if degrees <= len(_T95) else _T95_INFINITE + 2.5 / degrees


def interval(values: Sequence[float]) -> Interval:
    """Compute mean and Student's 95% interval of independent values; no interval below `MIN_SEEDS` values.

    Raises:
        ValueError: there are no values.
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
    """Compare ``ours`` minus ``theirs`` over the seeds that both have, with a verdict in plain words.

    Args:
        cost: whether lower is better.

    Raises:
        ValueError: they have no seed in common.
    """
    seeds = sorted(ours.keys() & theirs.keys())
    difference = interval([ours[seed] - theirs[seed] for seed in seeds])
    count = f"{difference.count} seed{'s' if difference.count > 1 else ''}"
    if all(max(abs(ours[seed]), abs(theirs[seed])) < NOTHING for seed in seeds):
        same = f"{name} and {other} both have 0.0 ({count})"
        return PairedDifference(difference, f"{same}." if cost else f"Nothing to compare: {same}.", cost, empty=True)
    bare = PairedDifference(difference, "", cost)
    position = f"{name} is {abs(difference.mean):.1f} points {'above' if difference.mean >= 0 else 'below'} {other}"
    if not bare.judged:
        values = ", ".join(f"{value:+.1f}" for value in difference.values)
        verdict = f"{count}, too few for a verdict: {name} minus {other} is {values} points."
    elif bare.significant:
        meaning = f", which is {bare.word}" if cost else ""
        verdict = f"{position}{meaning} (± {difference.half:.1f}, {difference.count} seeds)."
    else:
        verdict = (
            f"No significant difference: {position}, but the 95% interval is ± {difference.half:.1f} "
            f"({difference.count} seeds)."
        )
    return PairedDifference(difference, verdict, cost)
