"""Access the tensors of a wrapped model: torch.compile, DDP, activation checkpointing, FSDP2."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from adept_hub.errors import UnsupportedModelError

#: Components that wrappers insert into names, at the start or in the middle.
_WRAPPERS = ("_orig_mod", "_checkpoint_wrapped_module")
#: Classes that wrap a whole model as ``.module``.
_OUTER = ("DistributedDataParallel", "DataParallel", "_FabricModule")


class Own(NamedTuple):
    """One tensor of a model: its name in ``state_dict()``, and the tensor itself, not a copy."""

    name: str
    tensor: Tensor


def plain_name(name: str) -> str:
    """Return a name without the components that torch.compile and activation checkpointing insert."""
    return ".".join(part for part in name.split(".") if part not in _WRAPPERS)


def own_tensors(model: nn.Module) -> dict[str, Own]:
    """Return the tensors of ``model.state_dict()`` by their plain names.

    Raises:
        UnsupportedModelError: the model is wrapped by FSDP1 or DeepSpeed, or has a lazy module without tensors.
    """
    if any(type(module).__name__ == "FullyShardedDataParallel" for module in model.modules()):
        raise UnsupportedModelError(
            "FullyShardedDataParallel (FSDP1) keeps the model's tensors flattened and sharded.\n"
            "Load before wrapping: adept_hub.load_into(model, ...), then FullyShardedDataParallel(model)."
        )
    if any(hasattr(parameter, "ds_id") for parameter in model.parameters()):
        raise UnsupportedModelError(
            "DeepSpeed ZeRO-3 keeps the model's tensors partitioned.\n"
            "Load before deepspeed.initialize, and build the model outside deepspeed.zero.Init."
        )
    state = {name: t for name, t in model.state_dict().items() if isinstance(t, Tensor)}
    if lazy := [name for name, t in state.items() if nn.parameter.is_lazy(t)]:
        raise UnsupportedModelError(
            f"{len(lazy)} tensors have no shape yet, first {lazy[0]!r}: they belong to lazy modules.\n"
            "Run the model once on an image, then load."
        )
    return {plain_name(name): Own(name, tensor) for name, tensor in state.items()}


def unwrapped(model: nn.Module) -> nn.Module:
    """Return the model inside torch.compile, DistributedDataParallel, DataParallel or Lightning Fabric."""
    while True:
        inner = getattr(model, "_orig_mod", None)
        if type(model).__name__ in _OUTER:
            inner = getattr(model, "module", None)
        if not isinstance(inner, nn.Module):
            return model
        model = inner


def whole_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Return the tensors of a model by their plain names, to be saved.

    Raises:
        UnsupportedModelError: a tensor has no values, or is sharded.
    """
    own = own_tensors(model)
    if empty := [name for name, tensor in own.values() if local(tensor).is_meta]:
        raise UnsupportedModelError(
            f"{len(empty)} tensors are on the meta device and have no values, first {empty[0]!r}.\n"
            "Load or train the model before saving it."
        )
    if shards := [name for name, tensor in own.values() if is_sharded(tensor)]:
        raise UnsupportedModelError(
            f"{len(shards)} tensors are sharded, first {shards[0]!r}: each process has a part of them.\n"
            "Gather them into a plain detector: torch.distributed.checkpoint.state_dict.get_model_state_dict(model, "
            "options=StateDictOptions(full_state_dict=True))"
        )
    return {key: tensor for key, (_, tensor) in own.items()}


def is_sharded(tensor: Tensor) -> bool:
    """Check for a DTensor, of which this process has only a part (FSDP2, tensor parallelism)."""
    return hasattr(tensor, "device_mesh") and hasattr(tensor, "placements")


def local(tensor: Tensor) -> Tensor:
    """Return this process's part of a tensor, as writable memory."""
    held: Tensor = tensor.to_local() if is_sharded(tensor) else tensor  # type: ignore[attr-defined]  # a DTensor's
    return held


def local_share(value: Tensor, like: Tensor) -> Tensor:
    """Return this process's part of a complete ``value`` that is distributed like ``like``.

    Raises:
        UnsupportedModelError: ``like`` is a DTensor of partial sums.
    """
    if not is_sharded(like):
        return value
    import inspect

    from torch.distributed.tensor import distribute_tensor

    if any(placement.is_partial() for placement in like.placements):  # type: ignore[attr-defined]  # a DTensor's
        raise UnsupportedModelError("The model has partial sums (DTensor, Partial).\nLoad before distributing it.")
    # Every process has read the file, so that none has to wait for another, which may have failed.
    alone = {"src_data_rank": None} if "src_data_rank" in inspect.signature(distribute_tensor).parameters else {}
    return local(distribute_tensor(value, like.device_mesh, like.placements, **alone))  # type: ignore[attr-defined]


def view_of(tensor: Tensor) -> tuple[object, ...]:
    """Return device, address, shape and strides, which are equal for two names of the same tensor."""
    return (tensor.device, tensor.data_ptr(), tuple(tensor.shape), tensor.stride())


def extent(tensor: Tensor) -> tuple[torch.device, int, int]:
    """Return device, first byte and end (exclusive) of a tensor's memory."""
    reach = sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True)) + 1
    start = tensor.data_ptr()
    return (tensor.device, start, start + (reach * tensor.element_size() if tensor.numel() else 0))


def overlapping(tensors: Mapping[str, Tensor], others: Iterable[Tensor]) -> list[str]:
    """Return the names of ``tensors`` whose memory overlaps that of any of ``others``."""
    extents = [extent(other) for other in others]
    names = []
    for name, tensor in tensors.items():
        device, start, end = extent(tensor)
        if any(device == its and start < stop and begin < end for its, begin, stop in extents):
            names.append(name)
    return names


def memory_is_read_only(tensors: Mapping[str, Tensor]) -> list[str]:
    """Return the names of tensors in read-only memory, such as a NumPy memory map opened for reading.

    torch cannot detect this, and writing would end the process; Linux lists such memory.
    """
    try:
        with open("/proc/self/maps", encoding="utf-8", errors="replace") as lines:  # noqa: PTH123  # not a real file
            spans = [line.split(maxsplit=2)[:2] for line in lines]
    except OSError:
        return []
    closed = [tuple(int(end, 16) for end in span.split("-")) for span, rights in spans if rights[1] != "w"]
    return [
        name
        for name, tensor in tensors.items()
        if tensor.device.type == "cpu" and tensor.numel() and any(a <= tensor.data_ptr() < b for a, b in closed)
    ]
