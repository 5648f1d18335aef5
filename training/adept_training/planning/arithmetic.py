"""Time and schedule of a run: pure functions of numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass

from adept_training.planning.choose import Candidate
from adept_training.pretraining.recipe import Recipe

#: Minutes of a plan without a limit: one night.
NIGHT = 480.0
#: Seconds of start, choice of the precision, and export, on any machine that was tried.
START = 20.0
#: Images of the search's look at the whole set (`adept_training.proposals.survey`).
SURVEYED = 64
#: Reserve of the schedule over what the pace allows: the clock ends the run, and the rate follows the clock.
_RESERVE = 1.25


@dataclass(frozen=True)
class Seconds:
    """Time of a plan by its use, in seconds."""

    start: float
    proposals: float
    decoding: float
    training: float

    @property
    def total(self) -> float:
        """All of it."""
        return self.start + self.proposals + self.decoding + self.training

    @property
    def clock(self) -> float:
        """Seconds that ``engine.max_minutes`` counts: decoding and training."""
        return self.decoding + self.training


def spread_time(minutes: float, recipe: Recipe, images: int, *, search: float, decode: float, cores: int) -> Seconds:
    """Return how a time limit is used up; training is what is left, and may be 0.

    Args:
        minutes: of the whole plan.
        recipe: what is run.
        images: of the whole set.
        search: seconds per image of the search for boxes, on one core; 0 if there is a table.
        decode: seconds per image of decoding, on one core.
        cores: for the search; the cache is written by ``data.workers``.
    """
    searched = (images + min(images, SURVEYED)) * search / cores
    decoding = images * decode / max(recipe.data.workers, 1) if recipe.data.cache else 0.0
    left = 60 * minutes - START - searched - decoding
    return Seconds(START, searched, decoding, max(left, 0.0))


def minutes_for(steps: int, seconds_per_step: float, overhead: float) -> float:
    """Return the minutes of ``steps`` steps, ``overhead`` seconds included."""
    return (overhead + steps * seconds_per_step) / 60


def schedule_settings(candidate: Candidate, images: int, steps: int) -> tuple[str, ...]:
    """Return settings of a schedule that the clock ends after ``steps`` steps, with the recipe's share of warm-up."""
    own = candidate.loaded.schedule
    per_epoch = images // candidate.batch
    exact = _RESERVE * max(steps, 1) / per_epoch
    epochs = math.ceil(exact) if exact >= 10 else math.ceil(100 * exact) / 100
    warmup = float(f"{own.warmup_epochs / own.epochs * epochs:.2g}")
    return (f"schedule.epochs={epochs:g}", f"schedule.warmup_epochs={warmup:g}")


def limit_of(seconds: Seconds) -> float:
    """Return ``engine.max_minutes`` for these seconds, rounded down to a tenth, at least that."""
    return max(math.floor(seconds.clock / 6) / 10, 0.1)
