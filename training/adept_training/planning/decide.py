"""Find the best candidate with few measurements: only one that may be chosen is timed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from adept_hub.errors import RecipeError
from adept_training.planning.choose import Candidate, Forecast, choose, guess

#: Times a candidate; takes the seconds of a step that are expected, None for the first. Returns None if it does not fit
#: into memory.
TimeSteps = Callable[[Candidate, float | None], float | None]
#: Forecasts a candidate from the seconds of its step, and whether they are measured.
LookAhead = Callable[[Candidate, float, bool], Forecast]


def decide(
    found: Sequence[Candidate], time_steps: TimeSteps, look_ahead: LookAhead, is_over: Callable[[], bool]
) -> Forecast:
    """Return the forecast of the best candidate.

    The one with the least work is timed first, the others are guessed from it; then whichever would be chosen, until
    that is one that has been timed, or no time is left for it.

    Raises:
        RecipeError: none fits into memory.
    """
    left, known = list(found), dict[Candidate, float]()
    while left:
        nearest = min(left, key=lambda one: one.work * one.batch)
        if not known:
            best, expected = nearest, None
        else:
            forecasts = [
                look_ahead(one, known[one] if one in known else _guess(one, known), one in known) for one in left
            ]
            chosen = choose(forecasts)
            if chosen.measured or is_over():
                return chosen
            best, expected = chosen.candidate, chosen.seconds_per_step
        seconds = time_steps(best, expected)
        if seconds is None:
            left.remove(best)
        else:
            known[best] = seconds
    raise RecipeError(
        f"No step of {found[0].recipe} fits into the memory.\nTry smaller batches: --set engine.batch_size="
        f"{max(found[0].batch // 2, 2)}"
    )


def _guess(one: Candidate, known: dict[Candidate, float]) -> float:
    """Guess from the measured candidate of the same recipe whose work is closest, or else of another."""
    other = min(known, key=lambda k: (k.recipe != one.recipe, abs(k.work * k.batch - one.work * one.batch)))
    return guess(one, other, known[other])
