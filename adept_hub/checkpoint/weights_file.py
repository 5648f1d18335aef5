"""Safetensors files from anywhere: bounded before anything parses them, and without NaN."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from adept_hub.checkpoint.validate import MAX_WEIGHT_BYTES
from adept_hub.errors import AdeptError, CheckpointError, IntegrityError
from adept_hub.io.read import BoundedReader, parse_json

#: A detector of ours has at most 0.1 MB of header; safetensors itself would parse 100 MB of JSON.
MAX_HEADER_BYTES = 1 << 20
#: Of other projects' files, which may hold several networks.
MAX_FOREIGN_HEADER_BYTES = 16 << 20


def check_header(path: Path, error: type[AdeptError], *, longest: int = MAX_HEADER_BYTES) -> None:
    """Bound a file and its header, and refuse one in which a name stands twice.

    The first eight bytes are the length of the header, little-endian; it is JSON.

    Raises:
        AdeptError: of class ``error``: not a regular file, larger than weights are, or not a whole safetensors file.
    """
    with BoundedReader(error, MAX_WEIGHT_BYTES, remedy="Fetch or export it again.").open(path) as stream:
        first = stream.read(8)
        length, size = int.from_bytes(first, "little"), path.stat().st_size
        if len(first) < 8 or not 2 <= length <= min(longest, size - 8):
            raise error(
                f"{path} is not a whole safetensors file: its header claims {length:,} bytes, the file has {size:,}.\n"
                "Fetch or export it again."
            )
        header = stream.read(length)
    parse_json(header, f"{path} is not a whole safetensors file: its header", error, remedy="Fetch or export it again.")


@contextlib.contextmanager
def open_tensors(path: Path, remedy: str = "Fetch or export it again.") -> Iterator[Any]:
    """Open a safetensors file whose header is bounded, as `safetensors.safe_open` does.

    Raises:
        IntegrityError: it is not a regular file, or not a whole safetensors file.
    """
    check_header(path, IntegrityError)
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except (SafetensorError, OSError) as error:
        raise IntegrityError(f"{path} is not a whole safetensors file: {broken(error)}.\n{remedy}") from error


def read_safetensors(path: Path, *, longest: int = MAX_FOREIGN_HEADER_BYTES) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file, mapped from it.

    Raises:
        CheckpointError: the file is missing, too large, damaged, or holds no tensors.
    """
    check_header(path, CheckpointError, longest=longest)
    try:
        state: dict[str, Tensor] = load_file(path)
    except (SafetensorError, OSError, ValueError, MemoryError) as error:
        raise CheckpointError(f"{path} cannot be read: {broken(error)}.") from error
    if not state:
        raise CheckpointError(f"{path} holds no tensors.")
    return state


def broken(error: Exception) -> str:
    """Return what is wrong with a file in one short line; safetensors quotes names and shapes of any length."""
    why = " ".join(str(error).split()) or type(error).__name__
    return why if len(why) < 200 else f"{why[:80]} ... {why[-80:]}"


def check_finite(tensors: Mapping[str, Tensor], where: str, consequence: str) -> None:
    """Refuse NaN and infinity, which would be trained on without a word.

    Args:
        tensors: any; those of integers are finite.
        where: what holds them, in the words of a message.
        consequence: what is not done with such weights: ``"loaded"``.

    Raises:
        CheckpointError: a tensor holds such a value; the message names it.
    """
    for key, tensor in tensors.items():
        if not tensor.is_floating_point():
            continue
        # A sum reads each value once and allocates nothing; it is finite only if all of them are.
        if not torch.isfinite(tensor.sum()) and not torch.isfinite(tensor).all():
            raise CheckpointError(
                f"{where}: {key!r} holds NaN or infinity; such weights are not {consequence}.\n"
                "The run that wrote them had diverged: take an earlier checkpoint of it."
            )
