"""How fast a run goes, and what becomes of its plan at that pace. No torch, no clock: numbers in, words out."""

from __future__ import annotations

import datetime
import math
from dataclasses import dataclass

from adept_training.runtime.journal import duration

#: Steps of a session after which the pace is told. The first one is not timed: it compiles and fills caches.
TIMED_STEPS = 3
#: Fewer steps teach nothing that would show downstream. Norms with torch's momentum of 0.1 still hold a hundredth of
#: their initial statistics after 44 steps, and the shortest run that we saw gain anything had 222 (docs/downstream.md).
MIN_STEPS = 100
#: Seconds from which on a run is worth a second thought.
_LONG = 24 * 3600


@dataclass(frozen=True)
class Pace:
    """A run at its present speed.

    Attributes:
        step: finished steps, of all sessions.
        steps: planned steps.
        seconds_per_step: measured over the first steps of this session.
        limit: seconds until ``engine.max_minutes`` ends the run; None: no limit.
    """

    step: int
    steps: int
    seconds_per_step: float
    limit: float | None = None
    #: Seconds of training so far, earlier sessions included: ``engine.max_minutes`` counts them too.
    spent: float = 0.0

    @property
    def reachable(self) -> int:
        """Steps that the run will have at its end."""
        if self.limit is None:
            return self.steps
        # A step that has begun is finished.
        more = math.ceil(max(self.limit, 0.0) / self.seconds_per_step) if self.seconds_per_step > 0 else self.steps
        return min(self.steps, self.step + more)

    @property
    def seconds_left(self) -> float:
        """Seconds until the end, be it the last step or the time limit."""
        return (self.reachable - self.step) * self.seconds_per_step

    @property
    def too_few(self) -> bool:
        """Whether the time limit leaves fewer steps than teach anything, of a plan that has enough."""
        return self.reachable < min(MIN_STEPS, self.steps)

    def minutes_for(self, steps: int) -> int:
        """``engine.max_minutes``, rounded up, within which the run comes to so many steps."""
        return max(math.ceil((self.spent + (steps - self.step) * self.seconds_per_step) / 60), 1)

    def lines(self, now: datetime.datetime, max_minutes: float | None = None) -> list[str]:
        """Say when the run ends and how far it comes, and what to try if that is too little or very late.

        Args:
            now: local time.
            max_minutes: of the recipe.
        """
        end = now + datetime.timedelta(seconds=self.seconds_left)
        day = "" if end.date() == now.date() else f"{end:%Y-%m-%d} "
        pace = f"{_seconds(self.seconds_per_step)} a step"
        expected = f"expected end {day}{end:%H:%M}, in {duration(self.seconds_left)}"
        if self.reachable == self.steps:
            told = [f"pace: {pace}, {self.steps} steps: {expected}"]
        else:
            told = [
                f"pace: {pace}; at this pace {self.reachable} of {self.steps} steps before engine.max_minutes "
                f"({max_minutes:g}): {expected}"
            ]
        if self.too_few:
            told.append(
                f"caution: {self.reachable} steps are too few to learn from ({MIN_STEPS} are a beginning). "
                f"Stop it and give it more time: --minutes {self.minutes_for(self.steps)} for all steps, "
                f"--minutes {self.minutes_for(MIN_STEPS)} at the very least"
            )
        elif self.seconds_left > _LONG:
            told.append(
                f"caution: that is {self.seconds_left / _LONG:.1f} days. "
                "Shorter: --minutes N, or a smaller recipe such as --recipe own_photos_cpu, with another --out"
            )
        return told


def _seconds(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds >= 1 else f"{1000 * seconds:.0f} ms"
