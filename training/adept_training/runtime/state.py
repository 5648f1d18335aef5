"""Training state on disk: complete files with digests, the last few kept, and exact continuation.

Generator states are not needed: views, order and RPN sampling are functions of (seed, step).
"""

from __future__ import annotations

import hashlib
import math
import pickle
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from io import BufferedReader
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from adept_hub.errors import AdeptError, ResumeError
from adept_hub.io.digest import sha256_file
from adept_hub.io.read import BoundedReader
from adept_hub.io.write import atomic_file, clear_leavings

_NAME = re.compile(r"step-(\d{8})\.pt")
_DIGEST = re.compile(rb"([0-9a-f]{64})  (step-\d{8}\.pt)\n")
_MAX_STATE = 1 << 40
#: Exceptions of torch for a file that is not a valid state, in any kind of damage.
_UNREADABLE = (
    RuntimeError, EOFError, OSError, pickle.UnpicklingError, LookupError, ValueError, TypeError, AttributeError,
    RecursionError, MemoryError, OverflowError,
    AssertionError,  # torch's own, of storages that are not what it wrote
)  # fmt: skip


@dataclass
class TrainingProgress:
    """Progress of a run. ``step`` is the number of finished steps."""

    step: int = 0
    #: Seconds spent in earlier sessions.
    seconds: float = 0.0
    #: The loss scale of fp16 and its age; empty otherwise.
    scaler: dict[str, Any] = field(default_factory=dict)
    #: Share of its start that remains in a momentum network: the product of all momenta so far.
    kept: float = 1.0
    #: Set by `load_state`: newer checkpoints that are damaged, one line each, with the reason.
    passed_over: tuple[str, ...] = ()


class _Damaged(Exception):  # noqa: N818  # never leaves this module
    """A checkpoint is damaged; the message is the reason."""


def saved_states(folder: Path) -> list[Path]:
    """Return the complete checkpoints of a run, oldest first."""
    return sorted(path for path in folder.glob("step-*.pt") if _NAME.fullmatch(path.name))


def save_state(
    folder: Path,
    model: nn.Module,
    optimizer: Optimizer,
    progress: TrainingProgress,
    identity: dict[str, str],
    keep: int,
) -> Path:
    """Write ``step-<n>.pt`` whole or not at all, its digest first, then remove all but the last ``keep``.

    Checkpoints of later steps are removed too: the run skipped them as damaged.

    Args:
        identity: digests of recipe and keys, which must match to continue the run.

    Raises:
        DiskFullError: the disk is full; earlier checkpoints are untouched.
    """
    path = folder / f"step-{progress.step:08d}.pt"
    content = {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "step": progress.step,
        "seconds": progress.seconds,
        "scaler": progress.scaler,
        "kept": progress.kept,
        "identity": identity,
    }
    with atomic_file(path) as temporary:
        torch.save(content, temporary)
        # A process killed between the two leaves a state that its digest does not match, never the reverse.
        with atomic_file(_digest_path(path)) as digest:
            digest.write_bytes(f"{sha256_file(temporary)}  {path.name}\n".encode())
    states = saved_states(folder)
    remaining = [state for state in states if state <= path][-keep:]
    for old in [state for state in states if state not in remaining]:
        old.unlink(missing_ok=True)
    for digest in folder.glob("step-*.pt.sha256"):
        if not digest.with_suffix("").exists():
            digest.unlink(missing_ok=True)
    # Incomplete files of a killed process are as large as a checkpoint, and no other process writes here.
    clear_leavings(folder, ".step-*.pt.*")
    return path


def load_state(folder: Path, model: nn.Module, optimizer: Optimizer, identity: dict[str, str]) -> TrainingProgress:
    """Load the newest intact checkpoint into model and optimizer; damaged ones are skipped and reported.

    A checkpoint is intact if it has the SHA-256 recorded when it was written, and the shapes that this model and
    optimizer need.

    Raises:
        ResumeError: there is no intact checkpoint, or it belongs to another recipe or other images.
    """
    states = saved_states(folder)
    passed_over: list[str] = []
    for path in reversed(states):
        try:
            content = _read(path)
            _check_identity(content["identity"], identity, folder.parent)
            _check_tensors(content, model, optimizer)
        except _Damaged as damage:
            passed_over.append(f"{path} is passed over: {damage}")
            continue
        model.load_state_dict(content["model"])
        optimizer.load_state_dict(content["optimizer"])
        seconds, kept = float(content["seconds"]), float(content["kept"])
        return TrainingProgress(content["step"], seconds, content["scaler"], kept, tuple(passed_over))
    if states:
        raise ResumeError(
            f"None of the {len(states)} checkpoints in {folder} can be continued from; of the last: "
            f"{passed_over[0].partition('passed over: ')[2]}.\nStart again without --resume, with another --out."
        )
    raise ResumeError(f"There is no checkpoint in {folder} to continue from.\nStart the run without --resume.")


