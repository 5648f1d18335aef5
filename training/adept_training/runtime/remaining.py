"""Time until a command ends: of its steps, and of what follows them once that has been measured."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from adept_training.runtime.journal import duration


@dataclass(frozen=True)
class Phase:
    """Work besides the steps: its kind, such as ``evaluation``, and its number of batches or images."""

    kind: str
    units: int


@dataclass
class PhaseTimes:
    """Seconds per unit of every kind of phase, by its last measurement.

    >>> times = PhaseTimes()
    >>> times.eta(65, [Phase("norm statistics", 50), Phase("evaluation", 9), Phase("evaluation", 9)])
    '1:05 plus norm statistics and 2 evaluations'
    >>> times.seconds = {"norm statistics": 0.5, "evaluation": 1.0}
    >>> times.eta(65, [Phase("norm statistics", 50), Phase("evaluation", 9), Phase("evaluation", 9)])
    '1:48'
    """

    clock: Callable[[], float] = time.perf_counter
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def measure(self, phase: Phase) -> Iterator[None]:
        """Measure the block as a phase, unless it raises."""
        began = self.clock()
        yield
        if phase.units:
            self.seconds[phase.kind] = (self.clock() - began) / phase.units

    def eta(self, steps: float, ahead: Sequence[Phase]) -> str:
        """Format the time until the end, with the names of phases that have not been measured.

        Args:
            steps: seconds of the remaining steps.
            ahead: the phases that follow or interrupt them.
        """
        ahead = [phase for phase in ahead if phase.units]
        known = sum(phase.units * self.seconds.get(phase.kind, 0.0) for phase in ahead)
        counts: dict[str, int] = {}
        for phase in ahead:
            if phase.kind not in self.seconds:
                counts[phase.kind] = counts.get(phase.kind, 0) + 1
        names = [kind if kind.endswith("s") else f"{n} {kind}{'s' * (n > 1)}" for kind, n in counts.items()]
        return duration(steps + known) + (f" plus {' and '.join(names)}" if names else "")
