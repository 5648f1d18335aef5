"""Open a table's Parquet shards and flat NumPy arrays, checked for regular files before a library parses them."""

from __future__ import annotations

import os
import tokenize
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from adept_hub.errors import AdeptError, ProposalsError
from adept_hub.io.read import BoundedReader

#: Of one shard; 100,000 images of 2,000 boxes have 3 GB.
MAX_SHARD = 16 << 30
_SHARD = BoundedReader(ProposalsError, MAX_SHARD, remedy="Remove it and run adept proposals again.")
#: They are mapped, never read whole.
_ARRAY = BoundedReader(ProposalsError, 1 << 62)
#: What pyarrow raises for damaged files.
_DAMAGE = (
    OSError, ValueError, TypeError, LookupError, RecursionError, MemoryError, OverflowError, pa.ArrowException,
)  # fmt: skip
#: What numpy raises in addition for the header of an array; it runs Python's own parser on it.
_HEADER = (EOFError, SyntaxError, tokenize.TokenError)


def read_footer(path: Path) -> pq.FileMetaData:
    """Return a shard's footer: its summary, sizes and metadata.

    Raises:
        ProposalsError: the file is missing, not regular, too large, or not Parquet.
    """
    try:
        with _SHARD.open(path) as stream:
            return pq.read_metadata(stream)
    except AdeptError:
        raise
    except _DAMAGE as error:
        raise damaged(path, error) from error


def count_numbers(path: Path, footer: pq.FileMetaData) -> int:
    """Return the maximum count of numbers in a shard's boxes; a larger summary would allocate too much disk.

    Raises:
        ProposalsError: a column has a name that is not UTF-8, which pyarrow decodes only here.
    """
    groups = (footer.row_group(i) for i in range(footer.num_row_groups))
    columns = (group.column(i) for group in groups for i in range(group.num_columns))
    try:
        return sum(column.num_values for column in columns if column.path_in_schema.startswith("boxes."))
    except _DAMAGE as error:
        raise damaged(path, error) from error


def read_columns(path: Path, wanted: Sequence[pa.Field]) -> pa.Table:
    """Return some columns of a shard: no nulls, and the requested types.

    Raises:
        ProposalsError: the shard is damaged, or written by another program.
    """
    try:
        with _SHARD.open(path) as stream:
            file = pq.ParquetFile(stream)
            schema = file.schema_arrow
            for field in wanted:
                found = schema.field(field.name).type if field.name in schema.names else None
                if found != field.type:
                    raise ProposalsError(
                        f"{path} was not written by adept proposals: its column {field.name!r} is {found}, not "
                        f"{field.type}.\nMake the proposals again: adept proposals IMAGES --out ANOTHER"
                    )
            table = file.read(columns=[field.name for field in wanted], use_threads=False)
        table.validate(full=True)  # names that are not UTF-8, lists whose ends do not fit
        if any(column.null_count for column in table.columns):
            raise pa.ArrowInvalid("a row lacks a value")
        return table
    except AdeptError:
        raise
    except _DAMAGE as error:
        raise damaged(path, error) from error


def damaged(path: Path, error: Exception) -> ProposalsError:
    """Return the error for a shard that cannot be read."""
    reason = " ".join(str(error).split())[:200]
    return ProposalsError(f"{path} is damaged: {reason}.\nRemove it and run adept proposals again.")


def map_arrays(folder: Path, names: Iterable[str]) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays ``NAME.npy`` of a folder, mapped to be read.

    Raises:
        ProposalsError: one is missing, not a regular file, or damaged.
    """
    arrays = {}
    for path in (folder / f"{name}.npy" for name in names):
        _ARRAY.check(path)
        try:
            arrays[path.stem] = np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
        except (*_DAMAGE, *_HEADER) as error:
            raise damaged(path, error) from error
    return arrays


def new_array(path: Path, dtype: npt.DTypeLike, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """Create a memory-mapped array with its space allocated: a full disk would be a bus error later."""
    array = np.lib.format.open_memmap(path, "w+", np.dtype(dtype), shape)
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return array


def sync(folder: Path) -> None:
    """Sync every file of a folder to disk, so that a power cut after its rename leaves no torn arrays."""
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
