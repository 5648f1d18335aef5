"""Measurements of a plan, each made once, within half a minute in all."""

from __future__ import annotations

from collections.abc import Callable

from adept_hub.words.pulse import doing
from adept_training.planning.choose import Candidate
from adept_training.planning.probing.machine import Machine
from adept_training.planning.probing.sample import Clock, Sample, Search, boxes_of, search_sample
from adept_training.planning.probing.steps import time_steps, with_precision

#: Seconds of a step that is timed whole on a CPU, and images of one that is timed before its speed is known.
_STEP, _FEW = 3.0, 4


class Measuring:
    """Looks at a sample of the images on a machine; no measurement begins after ``until`` on the ``clock``."""

    def __init__(
        self, sample: Sample, machine: Machine, say: Callable[[str], None], clock: Clock, until: float
    ) -> None:
        self._sample, self._machine, self._say, self._clock, self._until = sample, machine, say, clock, until
        self._searches: dict[str, Search] = {}
        self._precision: str | None = None
        self._of: dict[Candidate, str] = {}

    def is_over(self) -> bool:
        """Return whether it is time to answer."""
        return self._clock() > self._until

    def search(self, preset: str) -> Search:
        """Search a few images with a preset."""
        if preset not in self._searches:
            self._say(f"boxes of a few images, preset {preset}")
            self._searches[preset] = search_sample(self._sample, preset)
        return self._searches[preset]

    def time_steps(self, one: Candidate, expected: float | None) -> float | None:
        """Time steps of a candidate, of fewer images if one is expected to be slow on a CPU; None: no memory."""
        search = self.search(one.loaded.data.proposals)  # has a line of its own
        self._say(f"steps of {one.recipe}, {one.side} px, {one.batch} images")
        with doing(lambda: "choosing the precision"):
            recipe, precision = with_precision(one.loaded, self._precision)
        if one.loaded.engine.precision == "auto":
            self._precision = precision
        self._of[one] = precision
        table = boxes_of(self._sample, search)

        def timed(batch: int) -> float | None:
            return time_steps(recipe, self._sample, table, self._machine, batch)

        if self._machine.device == "cuda":
            return timed(one.batch)
        if expected is not None:
            return timed(images_to_time(one.batch, expected))
        few = timed(min(_FEW, one.batch))
        if few is None:
            return None
        more = images_to_time(one.batch, few)
        return timed(more) if more > _FEW else few

    def precision(self, one: Candidate) -> str:
        """Return the precision of a candidate, as timed; of one that was not, ``auto`` is what others were timed in."""
        fixed = one.loaded.engine.precision
        return self._of.get(one, (self._precision or fixed) if fixed == "auto" else fixed)


def images_to_time(batch: int, expected: float) -> int:
    """Return how many images of a batch a timed step has on a CPU: all, if it is expected to take three seconds."""
    return max(min(int(batch * _STEP / expected), batch), min(2, batch))
