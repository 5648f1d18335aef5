"""A plan of a pre-training run: what is chosen, what will come of it, and the commands."""

from __future__ import annotations

import datetime
from dataclasses import asdict, dataclass
from typing import Any

from adept_training.planning.advice import Advice
from adept_training.planning.arithmetic import Seconds
from adept_training.planning.disk import Disk
from adept_training.planning.labels import Labels
from adept_training.planning.need import Need, Outlook
from adept_training.planning.probing.machine import Machine


@dataclass(frozen=True)
class Plan:
    """A run that fits.

    Attributes:
        images: of the set; ``training_images`` without those held out.
        machine: where it was made.
        recipe: name or file, with ``settings`` for ``--set``.
        side: of the largest view, in pixels.
        batch: images per step.
        precision: of the arithmetic.
        seconds_per_step: on this machine; ``measured``: by real steps of this very choice.
        seconds: where the time goes.
        minutes: ``--minutes`` of the last command.
        end: local time, if the commands are started now.
        outlook: what will be seen, and whether it is enough for ``need``.
        boxes: per image, mean of a few.
        fallbacks: share of images in which no box was found.
        disk: bytes that the run needs at most.
        labels: recall of the boxes on labeled images, if there are any.
        commands: to be run one after the other.
        better: what is better, if the outlook is poor.
    """

    images: int
    training_images: int
    machine: Machine
    recipe: str
    settings: tuple[str, ...]
    side: int
    batch: int
    precision: str
    seconds_per_step: float
    measured: bool
    seconds: Seconds
    minutes: float
    end: datetime.datetime
    outlook: Outlook
    need: Need | None
    boxes: float
    fallbacks: float
    disk: Disk
    labels: Labels | None
    commands: tuple[str, ...]
    better: tuple[Advice, ...]

    @property
    def command(self) -> str:
        """The commands as one line for a POSIX shell."""
        return " && ".join(self.commands)

    def as_json(self) -> dict[str, Any]:
        """Return JSON-ready values."""
        values = {**asdict(self), "end": self.end.isoformat(timespec="minutes"), "command": self.command}
        values["disk"]["needed"] = self.disk.needed
        values["outlook"]["share"] = self.outlook.share
        return values
