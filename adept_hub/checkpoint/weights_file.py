"""Read untrusted safetensors files: sizes are limited before parsing, and NaN is refused."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from adept_hub.checkpoint.validate_config import MAX_WEIGHT_BYTES
from adept_hub.errors import AdeptError, CheckpointError, IntegrityError
from adept_hub.io.read import BoundedReader, parse_json

#: A header of ours has at most 0.1 MB; safetensors itself would parse 100 MB of JSON.
MAX_HEADER_BYTES = 1 << 20
#: Limit for other projects' files, which may contain several networks.
MAX_FOREIGN_HEADER_BYTES = 16 << 20


def check_header(path: Path, error: type[AdeptError], *, longest: int = MAX_HEADER_BYTES) -> None:
    """Check the sizes of a file and its header, and refuse duplicate names in the header.

    The first eight bytes are the length of the header, little-endian; it is JSON.

    Raises:
        AdeptError: of class ``error``: not a regular file, too large, or not a complete safetensors file.
    """
    with BoundedReader(error, MAX_WEIGHT_BYTES, remedy="Fetch or export it again.").open(path) as stream:
        first = stream.read(8)
        length, size = int.from_bytes(first, "little"), path.stat().st_size
        if len(first) < 8 or not 2 <= length <= min(longest, size - 8):
            raise error(
                f"{path} is not a complete safetensors file: the header claims {length:,} bytes, the file has "
                f"{size:,}.\n"
                "Fetch or export it again."
            )
        header = stream.read(length)
    where = f"{path} is not a complete safetensors file: the header"
    parse_json(header, where, error, remedy="Fetch or export it again.")


@contextlib.contextmanager
def open_tensors(path: Path, remedy: str = "Fetch or export it again.") -> Iterator[Any]:
    """Open a safetensors file with `safetensors.safe_open`, after a check of its header.

    Raises:
        IntegrityError: not a regular file, or not a complete safetensors file.
    """
    check_header(path, IntegrityError)
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except (SafetensorError, OSError) as error:
        raise IntegrityError(f"{path} is not a complete safetensors file: {broken(error)}.\n{remedy}") from error


def read_safetensors(path: Path, *, longest: int = MAX_FOREIGN_HEADER_BYTES) -> dict[str, Tensor]:
    """Return the memory-mapped tensors of a safetensors file.

    Raises:
        CheckpointError: the file is missing, too large, damaged, or has no tensors.
    """
    check_header(path, CheckpointError, longest=longest)
    try:
        state: dict[str, Tensor] = load_file(path)
    except (SafetensorError, OSError, ValueError, MemoryError) as error:
        raise CheckpointError(f"{path} cannot be read: {broken(error)}.") from error
    if not state:
        raise CheckpointError(f"{path} has no tensors.")
    return state


def broken(error: Exception) -> str:
    """Return the error of safetensors as one short line; it quotes names and shapes of any length."""
    why = " ".join(str(error).split()) or type(error).__name__
    return why if len(why) < 200 else f"{why[:80]} ... {why[-80:]}"


def check_finite(tensors: Mapping[str, Tensor], where: str, consequence: str) -> None:
    """Refuse NaN and infinity, with which training would fail silently.

    Args:
        tensors: tensors of any dtype.
        where: their file or folder, for the message.
        consequence: what is refused, for the message, such as ``"loaded"``.

    Raises:
        CheckpointError: a tensor has such a value; the message has its name.
    """
    for key, tensor in tensors.items():
        if not tensor.is_floating_point():
            continue
        # A sum reads each value once, allocates nothing, and is finite only if all values are.
        if not torch.isfinite(tensor.sum()) and not torch.isfinite(tensor).all():
            raise CheckpointError(
                f"{where}: {key!r} contains NaN or infinity; such weights are not {consequence}.\n"
                "The run that wrote them had diverged: use an earlier checkpoint of it."
            )
