"""The flat arrays behind a table: built once from its shards, mapped by every process that reads it.

Legend: R rows (images), B boxes of all rows; 4 = x1, y1, x2, y2 in pixels of the image, continuous.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from adept_hub.errors import ProposalsError
from adept_hub.io.disk_errors import disk_errors
from adept_hub.io.read import BoundedReader
from adept_training.proposals.table.files import map_arrays, new_array, sync

_DOOR = BoundedReader(ProposalsError)
_INDEX = "index"
#: Version of the index; an older one is built again.
_VERSION = 2
#: Name, type and number of columns (0: one-dimensional) of each array.
_ARRAYS: dict[str, tuple[npt.DTypeLike, int]] = {
    "boxes_B4": (np.float32, 4), "starts": (np.int64, 0), "sizes_R2": (np.int32, 2), "fallback_R": (np.bool_, 0),
    "sha256_R32": (np.uint8, 32), "keys": (np.uint8, 0), "key_starts": (np.int64, 0), "hashes_R": (np.uint64, 0),
    "rows_R": (np.int32, 0),
}  # fmt: skip
#: Pixels by which boxes may exceed the image: half of one is lost in float32 at sides of millions.
_TOLERANCE = 0.5

Arrays = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Index:
    """The arrays of a table, mapped from disk, and its plan as a dictionary."""

    arrays: Arrays
    plan: dict[str, Any]


def hash_of(name: bytes) -> np.uint64:
    """Return the hash by which the index is sorted; collisions are settled by the name itself."""
    return np.uint64(int.from_bytes(hashlib.blake2b(name, digest_size=8).digest(), "little"))


def open_index(folder: Path) -> Index:
    """Open the index of a table; build it if it is missing, damaged or older than the shards.

    Raises:
        ProposalsError: the table is missing, unfinished or foreign, or boxes are outside their images.
    """
    from adept_training.proposals.table.shards import read_plan

    plan = read_plan(folder)
    stamp = hashlib.sha256(f"{_VERSION} {plan.as_json()}".encode())
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
        if (found := _load(index, fingerprint)) is not None:
            return Index(found, plan.as_dict())
    for index in homes:
        if os.access(index.parent if index.parent == folder else Path.home(), os.W_OK):
            with disk_errors(index):
                return Index(_build(folder, index, fingerprint), plan.as_dict())
    raise ProposalsError(f"Neither {folder} nor {Path.home()} can be written, so that no index can be made.")


def _load(index: Path, fingerprint: str) -> Arrays | None:
    """Load the arrays of the index in that folder; return None if it is missing, old, or incomplete."""
    try:
        if _DOOR.text(index / "fingerprint") != fingerprint:
            return None
        arrays = map_arrays(index, _ARRAYS)
    except ProposalsError:
        return None
    return arrays if _fits(arrays) else None


def _fits(arrays: Arrays) -> bool:
    """Check the types of the arrays, and the sizes that follow from each other."""
    for name, (kind, columns) in _ARRAYS.items():
        array = arrays[name]
        if array.dtype != kind or array.ndim != 1 + bool(columns) or (columns and array.shape[1] != columns):
            return False
    rows, starts, key_starts = len(arrays["sizes_R2"]), arrays["starts"], arrays["key_starts"]
    return (
        all(len(arrays[name]) == rows for name in ("fallback_R", "sha256_R32", "hashes_R", "rows_R"))
        and all(len(ends) == rows + 1 and ends[0] == 0 for ends in (starts, key_starts))
        and starts[-1] == len(arrays["boxes_B4"])
        and key_starts[-1] == len(arrays["keys"])
        and bool((np.diff(starts) >= 0).all() and (np.diff(key_starts) >= 0).all())
        and bool(rows == 0 or 0 <= arrays["rows_R"].min() <= arrays["rows_R"].max() < rows)
    )


def _build(folder: Path, index: Path, fingerprint: str) -> Arrays:
    from adept_training.proposals.table.shards import read_plan, read_shard, shard_note

    plan = read_plan(folder)
    notes = [shard_note(folder, plan, shard) for shard in range(plan.shards)]
    rows, boxes = sum(note["rows"] for note in notes), sum(note["boxes"] for note in notes)
    if rows == 0:
        raise ProposalsError(f"The table in {folder} has no rows: none of its images could be read.")
    index.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=".index.", suffix=".tmp", dir=index.parent))
    temporary.chmod(0o755)  # a table is shared; mkdtemp is private
    try:
        boxes_B4 = new_array(temporary / "boxes_B4.npy", np.float32, (boxes, 4))
        starts = np.zeros(rows + 1, np.int64)
        sizes_R2 = np.zeros((rows, 2), np.int32)
        fallback_R = np.zeros(rows, np.bool_)
        sha256_R32 = np.zeros((rows, 32), np.uint8)
        names: list[bytes] = []
        faults = _Faults()
        row = box = 0
        for shard, note in enumerate(notes):
            table = read_shard(folder, plan, shard).combine_chunks()
            end, box_end = row + note["rows"], box + note["boxes"]
            lists = table["boxes"].combine_chunks()
            flat = lists.flatten().flatten()
            if len(table) != note["rows"] or len(flat) != 4 * note["boxes"] or flat.null_count:
                raise ProposalsError(
                    f"{folder / plan.part(shard)} has {len(table)} rows and {len(flat) / 4:g} boxes where its own "
                    f"summary has {note['rows']} and {note['boxes']}.\nRemove it and run adept proposals again."
                )
            keys = table["key"].to_pylist()
            names += [name.encode("utf-8") for name in keys]
            sizes_R2[row:end, 0], sizes_R2[row:end, 1] = table["width"].to_numpy(), table["height"].to_numpy()
            fallback_R[row:end] = table["fallback"].to_numpy()
            sha256_R32[row:end] = np.frombuffer(b"".join(table["sha256"].to_pylist()), np.uint8).reshape(-1, 32)
            counts_R = lists.value_lengths().to_numpy(zero_copy_only=False)
            starts[row + 1 : end + 1] = box + np.cumsum(counts_R)
            boxes_B4[box:box_end] = flat.to_numpy().reshape(-1, 4)
            faults.look(boxes_B4[box:box_end], counts_R, sizes_R2[row:end], keys)
            row, box = end, box_end
        faults.refuse(folder)
        cast("np.memmap[Any, Any]", boxes_B4).flush()
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
        (temporary / "fingerprint").write_text(fingerprint, encoding="utf-8")
        sync(temporary)
        return _move(temporary, index, fingerprint)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@dataclass
class _Faults:
    """Boxes that are not finite, have no area or leave their image, and the first image with one."""

    boxes: int = 0
    images: int = 0
    first: str = ""

    def look(
        self, boxes_B4: npt.NDArray[np.float32], counts_R: npt.NDArray[Any], sizes_R2: npt.NDArray[np.int32],
        names: list[str],
    ) -> None:  # fmt: skip
        """Count those of one shard."""
        sides_B2 = np.repeat(sizes_R2, counts_R, axis=0)
        sound_B = (  # every comparison with NaN is false
            (boxes_B4[:, :2] >= -_TOLERANCE).all(axis=1)
            & (boxes_B4[:, 2:] <= sides_B2 + _TOLERANCE).all(axis=1)
            & (boxes_B4[:, 2:] > boxes_B4[:, :2]).all(axis=1)
        )
        faulty_R = np.asarray((sizes_R2 <= 0).any(axis=1))
        faulty_R[np.repeat(np.arange(len(names)), counts_R)[~sound_B]] = True
        self.boxes += int((~sound_B).sum())
        self.images += int(faulty_R.sum())
        self.first = self.first or next((names[row] for row in np.flatnonzero(faulty_R)), "")

    def refuse(self, folder: Path) -> None:
        """Raise ProposalsError if there are any."""
        if self.images:
            raise ProposalsError(
                f"The table in {folder} is damaged: {self.boxes} boxes of {self.images} images are not finite, have no "
                f"area or leave their image; the first image: {self.first!r:.120}.\n"
                "Make the proposals again: adept proposals IMAGES --out ANOTHER"
            )


def _save(folder: Path, name: str, array: npt.NDArray[Any]) -> None:
    np.save(folder / f"{name}.npy", array)


def _move(temporary: Path, index: Path, fingerprint: str) -> Arrays:
    if index.exists() and _load(index, fingerprint) is None:
        shutil.rmtree(index)
    try:
        temporary.replace(index)
    except OSError:
        if _load(index, fingerprint) is None:  # else another process was faster
            raise
    found = _load(index, fingerprint)
    if found is None:
        raise ProposalsError(f"The index {index} was changed while it was made.\nRun the same command again.")
    return found
