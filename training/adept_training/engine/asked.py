"""What was asked of a run beside its recipe, and what to type next: to continue it, or with the weights it left."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Asked:
    """The words of ``adept pretrain`` that the recipe does not hold, as they were typed. None changes the weights."""

    images: str = "IMAGES"
    proposals: str | None = None
    init: str | None = None
    #: Names of `adept_training.engine.trackers.TRACKERS`.
    trackers: tuple[str, ...] = ()
    #: Draw RUN/preview.png before the first step.
    preview: bool = False
    #: Write RUN/report.html at the end, whatever the end is.
    report: bool = True

    def resume(self, folder: Path) -> str:
        """The command that continues the run in ``folder``, where its recipe lies."""
        words = ["adept", "pretrain", "--images", self.images, "--out", str(folder)]
        for option, value in (("--proposals", self.proposals), ("--init", self.init)):
            words += [option, value] if value is not None else []
        words += [word for name in self.trackers for word in ("--track", name)]
        return shlex.join([*words, "--resume"])


def next_commands(folder: Path, licence: str) -> list[str]:
    """Export, fine-tune, push the weights of the run in ``folder``; DATA and ORG/NAME are the user's to fill in.

    Args:
        licence: of the export; without one the last command would be refused, and a comment before it says so.
    """
    export = str(folder / "export")
    return [
        shlex.join(["adept", "export", export, "--to", "detectron2", "--out", str(folder / "detectron2")]),
        shlex.join(["adept", "finetune", export, "--data", "DATA", "--out", str(folder / "finetune")]),
        *([f'# first state a "licence" in {folder / "export" / "config.json"}'] if licence == "unstated" else []),
        shlex.join(["adept", "push", export, "ORG/NAME"]),
    ]
