"""Copy tensors into a model: what can be known is checked first, a failure is undone, and the result is read back."""

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
_META = "Build the model without torch.device('meta'), or give it memory first: model.to_empty(device='cpu')"

_FLOATS = (torch.float64, torch.float32, torch.bfloat16, torch.float16)
_TENSORS = ("Tensor", "Parameter", "Buffer")


class Held(NamedTuple):
    """One tensor of a model that holds what it should: the plan's step, the model's name for it, its memory here."""

    step: TensorCopy
    name: str
    memory: Tensor


@dataclass(frozen=True)
class TensorWrite:
    """One tensor to be written: the plan's step, the model's tensor, the memory here and what it will hold."""

    step: TensorCopy
    own: Own
    memory: Tensor
    value: Tensor


@contextmanager
def plainly() -> Iterator[None]:
    """Load as if nothing had been changed about torch: on the CPU, with values, without gradients.

    Otherwise ``torch.device("meta")`` or ``torch.inference_mode()`` around a call would make tensors that have no
    values or can never be trained.
    """
    # Only where it changes anything: a device as a context costs a Python call for each of torch's.
    elsewhere = torch.get_default_device().type != "cpu"
    with torch.device("cpu") if elsewhere else nullcontext(), torch.inference_mode(False), torch.no_grad():
        yield


class Transfer(NamedTuple):
    """What was written, and other tensors of the model that changed with it because they share its memory."""

    held: list[Held]
    also_changed: list[str]


def transfer(model: nn.Module, plan: Sequence[TensorCopy]) -> Transfer:
    """Copy every step of a plan into the model's own tensors, or leave the model as it was.

    Args:
        model: whose `adept_hub.models.wrapped.own_tensors` the plan's targets are.
        plan: of `adept_hub.convert.plan.plan_for_model`.

    Returns:
        What was written, each compared with the model's own tensor afterwards.

    Raises:
        UnsupportedModelError: a tensor cannot take its value; nothing was touched.
        IncompleteLoadError: copying failed, or the model does not hold what was copied; the model is as it was.
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
    """Find the memory of every step and the value it will hold, in the model's own precision.

    Raises:
        UnsupportedModelError: what cannot be written, and what to do about it.
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
    """Compare the model's own tensors, read anew, with what they should hold; return them.

    Raises:
        IncompleteLoadError: one holds something else, or nothing.
    """
    own, found = own_tensors(model), []
    for step in plan:
        name, tensor = own[step.target]
        held = local(tensor)
        if held.is_meta:
            raise IncompleteLoadError(f"{name!r} is on the meta device and holds no values.\n{_META}")
        expected = local_share(step.tensor.to(held.dtype), tensor)
        if not _same(held, expected.to(held.device)):
            raise IncompleteLoadError(
                f"{name!r} does not hold the checkpoint's values after loading: its memory was written to by another "
                f"tensor or a hook.\n{_PLAIN}"
            )
        found.append(Held(step, name, held))
    return found


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
            "The model is half loaded: build it again."
        ) from error


def _check_kinds(tensors: Mapping[str, Tensor]) -> None:
    for name, tensor in tensors.items():
        kind = type(tensor).__name__
        if local(tensor).is_meta:
            raise UnsupportedModelError(f"{name!r} is on the meta device, where tensors hold no values.\n{_META}")
        if kind not in _TENSORS and not is_sharded(tensor):
            raise UnsupportedModelError(
                f"{name!r} is a {kind}, which cannot be copied into.\nLoad before the model is converted or quantized."
            )
        if tensor.layout != torch.strided or tensor.is_quantized:
            raise UnsupportedModelError(
                f"{name!r} is not a plain tensor ({tensor.layout}, {tensor.dtype}).\nLoad before converting the model."
            )


def _converted(step: TensorCopy, tensor: Tensor, name: str) -> Tensor:
    """The value in the precision that the model has there."""
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
                f"{name!r} was made under torch.inference_mode() and can never be trained.\nBuild the model outside it."
            )
        if any(size > 1 and stride == 0 for size, stride in zip(tensor.shape, tensor.stride(), strict=True)):
            raise UnsupportedModelError(
                f"{name!r} is expanded: several of its values share one place in memory.\n"
                "Give the model a tensor of its own there: .clone()"
            )
        if tensor.numel() and view_of(tensor) not in live:
            raise UnsupportedModelError(
                f"The model's state_dict() gives a copy of {name!r} instead of the tensor that the model computes with."
                f"\n{_PLAIN}"
            )
    if closed := memory_is_read_only(memory):
        raise UnsupportedModelError(
            f"{closed[0]!r} lies in read-only memory, such as a memory map that was opened for reading.\n"
            "Copy the model's tensors first: copy.deepcopy(model)"
        )


def _check_ties(cells: Sequence[TensorWrite]) -> None:
    """One tensor under two names can hold one value only; other overlaps show when the tensors are read back."""
    first: dict[tuple[object, ...], TensorWrite] = {}
    for cell in cells:
        if cell.memory.numel() == 0:
            continue
        other = first.setdefault(view_of(cell.memory), cell)
        if other.value is not cell.value and not _same(other.value, cell.value):
            raise UnsupportedModelError(
                f"{other.own.name!r} and {cell.own.name!r} are one tensor in your model, but two different ones in the "
                "checkpoint.\nUntie them, or promise less with parts=."
            )


def _neighbors(model: nn.Module, cells: Sequence[TensorWrite]) -> dict[str, Tensor]:
    """Copies of the model's other tensors that share memory with those of a plan."""
    taken = {cell.own.name for cell in cells}
    others = {name: local(t) for name, t in own_tensors(model).values() if name not in taken and not local(t).is_meta}
    shared = overlapping(others, [cell.memory for cell in cells])
    return {name: others[name].clone() for name in shared}