def _digest_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def _read(path: Path) -> dict[str, Any]:
    """Read a checkpoint; check its digest and its fields.

    Raises:
        _Damaged: the checkpoint is damaged.
    """
    try:
        recorded = _DIGEST.fullmatch(BoundedReader(ResumeError, limit=200).read(_digest_path(path)))
        if recorded is None or recorded[2].decode() != path.name:
            raise _Damaged(f"{path.name}.sha256 is not a valid digest")
        with BoundedReader(ResumeError, limit=_MAX_STATE).open(path) as stream:
            if hashlib.file_digest(cast(BufferedReader, stream), "sha256").hexdigest() != recorded[1].decode():
                raise _Damaged("its content does not match its SHA-256")
            stream.seek(0)
            content = torch.load(stream, map_location="cpu", weights_only=True)
    except AdeptError as error:
        raise _Damaged(str(error).rstrip(".")) from error
    except _UNREADABLE as error:
        raise _Damaged(f"it cannot be read ({type(error).__name__})") from error
    return _checked(content, path)


def _checked(content: object, path: Path) -> dict[str, Any]:
    kinds: dict[str, tuple[type, ...]] = {
        "model": (dict,), "optimizer": (dict,), "step": (int,), "seconds": (int, float), "scaler": (dict,),
        "kept": (int, float), "identity": (dict,),
    }  # fmt: skip
    if isinstance(content, dict):
        content.setdefault("kept", 1.0)  # states of fine-tuning, which has no momentum network, had none
    if not isinstance(content, dict) or set(content) != set(kinds):
        raise _Damaged("it lacks the fields of a checkpoint")
    for name, types in kinds.items():
        if not isinstance(content[name], types) or isinstance(content[name], bool):
            raise _Damaged(f"its {name} has a wrong type")
    step, seconds = content["step"], content["seconds"]
    if f"step-{step:08d}.pt" != path.name:
        raise _Damaged(f"it has step {step!r}")
    if not (math.isfinite(seconds) and seconds >= 0):
        raise _Damaged(f"it has {seconds!r} seconds")
    if not 0 <= content["kept"] <= 1:
        raise _Damaged(f"it has a share of {content['kept']!r}")
    if not all(isinstance(text, str) for item in content["identity"].items() for text in item):
        raise _Damaged("its identity has a wrong type")
    return content


def _check_identity(found: Mapping[str, str], identity: Mapping[str, str], run: Path) -> None:
    for what, digest in identity.items():
        if found.get(what) != digest:
            raise ResumeError(
                f"The run in {run} was started with other {what}, so it cannot be continued exactly.\n"
                f"Use the same {what} (RUN/recipe.yaml has the recipe), or start a new run with another --out."
            )


def _check_tensors(content: Mapping[str, Any], model: nn.Module, optimizer: Optimizer) -> None:
    """Compare everything before anything is loaded, so that nothing is loaded partially."""
    own = model.state_dict()
    tensors = content["model"]
    if set(tensors) != set(own):
        raise _Damaged("its tensors have other names than the model's")
    for name, tensor in own.items():
        if not isinstance(tensors[name], Tensor) or _form(tensors[name]) != _form(tensor):
            raise _Damaged(f"its {name} does not match the model")
        _check_finite(tensors[name], name)
    expected, groups, states = optimizer.state_dict(), *(content["optimizer"].get(k) for k in ("param_groups", "state"))
    if not isinstance(groups, list) or len(groups) != len(expected["param_groups"]) or not isinstance(states, dict):
        raise _Damaged("its optimizer has other groups")
    for group, mine in zip(groups, expected["param_groups"], strict=True):
        if not isinstance(group, dict) or set(group) != set(mine) or group["params"] != mine["params"]:
            raise _Damaged("its optimizer has other groups")
        for key, value in mine.items():
            if isinstance(value, float) and not (isinstance(group[key], (int, float)) and math.isfinite(group[key])):
                raise _Damaged(f"its optimizer's {key} is not a finite number")
    params = [param for group in optimizer.param_groups for param in group["params"]]
    for index, values in states.items():
        if not isinstance(index, int) or not 0 <= index < len(params) or not isinstance(values, dict):
            raise _Damaged("its optimizer has the state of other tensors")
        for value in values.values():
            if isinstance(value, Tensor) and value.ndim and value.shape != params[index].shape:
                raise _Damaged("its optimizer has states of other shapes")
            if isinstance(value, Tensor):
                _check_finite(value, "its optimizer")


def _check_finite(tensor: Tensor, name: str) -> None:
    """Reject values that would spread to every weight at the next step; a sum is finite only if all terms are."""
    if tensor.is_floating_point() and not tensor.sum().isfinite() and not tensor.isfinite().all():
        raise _Damaged(f"{name} contains NaN or infinity")


def _form(tensor: Tensor) -> tuple[Any, ...]:
    return tuple(tensor.shape), tensor.dtype
