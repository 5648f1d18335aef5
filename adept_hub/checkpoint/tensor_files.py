"""Other projects' .pth files: tensors only, and whatever else would be imported is named and refused.

torch's own ``weights_only`` unpickler does the reading; what it does not bound (sizes that a file only claims) is
checked before and after. Nothing here writes a pickle.
"""

from __future__ import annotations

import argparse
import pickle
import pickletools
import re
import struct
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from adept_hub.checkpoint.validate import MAX_WEIGHT_BYTES
from adept_hub.errors import CheckpointError, PickleRefusedError
from adept_hub.io.read import BoundedReader

#: Where checkpoints keep their state dict, outermost first; SoCo and MoCo: ``model``; MMDetection: ``state_dict``;
#: VISSL: ``classy_state_dict``, ``base_model``, ``model``, ``trunk``; SimCLRv2-Pytorch: ``resnet``.
STATE_DICTS = (
    "state_dict", "model", "model_state", "model_state_dict", "network", "classy_state_dict", "base_model", "trunk",
    "resnet",
)  # fmt: skip
_MAX_DEPTH = 4
_MAGIC = 0x1950A86A20F9469CFC6C  # torch.save before 1.6 begins with it, pickled
_MAX_PICKLE_BYTES = 64 << 20
_MAX_ENTRIES = 100_000
#: Values without behavior that training scripts save beside their weights. Their classes run no code when rebuilt.
_HARMLESS = (argparse.Namespace,)
#: What reading a damaged or hostile file can raise.
_DAMAGE = (
    RuntimeError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    AssertionError,
    ArithmeticError,
    MemoryError,
    RecursionError,
    EOFError,
    OSError,
    struct.error,
    zipfile.BadZipFile,
    pickle.UnpicklingError,
)


def load_tensors_only(path: Path) -> dict[str, Tensor]:
    """The state dict of a file that ``torch.save`` wrote, on the CPU; no code of the file is ever run.

    Args:
        path: a .pth, .pt, .bin or .ckpt file, in torch's zip format (mapped, not read) or in the one before torch 1.6.

    Returns:
        Tensor by name: the file's own mapping, or the one under `STATE_DICTS`.

    Raises:
        PickleRefusedError: the file would import something that is no tensor; the message names it.
        CheckpointError: it is damaged, claims more than it holds, or has no state dict.
    """
    BoundedReader(CheckpointError, MAX_WEIGHT_BYTES).check(path)
    size = path.stat().st_size
    try:
        is_zip = zipfile.is_zipfile(path)  # raises for some damaged ends
        if is_zip:
            _check_archive(path, size)
        else:
            _check_old_format(path, size)
        with torch.serialization.safe_globals(list(_HARMLESS)):
            loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=is_zip)
    except _DAMAGE as error:
        raise _explain(path, error) from error
    state = _state_dict(loaded)
    if not state:
        raise CheckpointError(
            f"{path} has no state dict: no mapping of names to tensors, itself or under {', '.join(STATE_DICTS)}."
        )
    for key, tensor in state.items():
        _check_tensor(path, key, tensor)
    return state


def _check_archive(path: Path, size: int) -> None:
    """torch stores without compression; an archive that unpacks to more than it is, is none of torch's."""
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        if len(entries) > _MAX_ENTRIES:
            raise ValueError(f"it has {len(entries):,} entries")
        if len({entry.filename for entry in entries}) < len(entries):
            raise ValueError("two of its entries have one name")
        for entry in entries:
            if entry.compress_type != zipfile.ZIP_STORED or entry.file_size > size:
                raise ValueError(f"{entry.filename!r} is compressed or claims {entry.file_size:,} bytes")
            if entry.filename.endswith("data.pkl"):
                if entry.file_size > _MAX_PICKLE_BYTES:
                    raise ValueError(f"{entry.filename!r} has {entry.file_size:,} bytes")
                _check_numbers(archive.read(entry), size)
        if sum(entry.file_size for entry in entries) > size:
            raise ValueError("its entries claim more bytes than it has")


