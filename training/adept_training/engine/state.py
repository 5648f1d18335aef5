"""Training state on disk: whole files only, the last few kept, and exact continuation.

No generator's state is among it: views, order and RPN sampling are functions of (seed, step), so the step suffices.
"""

from __future__ import annotations

import pickle
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from adept_hub.atomic import atomic_file
from adept_hub.errors import ResumeError

_NAME = re.compile(r"step-(\d{8})\.pt")


@dataclass
class Progress:
    """How far a run has come. ``step`` is the number of finished steps."""

    step: int = 0
    #: Seconds spent in earlier sittings.
    seconds: float = 0.0
    #: The loss scale of fp16 and its age; empty otherwise.
    scaler: dict[str, Any] = field(default_factory=dict)


def saved_states(folder: Path) -> list[Path]:
    """The whole checkpoints of a run, oldest first."""
    return sorted(path for path in folder.glob("step-*.pt") if _NAME.fullmatch(path.name))


def save_state(
    folder: Path, model: nn.Module, optimiser: Optimizer, progress: Progress, identity: dict[str, str], keep: int
) -> Path:
    """Write ``step-<n>.pt`` whole or not at all, then drop all but the last ``keep`` and half-written ones.

    Args:
        identity: what must be the same when the run is continued (digests of recipe and keys).

    Raises:
        DiskFullError: no space; earlier checkpoints are untouched.
    """
    path = folder / f"step-{progress.step:08d}.pt"
    content = {
        "model": model.state_dict(),
        "optimiser": optimiser.state_dict(),
        "step": progress.step,
        "seconds": progress.seconds,
        "scaler": progress.scaler,
        "identity": identity,
    }
    with atomic_file(path) as temporary:
        torch.save(content, temporary)
    # What kill -9 left half-written is as large as a checkpoint, and nobody else writes here.
    for old in [*saved_states(folder)[:-keep], *folder.glob(".step-*.pt.*")]:
        old.unlink(missing_ok=True)
    return path


def load_state(folder: Path, model: nn.Module, optimiser: Optimizer, identity: dict[str, str]) -> Progress:
    """Put the newest readable checkpoint into model and optimiser.

    Raises:
        ResumeError: there is none, none is readable, or it belongs to another recipe or other images.
    """
    content = _newest(folder)
    for what, digest in identity.items():
        if content["identity"].get(what) != digest:
            raise ResumeError(
                f"The run in {folder.parent} was started with other {what}, so it cannot be continued exactly.\n"
                f"Use the same {what} (RUN/recipe.yaml has the recipe), or start a new run with another --out."
            )
    model.load_state_dict(content["model"])
    optimiser.load_state_dict(content["optimiser"])
    return Progress(content["step"], content["seconds"], content.get("scaler", {}))


def _newest(folder: Path) -> dict[str, Any]:
    states = saved_states(folder)
    for path in reversed(states):
        try:
            content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
            return content
        except (RuntimeError, EOFError, OSError, pickle.UnpicklingError):
            continue  # torn by a machine that lost power; the one before it is whole
    if states:
        raise ResumeError(
            f"None of the {len(states)} checkpoints in {folder} can be read.\nStart anew without --resume."
        )
    raise ResumeError(f"There is no checkpoint in {folder} to continue from.\nStart the run without --resume.")
