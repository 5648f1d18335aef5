"""The command-line options of a run beyond its recipe, and the next commands: to resume it or use its weights."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adept_hub.io.paths import resolved
from adept_training.planning.need import NEAR
from adept_training.pretraining.pace import longer


@dataclass(frozen=True)
class Asked:
    """Options of ``adept pretrain`` that are not in the recipe, as typed. None changes the weights."""

    images: str = "IMAGES"
    proposals: str | None = None
    init: str | None = None
    #: Names of `adept_training.runtime.trackers.TRACKERS`.
    trackers: tuple[str, ...] = ()
    #: Draw RUN/preview.png before the first step.
    preview: bool = False
    #: The device, for one process alone; ``auto`` for the launcher's processes.
    device: str = "auto"
    #: Write RUN/report.html when the run ends in any way.
    report: bool = True
    #: Project that wrote the file ``init``; None: recognized.
    layout: str | None = None

    def start(self, folder: Path, *more: str) -> str:
        """Return the command that starts a run in ``folder``, with ``more`` options."""
        return self._words(folder, self.proposals, *more)

    def resume(self, folder: Path, *more: str) -> str:
        """Return the command that resumes the run in ``folder``, with ``more`` options."""
        return self._words(folder, self.proposals, *more, "--resume")

    def again(self, folder: Path, settings: Sequence[str]) -> str:
        """Return the command for a new run like the one in ``folder``, next to it, with other ``settings``."""
        made = folder / "proposals"
        proposals = self.proposals or (str(made) if made.is_dir() else None)
        changes = [word for setting in settings for word in ("--set", setting)]
        other = folder.with_name(f"{resolved(folder).name}-2")
        return self._words(other, proposals, "--recipe", str(folder / "recipe.yaml"), *changes)

    def longer(
        self,
        folder: Path,
        flat: Mapping[str, Any],
        planned: int,
        steps: int,
        minutes: int,
        settings: Sequence[str] = (),
    ) -> str:
        """Return the command for ``steps`` steps: resume the run in ``folder``, or a new one if its plan is shorter.

        Args:
            flat: its recipe by ``section.field``.
            planned: its steps.
            minutes: of all these steps.
            settings: of a new run.
        """
        if planned >= NEAR * steps:
            return self.resume(folder, "--minutes", str(minutes))
        limit = [] if flat.get("engine.max_minutes") is None else [f"engine.max_minutes={minutes}"]
        return self.again(folder, [longer(flat, steps / max(planned, 1))[1], *limit, *settings])

    def _words(self, out: Path, proposals: str | None, *more: str) -> str:
        words = ["adept", "pretrain", "--images", self.images, "--out", str(out)]
        for option, value in (("--proposals", proposals), ("--init", self.init), ("--layout", self.layout)):
            words += [option, value] if value is not None else []
        words += [word for name in self.trackers for word in ("--track", name)]
        words += ["--device", self.device] if self.device != "auto" else []
        return shlex.join([*words, *more])


def next_commands(folder: Path, license: str) -> list[str]:
    """Return commands to export, fine-tune and push the weights of the run in ``folder``; DATA and ORG/NAME are blanks.

    Args:
        license: of the export; if it is unstated, the last command states one, without which nothing is published.
    """
    export = str(folder / "export")
    stated = ["--license", "apache-2.0"] if license == "unstated" else []
    return [
        shlex.join(["adept", "export", export, "--to", "detectron2", "--out", str(folder / "detectron2")]),
        shlex.join(["adept", "finetune", export, "--data", "DATA", "--out", str(folder / "finetune")]),
        shlex.join(["adept", "push", export, "ORG/NAME", *stated]),
    ]