def _check_old_format(path: Path, size: int) -> None:
    """A magic number, version, system and then the object, each pickled; storages follow it."""
    with path.open("rb") as stream:
        first = list(pickletools.genops(_one_pickle(stream)))
        if not any(opcode.name.startswith("LONG") and argument == _MAGIC for opcode, argument, _ in first):
            found = next(_globals(first), None)
            if found:
                raise pickle.UnpicklingError(f"GLOBAL {found}")
            raise ValueError("it is a pickle that torch.save did not write")
        for _ in range(2):
            _one_pickle(stream)
        _check_numbers(_one_pickle(stream), size)


def _one_pickle(stream: Any) -> bytes:
    """The bytes of the next pickle of a stream, disassembled and not run."""
    start = stream.tell()
    for _ in pickletools.genops(stream):
        if stream.tell() - start > _MAX_PICKLE_BYTES:
            raise ValueError("its description has no end")
    end = stream.tell()
    stream.seek(start)
    content: bytes = stream.read(end - start)
    return content


def _check_numbers(content: bytes, size: int) -> None:
    """No storage may claim more elements than the file has bytes: it would be allocated before it is read.

    A storage is a tuple that ends in its number of elements (before torch 1.6: and None), then the operation BINPERSID.
    """
    recent: list[tuple[str, Any]] = []
    for opcode, argument, _ in pickletools.genops(content):
        if opcode.name in ("BINPERSID", "PERSID"):
            names = [name for name, _ in recent]
            count = recent[-3 if names[-2:] == ["NONE", "TUPLE"] else -2 :][:1]
            if names[-1:] != ["TUPLE"] or not count or count[0][0].endswith("GET"):
                raise ValueError("a storage does not say its size")
            if isinstance(count[0][1], int) and not 0 <= count[0][1] <= size:  # torch refuses what is no number
                raise ValueError(f"a storage claims {count[0][1]:,} elements in a file of {size:,} bytes")
        if not opcode.name.endswith("PUT") and opcode.name != "MEMOIZE":
            value = argument if opcode.name.startswith(("BININT", "INT", "LONG")) and "GET" not in opcode.name else None
            recent = [*recent[-2:], (opcode.name, value)]


def _globals(operations: list[tuple[Any, Any, Any]]) -> Iterator[str]:
    """What a pickle would import, in order."""
    texts: list[str] = []
    for opcode, argument, _ in operations:
        if opcode.name == "GLOBAL":
            yield str(argument).replace(" ", ".")
        elif opcode.name == "STACK_GLOBAL" and len(texts) > 1:
            yield ".".join(texts[-2:])
        elif isinstance(argument, str):
            texts.append(argument)


def _explain(path: Path, error: Exception) -> CheckpointError:
    found = re.search(r"GLOBAL ([\w.]+)", str(error))
    if found:
        return PickleRefusedError(
            f"{path} would import {found[1]} when loaded, which could run code; only tensors are read here.\n"
            "Where you trust it, save its state dict alone: torch.save(checkpoint['model'], 'tensors.pth')"
        )
    reasons = [line.strip() for line in str(error).splitlines() if line.strip()]
    return CheckpointError(
        f"{path} is not a whole file of tensors: {(reasons or [type(error).__name__])[-1][:200]}\n"
        "Download it again; safetensors and files of torch.save with tensors only are read."
    )


def _state_dict(loaded: object, depth: int = 0) -> dict[str, Tensor]:
    if not isinstance(loaded, Mapping):
        return {}
    if loaded and all(isinstance(k, str) and isinstance(v, Tensor) for k, v in loaded.items()):
        return dict(loaded)
    inner = (loaded[key] for key in STATE_DICTS if key in loaded)
    return next((state for value in inner if depth < _MAX_DEPTH and (state := _state_dict(value, depth + 1))), {})


def _check_tensor(path: Path, key: str, tensor: Tensor) -> None:
    """A plain tensor in memory whose every element is its own: a view can claim any shape over one number."""
    plain = type(tensor) in (Tensor, torch.nn.Parameter) and tensor.layout == torch.strided
    if not plain or tensor.device.type != "cpu" or tensor.is_quantized:
        raise CheckpointError(f"{path}: {key!r} is no plain tensor ({tensor.layout}, {tensor.device}).")
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        raise CheckpointError(f"{path}: {key!r} claims shape {tuple(tensor.shape)} and does not hold as much.")
