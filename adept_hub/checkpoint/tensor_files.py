"""Read other projects' .pth files: only tensors; any other import is refused by name.

torch's ``weights_only`` unpickler reads the file; claimed sizes, which it does not limit, are checked before and after.
This module never writes a pickle.
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

from adept_hub.checkpoint.validate_config import MAX_WEIGHT_BYTES
from adept_hub.errors import CheckpointError, PickleRefusedError
from adept_hub.io.read import BoundedReader

#: Keys of the state dict in a checkpoint, outermost first; SoCo and MoCo: ``model``; MMDetection: ``state_dict``;
#: VISSL: ``classy_state_dict``, ``base_model``, ``model``, ``trunk``; SimCLRv2-Pytorch: ``resnet``.
STATE_DICTS = (
    "state_dict", "model", "model_state", "model_state_dict", "network", "classy_state_dict", "base_model", "trunk",
    "resnet",
)  # fmt: skip
_MAX_DEPTH = 4
_MAGIC = 0x1950A86A20F9469CFC6C  # torch.save before 1.6 begins with it, pickled
_MAX_PICKLE_BYTES = 64 << 20
_MAX_ENTRIES = 100_000
#: Plain values that training scripts save with their weights. Their classes run no code when they are rebuilt.
_HARMLESS = (argparse.Namespace,)
#: Exceptions from reading a damaged or hostile file.
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
    """Read the state dict of a file from ``torch.save`` on the CPU; no code in the file is executed.

    Args:
        path: a .pth, .pt, .bin or .ckpt file, in torch's zip format (memory-mapped) or in that from before torch 1.6.

    Returns:
        Tensors by name: the top-level mapping, or the one under `STATE_DICTS`.

    Raises:
        PickleRefusedError: the file would import something other than a tensor; the message quotes its name.
        CheckpointError: the file is damaged, claims a larger size than its own, or has no state dict.
    """
    BoundedReader(CheckpointError, MAX_WEIGHT_BYTES).check(path)
    size = path.stat().st_size
    try:
        is_zip = zipfile.is_zipfile(path)  # raises for some damaged archives
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
            f"{path} has no state dict: no mapping of names to tensors at the top level or under "
            f"{', '.join(STATE_DICTS)}."
        )
    for key, tensor in state.items():
        _check_tensor(path, key, tensor)
    return state


def _check_archive(path: Path, size: int) -> None:
    """Refuse an archive that unpacks to more bytes than its own: torch does not compress."""
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        if len(entries) > _MAX_ENTRIES:
            raise ValueError(f"it has {len(entries):,} entries")
        if len({entry.filename for entry in entries}) < len(entries):
            raise ValueError("two of its entries have the same name")
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
    """Check the old format: pickles of a magic number, the version, the system and the object, then the storages."""
    with path.open("rb") as stream:
        first = list(pickletools.genops(_one_pickle(stream)))
        if not any(opcode.name.startswith("LONG") and argument == _MAGIC for opcode, argument, _ in first):
            imported = next(_globals(first), None)
            if imported:
                raise pickle.UnpicklingError(f"GLOBAL {imported}")
            raise ValueError("it is a pickle, but not from torch.save")
        for _ in range(2):
            _one_pickle(stream)
        _check_numbers(_one_pickle(stream), size)


def _one_pickle(stream: Any) -> bytes:
    """Return the bytes of the next pickle in a stream, disassembled but not executed."""
    start = stream.tell()
    for _ in pickletools.genops(stream):
        if stream.tell() - start > _MAX_PICKLE_BYTES:
            raise ValueError("a pickle has no end")
    end = stream.tell()
    stream.seek(start)
    content: bytes = stream.read(end - start)
    return content


def _check_numbers(content: bytes, size: int) -> None:
    """Refuse a storage that claims more elements than the file has bytes, since it is allocated before it is read.

    A storage is a tuple that ends in its number of elements (before torch 1.6: and None), followed by BINPERSID.
    """
    recent: list[tuple[str, Any]] = []
    for opcode, argument, _ in pickletools.genops(content):
        if opcode.name in ("BINPERSID", "PERSID"):
            names = [name for name, _ in recent]
            count = recent[-3 if names[-2:] == ["NONE", "TUPLE"] else -2 :][:1]
            if names[-1:] != ["TUPLE"] or not count or count[0][0].endswith("GET"):
                raise ValueError("a storage has no size")
            if isinstance(count[0][1], int) and not 0 <= count[0][1] <= size:  # torch refuses other types
                raise ValueError(f"a storage claims {count[0][1]:,} elements in a file of {size:,} bytes")
        if not opcode.name.endswith("PUT") and opcode.name != "MEMOIZE":
            value = argument if opcode.name.startswith(("BININT", "INT", "LONG")) and "GET" not in opcode.name else None
            recent = [*recent[-2:], (opcode.name, value)]


def _globals(operations: list[tuple[Any, Any, Any]]) -> Iterator[str]:
    """Yield the names that a pickle would import, in order."""
    texts: list[str] = []
    for opcode, argument, _ in operations:
        if opcode.name == "GLOBAL":
            yield str(argument).replace(" ", ".")
        elif opcode.name == "STACK_GLOBAL" and len(texts) > 1:
            yield ".".join(texts[-2:])
        elif isinstance(argument, str):
            texts.append(argument)


def _explain(path: Path, error: Exception) -> CheckpointError:
    imported = re.search(r"GLOBAL ([\w.]+)", str(error))
    if imported:
        return PickleRefusedError(
            f"{path} would import {imported[1]} when loaded, which could run code; only tensors are loaded.\n"
            "If you trust it, save only its state dict: torch.save(checkpoint['model'], 'tensors.pth')"
        )
    reasons = [line.strip() for line in str(error).splitlines() if line.strip()]
    return CheckpointError(
        f"{path} is not a valid file of tensors: {(reasons or [type(error).__name__])[-1][:200]}\n"
        "Download it again; only safetensors, and files of torch.save with only tensors, are supported."
    )


def _state_dict(loaded: object, depth: int = 0) -> dict[str, Tensor]:
    if not isinstance(loaded, Mapping):
        return {}
    if loaded and all(isinstance(k, str) and isinstance(v, Tensor) for k, v in loaded.items()):
        return dict(loaded)
    inner = (loaded[key] for key in STATE_DICTS if key in loaded)
    return next((state for value in inner if depth < _MAX_DEPTH and (state := _state_dict(value, depth + 1))), {})


def _check_tensor(path: Path, key: str, tensor: Tensor) -> None:
    """Check for a dense CPU tensor without overlapping elements: a view can claim any shape over one number."""
    plain = type(tensor) in (Tensor, torch.nn.Parameter) and tensor.layout == torch.strided
    if not plain or tensor.device.type != "cpu" or tensor.is_quantized:
        raise CheckpointError(f"{path}: {key!r} is not a plain tensor ({tensor.layout}, {tensor.device}).")
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        raise CheckpointError(f"{path}: {key!r} claims shape {tuple(tensor.shape)}, but has less data.")
