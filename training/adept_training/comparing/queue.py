"""The position of a run among those of a comparison, and the time until the last of them ends."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from adept_training.pretraining.pace import about

#: Runs, or share of the first one, after which the time left is estimated.
_LEAST = 0.02


@dataclass
class Queue:
    """The runs of a plan and those of them that this session does, one after the other.

    Attributes:
        total: runs of the plan.
        missing: those that no earlier session finished.
        number: position of the current run in the plan, from 1.
        finished: those that this session finished.
        clock: returns seconds.
    """

    total: int
    missing: int
    number: int = 0
    finished: int = 0
    clock: Callable[[], float] = time.perf_counter
    began: float = field(init=False)

    def __post_init__(self) -> None:
        self.began = self.clock()

    def left(self, share: float = 0.0) -> str:
        """Format the time until the last run ends as ``, about 50 minutes left``; empty until there is an estimate.

        Args:
            share: of the current run that is done.
        """
        done = self.finished + share
        if done < _LEAST or done >= self.missing:
            return ""
        seconds = (self.clock() - self.began) / done * (self.missing - done)
        return f", {about(seconds / 60)} left"

    def place(self, share: float = 0.0) -> str:
        """Return ``run 7 of 40, about 50 minutes left``; ``share`` as in `left`."""
        return f"run {self.number} of {self.total}{self.left(share)}"
