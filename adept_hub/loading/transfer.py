"""Copy tensors into a model: check first, undo a failed copy, and read the result back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from adept_hub.convert.plan import TensorCopy
from adept_hub.errors import IncompleteLoadError, UnsupportedModelError
from adept_hub.models.wrapped import (
    Own,
    is_sharded,
    local,
    local_share,
    memory_is_read_only,
    overlapping,
    own_tensors,
    view_of,
)

_PLAIN = "Load into the plain model, before another library wraps or changes it."
_META = "Build the model without torch.device('meta'), or allocate it first: model.to_empty(device='cpu')"

_FLOATS = (torch.float64, torch.float32, torch.bfloat16, torch.float16)
_TENSORS = ("Tensor", "Parameter", "Buffer")


class Held(NamedTuple):
    """One verified tensor of a model: the plan's step, the model's name for it, and its memory in this process."""

    step: TensorCopy
    name: str
    memory: Tensor


@dataclass(frozen=True)
class TensorWrite:
    """One tensor to write: the plan's step, the model's tensor, its memory in this process, and the new value."""

    step: TensorCopy
    own: Own
    memory: Tensor
    value: Tensor


@contextmanager
def plainly() -> Iterator[None]:
    """Enter torch's default state: on the CPU, with real values, without gradients.

    Otherwise ``torch.device("meta")`` or ``torch.inference_mode()`` around a call would create tensors that have no
    values or can never be trained.
    """
    # Only if needed: a device context adds a Python call to every call of torch. A tensor shows where they are created;
    # before torch 2.6 get_default_device() ignores a surrounding ``with torch.device(...)``.
    elsewhere = torch.empty(0).device.type != "cpu"
    with torch.device("cpu") if elsewhere else nullcontext(), torch.inference_mode(False), torch.no_grad():
        yield


class Transfer(NamedTuple):
    """The written tensors, and the model's other tensors that changed too because they share memory."""

    held: list[Held]
    also_changed: list[str]


def transfer(model: nn.Module, plan: Sequence[TensorCopy]) -> Transfer:
    """Copy every step of a plan into the model's own tensors, or leave the model as it was.

    Args:
        model: the model whose `adept_hub.models.wrapped.own_tensors` are the plan's targets.
        plan: the result of `adept_hub.convert.plan.plan_for_model`.

    Returns:
        The written tensors, each compared with the model's own tensor afterwards.

    Raises:
        UnsupportedModelError: a tensor cannot take its value; nothing was written.
        IncompleteLoadError: copying failed, or the model does not have the copied values; the model was restored.
    """
    cells = prepare(model, plan)
    before, beside = [cell.memory.clone() for cell in cells], _neighbors(model, cells)
    done = 0
    try:
        for cell in cells:
            done += 1
            cell.memory.copy_(cell.value)
        held = verify(model, plan)
    except BaseException as error:
        _restore(cells[:done], before, error)
        if not isinstance(error, Exception):  # interrupted
            raise
        what = str(error)
        if not isinstance(error, IncompleteLoadError):
            what = f"Copying into {cells[done - 1].own.name!r} failed: {type(error).__name__}: {error}"
        raise IncompleteLoadError(f"{what.splitlines()[0]}\nThe model is as it was before. {_PLAIN}") from error
    own = {name: tensor for name, tensor in own_tensors(model).values() if name in beside}
    return Transfer(held, [name for name, tensor in own.items() if not _same(local(tensor), beside[name])])


def prepare(model: nn.Module, plan: Sequence[TensorCopy]) -> list[TensorWrite]:
    """Find the memory and the new value of every step, in the model's precision.

    Raises:
        UnsupportedModelError: a tensor cannot be written; the message has the remedy.
    """
    own = own_tensors(model)
    _check_kinds({own[step.target].name: own[step.target].tensor for step in plan})
    cells = []
    for step in plan:
        name, tensor = own[step.target]
        value = _converted(step, tensor, name)
        cells.append(TensorWrite(step, own[step.target], local(tensor), local_share(value, tensor)))
    _check_memory(model, {cell.own.name: cell.memory for cell in cells})
    _check_ties(cells)
    return cells


def verify(model: nn.Module, plan: Sequence[TensorCopy]) -> list[Held]:
    """Read the model's tensors again, compare them with their expected values, and return them.

    Raises:
        IncompleteLoadError: a tensor has another value, or no values.
    """
    own, verified = own_tensors(model), []
    for step in plan:
        name, tensor = own[step.target]
        held = local(tensor)
        if held.is_meta:
            raise IncompleteLoadError(f"{name!r} is on the meta device and has no values.\n{_META}")
        expected = local_share(step.tensor.to(held.dtype), tensor)
        if not _same(held, expected.to(held.device)):
            raise IncompleteLoadError(
                f"{name!r} does not have the checkpoint's values after loading: another tensor or a hook wrote to its "
                f"memory.\n{_PLAIN}"
            )
        verified.append(Held(step, name, held))
    return verified


