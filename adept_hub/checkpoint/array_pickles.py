"""Read Detectron2's .pkl files, NumPy arrays in a pickle, without importing or executing anything.

``convert-pretrain-to-detectron2.py`` of MoCo, DenseCL and DetCo writes such files, and DetCo publishes no others. The
unpickler supports only what they need: the names in them are replaced by the inert classes below, any other name is
refused, and only these classes accept a state.
"""

from __future__ import annotations

import io
import math
import pickle
import pickletools
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from adept_hub.checkpoint.validate_config import MAX_WEIGHT_BYTES
from adept_hub.errors import CheckpointError, PickleRefusedError

_DTYPES = {
    "f2": torch.float16, "f4": torch.float32, "f8": torch.float64,
    "u1": torch.uint8, "i4": torch.int32, "i8": torch.int64,
}  # fmt: skip
#: The first bytes of torch.save before 1.6: its magic number, pickled.
_TORCH = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
_DAMAGE = (
    ValueError, TypeError, LookupError, AttributeError, ArithmeticError, MemoryError, RecursionError, EOFError, OSError,
    struct.error, pickle.UnpicklingError,
)  # fmt: skip


def is_array_pickle(path: Path) -> bool:
    """Check for a plain pickle by the first bytes; ``torch.save`` writes another header (since 1.6 a zip archive)."""
    with path.open("rb") as stream:
        head = stream.read(len(_TORCH))
    return head[:1] == b"\x80" and head != _TORCH


def load_arrays_only(path: Path) -> dict[str, Tensor]:
    """Read the arrays of a Detectron2 .pkl, under ``model`` or at the top level, as tensors.

    Raises:
        PickleRefusedError: the file contains a name other than an array's; the message quotes it.
        CheckpointError: the file is damaged, claims a larger size than its own, or has no arrays.
    """
    if path.stat().st_size > MAX_WEIGHT_BYTES:
        raise CheckpointError(f"{path} has {path.stat().st_size:,} bytes; at most {MAX_WEIGHT_BYTES:,} are read.")
    try:
        stream = io.BytesIO(path.read_bytes())
        for _ in pickletools.genops(stream):  # fails for lengths beyond the end of the file
            pass
        stream.seek(0)
        reader = _Reader(stream, path.stat().st_size)
        loaded = reader.load()
        inside = loaded.get("model", loaded) if isinstance(loaded, Mapping) else {}
        for value in inside.values():
            reader.charge(len(value.raw) if isinstance(value, _Array) else 0)
        state = {key: value.tensor() for key, value in inside.items() if isinstance(value, _Array)}
    except _Refused as error:
        raise PickleRefusedError(
            f"{path} would import {error} when loaded, which could run code; only arrays are loaded."
        ) from error
    except _DAMAGE as error:
        raise CheckpointError(f"{path} is not a valid file of arrays: {str(error)[:200]}") from error
    if not state or len(state) != len(inside) or not all(isinstance(key, str) for key in state):
        raise CheckpointError(f"{path} has no mapping of names to arrays, neither at the top level nor under 'model'.")
    return state


class _Refused(Exception):  # noqa: N818  # a signal inside this module
    """A name that is not needed for arrays."""


class _Dtype:
    """Stand-in for numpy.dtype."""

    def __init__(self, code: str, *_: object) -> None:
        self.code, self.order = code, "|"

    def set_state(self, state: Any) -> None:
        self.order = state[1]


class _Array:
    """Stand-in for numpy.ndarray, and for the function that creates an empty one before its state is set."""

    raw: bytes = b""

    def __init__(self, *_: object) -> None:
        self.shape, self.dtype, self.fortran = (0,), _Dtype("f4"), False

    def set_state(self, state: Any) -> None:
        _, self.shape, self.dtype, self.fortran, raw = state
        self.raw = raw.encode("latin1") if isinstance(raw, str) else raw  # Python 2 pickles have str

    def tensor(self) -> Tensor:
        """Return the values; refuse bytes that do not match the shape, and dtypes that no network has."""
        if self.dtype.code not in _DTYPES or self.dtype.order not in "<|=":
            raise ValueError(f"an array of type {self.dtype.order}{self.dtype.code}")
        dtype, shape = _DTYPES[self.dtype.code], tuple(self.shape)
        if any(n < 0 for n in shape) or math.prod(shape) * dtype.itemsize != len(self.raw):
            raise ValueError(f"{len(self.raw)} bytes for an array of shape {shape}")
        if not self.raw:
            return torch.zeros(shape, dtype=dtype)
        flat = torch.frombuffer(bytearray(self.raw), dtype=dtype)
        return flat.reshape(shape[::-1]).permute(*reversed(range(len(shape)))) if self.fortran else flat.reshape(shape)


class _Reader(pickle._Unpickler):
    """Python's unpickler written in Python, whose memo cannot be made to allocate memory.

    Every copy is charged, since a few bytes of a pickle can repeat the same megabyte many times. A valid file of arrays
    is copied at most three times: as text, as bytes and into tensors.
    """

    dispatch: ClassVar[dict[int, Any]] = dict(pickle._Unpickler.dispatch)

    def __init__(self, stream: io.BytesIO, size: int) -> None:
        super().__init__(stream, encoding="latin1")
        self._left = 4 * size + 4096

    def charge(self, count: int) -> None:
        """Subtract this number of bytes, or entries, from the file's budget."""
        self._left -= count
        if self._left < 0:
            raise ValueError("it repeats the same bytes too often")

    def find_class(self, module: str, name: str) -> Any:
        """Return the stand-in for an allowed name."""
        match module.replace("numpy._core", "numpy.core"), name:
            case ("numpy", "ndarray") | ("numpy.core.multiarray", "_reconstruct"):
                return _Array
            case ("numpy", "dtype"):
                return _Dtype
            case ("__builtin__", "bytes"):  # protocol 2: an empty array's bytes
                return lambda: b""
            case ("_codecs", "encode"):  # protocol 2: bytes
                return lambda text, _: self._charged(text).encode("latin1")
            case ("collections", "OrderedDict"):  # Python 2: from its pairs
                return lambda pairs=(): dict(self._charged(pairs))
            case ("numpy.core.numeric", "_frombuffer"):  # protocol 5: an array
                return self._from_buffer
        raise _Refused(f"{module}.{name}")

    def _charged(self, copied: Any) -> Any:
        self.charge(len(copied))
        return copied

    def _from_buffer(self, raw: bytes, dtype: _Dtype, shape: tuple[int, ...], order: str) -> _Array:
        array = _Array()
        array.set_state((1, shape, dtype, order == "F", self._charged(raw)))
        return array

    def load_build(self) -> None:
        """Set the state of the object on the stack, which must be an array or a dtype."""
        stack: list[Any] = self.stack  # type: ignore[attr-defined]  # not in its stub
        state = stack.pop()
        if not isinstance(stack[-1], (_Array, _Dtype)):
            raise _Refused(f"a state for {type(stack[-1]).__name__}")
        if isinstance(stack[-1], _Array):
            self.charge(len(state[4]))
        stack[-1].set_state(state)

    dispatch[pickle.BUILD[0]] = load_build
