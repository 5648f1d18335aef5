"""Let several programs do the same work in turns, and compare their times within the run."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Turns:
    """Seconds of each program in each round, and what its work returned the last time.

    Attributes:
        seconds: by program, ours first; one entry per round.
        results: by program.
    """

    seconds: Mapping[str, Sequence[float]]
    results: Mapping[str, float]

    def median(self, name: str) -> float:
        """Return the median seconds of a program."""
        return statistics.median(self.seconds[name])

    @property
    def fastest_rival(self) -> str:
        """The program, other than the first, with the smallest median."""
        return min(list(self.seconds)[1:], key=self.median)

    def ratios(self, name: str) -> list[float]:
        """Return a program's seconds divided by ours, round by round, sorted."""
        ours = next(iter(self.seconds.values()))
        return sorted(theirs / mine for theirs, mine in zip(self.seconds[name], ours, strict=True))


def take_turns(
    works: Mapping[str, Callable[[], float]], rounds: int, clock: Callable[[], float] = time.perf_counter
) -> Turns:
    """Run every work once per round, each round beginning with another one, after a round that is not measured."""
    names = list(works)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    results = {name: work() for name, work in works.items()}
    for turn in range(rounds):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            start = clock()
            results[name] = works[name]()
            seconds[name].append(clock() - start)
    return Turns(seconds, results)


def rows(task: str, turns: Turns, images: int, result: str) -> list[list[str]]:
    """Return a row of the table for each program: milliseconds per image, ratio to ours with its range, result."""
    lines = []
    for name in turns.seconds:
        ratios = turns.ratios(name)
        ratio = f"{statistics.median(ratios):.2f} [{ratios[0]:.2f}..{ratios[-1]:.2f}]"
        fastest = name == turns.fastest_rival
        lines.append([task, name, f"{1000 * turns.median(name) / images:.0f}", "1" if not lines else ratio,
                      "fastest rival" if fastest else "", f"{turns.results[name]:.2f} {result}"])  # fmt: skip
    return lines
