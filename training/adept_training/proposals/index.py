"""The flat arrays behind a table: made once from its shards, mapped by every process that reads it.

Legend: R rows (images), B boxes of all rows; 4 = x1, y1, x2, y2 in pixels of the photograph, continuous.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from adept_hub.errors import ProposalsError

_INDEX = "index"
ARRAYS = ("boxes_B4", "starts", "sizes_R2", "fallback_R", "sha256_R32", "keys", "key_starts", "hashes_R", "rows_R")


def hash_of(name: bytes) -> np.uint64:
    """The hash by which the index is sorted; collisions are settled by the name itself."""
    return np.uint64(int.from_bytes(hashlib.blake2b(name, digest_size=8).digest(), "little"))


def index_of(folder: Path) -> Path:
    """The folder of the mapped arrays, made when it is missing or older than the shards."""
    from adept_training.proposals.shards import raise_if_full, read_plan

    plan = read_plan(folder)
    stamp = hashlib.sha256(plan.as_json().encode())
    for shard in range(plan.shards):
        path = folder / plan.part(shard)
        if not path.is_file():
            raise ProposalsError(
                f"The proposals in {folder} are not finished: {path.name} of {plan.shards} shards is missing.\n"
                "Run the same adept proposals command again: it continues where it stopped."
            )
        status = path.stat()
        stamp.update(f"{status.st_size} {status.st_mtime_ns} ".encode())
    fingerprint = stamp.hexdigest()
    # A table on a read-only disk is indexed in the user's cache.
    homes = [folder / _INDEX, Path.home() / ".cache" / "adept_hub" / "proposals" / fingerprint[:32]]
    for index in homes:
        if _is_current(index, fingerprint):
            return index
    for index in homes:
        if os.access(index.parent if index.parent == folder else Path.home(), os.W_OK):
            try:
                return _build(folder, index, fingerprint)
            except OSError as error:
                raise_if_full(error, index.parent)
                raise ProposalsError(f"The index {index} cannot be written: {error.strerror}.") from error
    raise ProposalsError(f"Neither {folder} nor {Path.home()} can be written, so that no index can be made.")


def _is_current(index: Path, fingerprint: str) -> bool:
    stamp = index / "fingerprint"
    return stamp.is_file() and stamp.read_text() == fingerprint


def _build(folder: Path, index: Path, fingerprint: str) -> Path:
    from adept_training.proposals.shards import read_plan, read_shard, shard_note

    plan = read_plan(folder)
    notes = [shard_note(folder, plan, shard) for shard in range(plan.shards)]
    rows, boxes = sum(note["rows"] for note in notes), sum(note["boxes"] for note in notes)
    if rows == 0:
        raise ProposalsError(f"The table in {folder} has no rows: none of its images could be read.")
    index.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=".index.", suffix=".tmp", dir=index.parent))
    temporary.chmod(0o755)  # a table is shared; mkdtemp is private
    try:
        boxes_B4 = np.lib.format.open_memmap(temporary / "boxes_B4.npy", "w+", np.dtype(np.float32), (boxes, 4))
        starts = np.zeros(rows + 1, np.int64)
        sizes_R2 = np.zeros((rows, 2), np.int32)
        fallback_R = np.zeros(rows, np.bool_)
        sha256_R32 = np.zeros((rows, 32), np.uint8)
        names: list[bytes] = []
        row = box = 0
        for shard, note in enumerate(notes):
            table = read_shard(folder, plan, shard).combine_chunks()
            end, box_end = row + note["rows"], box + note["boxes"]
            names += [name.encode("utf-8") for name in table["key"].to_pylist()]
            sizes_R2[row:end, 0], sizes_R2[row:end, 1] = table["width"].to_numpy(), table["height"].to_numpy()
            fallback_R[row:end] = table["fallback"].to_numpy()
            sha256_R32[row:end] = np.frombuffer(b"".join(table["sha256"].to_pylist()), np.uint8).reshape(-1, 32)
            lists = table["boxes"].combine_chunks()
            starts[row + 1 : end + 1] = box + np.cumsum(lists.value_lengths().to_numpy(zero_copy_only=False))
            boxes_B4[box:box_end] = lists.flatten().flatten().to_numpy().reshape(-1, 4)
            row, box = end, box_end
        hashes_R = np.array([hash_of(name) for name in names], np.uint64)
        rows_R = np.argsort(hashes_R, kind="stable").astype(np.int32)
        _save(temporary, "starts", starts)
        _save(temporary, "sizes_R2", sizes_R2)
        _save(temporary, "fallback_R", fallback_R)
        _save(temporary, "sha256_R32", sha256_R32)
        _save(temporary, "keys", np.frombuffer(b"".join(names), np.uint8))
        _save(temporary, "key_starts", np.cumsum([0, *map(len, names)], dtype=np.int64))
        _save(temporary, "hashes_R", hashes_R[rows_R])
        _save(temporary, "rows_R", rows_R)
        (temporary / "plan.json").write_text(plan.as_json(), encoding="utf-8")
        (temporary / "fingerprint").write_text(fingerprint)
        return _move(temporary, index, fingerprint)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _save(folder: Path, name: str, array: npt.NDArray[Any]) -> None:
    np.save(folder / f"{name}.npy", array)


def _move(temporary: Path, index: Path, fingerprint: str) -> Path:
    if index.exists() and not _is_current(index, fingerprint):
        shutil.rmtree(index)
    try:
        temporary.replace(index)
    except OSError:
        if not _is_current(index, fingerprint):  # else another process was faster
            raise
    return index