def _same(held: Tensor, expected: Tensor) -> bool:
    if view_of(held) == view_of(expected):  # assigned, not copied
        return True
    return torch.equal(held, expected) or torch.allclose(held, expected, rtol=0, atol=0, equal_nan=True)


def _restore(cells: Sequence[TensorWrite], before: Sequence[Tensor], error: BaseException) -> None:
    try:
        for cell, value in zip(cells, before, strict=False):
            cell.memory.copy_(value)
    except RuntimeError as second:
        raise IncompleteLoadError(
            f"Copying failed ({error}), and so did restoring {cell.own.name!r} ({second}).\n"
            "The model is partially loaded: build it again."
        ) from error


def _check_kinds(tensors: Mapping[str, Tensor]) -> None:
    for name, tensor in tensors.items():
        kind = type(tensor).__name__
        if local(tensor).is_meta:
            raise UnsupportedModelError(f"{name!r} is on the meta device, where tensors have no values.\n{_META}")
        if kind not in _TENSORS and not is_sharded(tensor):
            raise UnsupportedModelError(
                f"{name!r} is a {kind}, which cannot be copied into.\nLoad before the model is converted or quantized."
            )
        if tensor.layout != torch.strided or tensor.is_quantized:
            raise UnsupportedModelError(
                f"{name!r} is not a plain tensor ({tensor.layout}, {tensor.dtype}).\nLoad before converting the model."
            )


def _converted(step: TensorCopy, tensor: Tensor, name: str) -> Tensor:
    """Convert the value to the precision of the model's tensor."""
    value, dtype = step.tensor, tensor.dtype
    if value.dtype == dtype:
        return value
    floating = value.is_floating_point()
    converted = value.to(dtype) if floating == dtype.is_floating_point and not dtype.is_complex else None
    if converted is None or (floating and dtype not in _FLOATS) or (not floating and (converted != value).any()):
        raise UnsupportedModelError(
            f"{name!r} has {str(dtype).removeprefix('torch.')} values, which cannot hold the checkpoint's "
            f"{str(value.dtype).removeprefix('torch.')}.\nConvert the model first: model.float()"
        )
    if not torch.equal(torch.isfinite(converted), torch.isfinite(value)):
        raise UnsupportedModelError(
            f"{name!r} has {str(dtype).removeprefix('torch.')} values, too small for {value.abs().max().item():g}.\n"
            "Convert the model first: model.float() or model.bfloat16()"
        )
    return converted


def _check_memory(model: nn.Module, memory: Mapping[str, Tensor]) -> None:
    live = {view_of(local(t)) for t in (*model.parameters(), *model.buffers()) if not t.is_meta}
    for name, tensor in memory.items():
        if tensor.is_inference():
            raise UnsupportedModelError(
                f"{name!r} was created in torch.inference_mode() and can never be trained.\nBuild the model outside it."
            )
        if any(size > 1 and stride == 0 for size, stride in zip(tensor.shape, tensor.stride(), strict=True)):
            raise UnsupportedModelError(
                f"{name!r} is expanded: several of its elements share memory.\n"
                "Replace it in the model by a copy: .clone()"
            )
        if tensor.numel() and view_of(tensor) not in live:
            raise UnsupportedModelError(
                f"The model's state_dict() returns a copy of {name!r} instead of the tensor that the model uses."
                f"\n{_PLAIN}"
            )
    if closed := memory_is_read_only(memory):
        raise UnsupportedModelError(
            f"{closed[0]!r} is in read-only memory, such as a memory map that was opened for reading.\n"
            "Copy the model's tensors first: copy.deepcopy(model)"
        )


def _check_ties(cells: Sequence[TensorWrite]) -> None:
    """Refuse two values for one tensor under two names; other overlaps are detected when tensors are read back."""
    first: dict[tuple[object, ...], TensorWrite] = {}
    for cell in cells:
        if cell.memory.numel() == 0:
            continue
        other = first.setdefault(view_of(cell.memory), cell)
        if other.value is not cell.value and not _same(other.value, cell.value):
            raise UnsupportedModelError(
                f"{other.own.name!r} and {cell.own.name!r} are one tensor in your model, but two different ones in the "
                "checkpoint.\nUntie them, or load fewer parts with parts=."
            )


def _neighbors(model: nn.Module, cells: Sequence[TensorWrite]) -> dict[str, Tensor]:
    """Copy the model's other tensors that share memory with those of a plan."""
    taken = {cell.own.name for cell in cells}
    others = {name: local(t) for name, t in own_tensors(model).values() if name not in taken and not local(t).is_meta}
    shared = overlapping(others, [cell.memory for cell in cells])
    return {name: others[name].clone() for name in shared}
