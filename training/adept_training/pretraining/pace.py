"""Length and speed of a run, and its plan at that pace: pure functions of numbers, without torch or a clock."""

from __future__ import annotations

import datetime
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from adept_training.runtime.journal import duration

if TYPE_CHECKING:
    from adept_training.pretraining.recipe import Recipe

#: Steps of a session after which the pace is logged. The first one is not timed: it compiles and fills caches.
TIMED_STEPS = 3
#: Fewer steps give no gain downstream. Norms with torch's momentum of 0.1 still contain a hundredth of their initial
#: statistics after 44 steps, and the shortest run that gained anything had 222 (docs/evidence/blood_cells.md).
MIN_STEPS = 100
#: Seconds above which the log warns about a long run.
_LONG = 24 * 3600


def planned_steps(recipe: Recipe, steps_per_epoch: int) -> int:
    """Return the steps of the whole run, at least one."""
    if recipe.engine.max_steps is not None:
        return recipe.engine.max_steps
    return max(round(recipe.schedule.epochs * steps_per_epoch), 1)


def warmup_steps(recipe: Recipe, steps_per_epoch: int) -> int:
    """Return the steps of linear warm-up; with ``engine.max_steps``, the recipe's share of them."""
    schedule, steps = recipe.schedule, recipe.engine.max_steps
    if steps is not None:
        return round(schedule.warmup_epochs / schedule.epochs * steps)
    return round(schedule.warmup_epochs * steps_per_epoch)


def longer(flat: Mapping[str, Any], factor: float) -> tuple[str, str]:
    """Return the unit, ``epochs`` or ``steps``, and the setting of a run that is ``factor`` times as long.

    Args:
        flat: the run's recipe by ``section.field``.
    """
    by_epochs = flat.get("engine.max_steps") is None
    unit, name = ("epochs", "schedule.epochs") if by_epochs else ("steps", "engine.max_steps")
    return unit, f"{name}={math.ceil(float(flat.get(name, 1)) * factor)}"


@dataclass(frozen=True)
class Pace:
    """The speed of a run.

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
        """Steps that the run will have finished at its end."""
        if self.limit is None:
            return self.steps
        # A step that has begun is finished.
        more = math.ceil(max(self.limit, 0.0) / self.seconds_per_step) if self.seconds_per_step > 0 else self.steps
        return min(self.steps, self.step + more)

    @property
    def seconds_left(self) -> float:
        """Seconds until the end, that is the last step or the time limit."""
        return (self.reachable - self.step) * self.seconds_per_step

    def minutes_for(self, steps: int) -> int:
        """Return ``engine.max_minutes``, rounded up, that suffices for this many steps."""
        return max(math.ceil((self.spent + (steps - self.step) * self.seconds_per_step) / 60), 1)

    def lines(self, now: datetime.datetime, max_minutes: float | None = None) -> list[str]:
        """Return when the run ends and at which step, and a suggestion if that is very late.

        Args:
            now: local time.
            max_minutes: time limit of the recipe.
        """
        end = now + datetime.timedelta(seconds=self.seconds_left)
        day = "" if end.date() == now.date() else f"{end:%Y-%m-%d} "
        pace = f"{_seconds(self.seconds_per_step)} per step"
        expected = f"expected end {day}{end:%H:%M}, in {duration(self.seconds_left)}"
        if self.reachable == self.steps:
            lines = [f"pace: {pace}, {self.steps} steps: {expected}"]
        else:
            lines = [
                f"pace: {pace}; at this pace {self.reachable} of {self.steps} steps before engine.max_minutes "
                f"({max_minutes:g}): {expected}"
            ]
        if self.seconds_left > _LONG:
            lines.append(
                f"caution: that is {self.seconds_left / _LONG:.1f} days. "
                "Shorter: --minutes N, or a smaller recipe such as --recipe own_photos_cpu, with another --out"
            )
        return lines


def about(minutes: float) -> str:
    """Format minutes roughly.

    >>> [about(minutes) for minutes in (0.2, 94.4, 400, 9000)]
    ['about 1 minute', 'about 95 minutes', 'about 7 hours', 'about 6 days']
    """
    for size, unit, most in ((1, "minute", 180), (60, "hour", 72 * 60), (24 * 60, "day", math.inf)):
        if minutes <= most:
            count = max(math.ceil(minutes / size), 1) if size == 1 else round(minutes / size)
            return f"about {count:,} {unit}{'s' * (count != 1)}"
    raise AssertionError(minutes)


def _seconds(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds >= 1 else f"{1000 * seconds:.0f} ms"
