"""The table at training time: memory-mapped arrays, looked up by key in microseconds.

Parquet is for keeping and exchanging; it has no random access. ``ProposalTable.open`` therefore unpacks the shards
once into flat arrays next to them (``index/``, made again whenever a shard has changed) and maps those: any number of
loader processes share one copy in the page cache, and pickling a table sends its path.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from adept_hub.errors import ProposalsError
from adept_hub.words.text import is_utf8, one_line
from adept_training.proposals.search.boxes import Boxes
from adept_training.proposals.table.index import Index, hash_of, open_index


class ProposalTable:
    """Proposals of many images. Open with ``ProposalTable.open(folder)``."""

    def __init__(self, folder: Path, index: Index) -> None:
        self.folder = folder
        arrays = index.arrays
        self._boxes, self._starts, self._sizes = arrays["boxes_B4"], arrays["starts"], arrays["sizes_R2"]
        self._fallback, self._sha256 = arrays["fallback_R"], arrays["sha256_R32"]
        self._keys, self._key_starts = arrays["keys"], arrays["key_starts"]
        self._hashes, self._rows = arrays["hashes_R"], arrays["rows_R"]
        self.metadata: dict[str, Any] = index.plan

    @classmethod
    def open(cls, folder: str | Path) -> ProposalTable:
        """Open a finished table.

        Raises:
            ProposalsError: the table is missing, unfinished or written by another program, or has boxes that are not
                    finite or leave their images.
            DiskFullError: the disk has no space for the index.
        """
        path = Path(folder)
        return cls(path, open_index(path))

    def __reduce__(self) -> tuple[Callable[[Path], ProposalTable], tuple[Path]]:
        return ProposalTable.open, (self.folder,)

    def __len__(self) -> int:
        return len(self._sizes)

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and self._find(key) >= 0

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def keys(self) -> list[str]:
        """Return every key, in the order of the image source."""
        blob, starts = self._keys.tobytes(), self._key_starts.tolist()
        return [blob[a:b].decode("utf-8") for a, b in itertools.pairwise(starts)]

    def boxes(self, key: str) -> Boxes:
        """Return float32 (N, 4) xyxy in pixels of the image: a read-only view of the mapped file."""
        row = self._row(key)
        return self._boxes[self._starts[row] : self._starts[row + 1]]

    def size(self, key: str) -> tuple[int, int]:
        """Return (width, height) of the image in pixels."""
        width, height = self._sizes[self._row(key)].tolist()
        return width, height

    def fallback(self, key: str) -> bool:
        """Check whether the preset's filter left nothing, so that the boxes are a fallback."""
        return bool(self._fallback[self._row(key)])

    @property
    def fallbacks(self) -> int:
        """Return the number of images whose boxes are a fallback."""
        return int(self._fallback.sum())

    def sha256(self, key: str) -> bytes:
        """Return the SHA-256 of the encoded image (32 bytes) that the boxes were computed on."""
        return bytes(self._sha256[self._row(key)])

    def check_size(self, key: str, size: tuple[int, int]) -> None:
        """Compare (width, height) of a decoded image with the size that its boxes were computed on.

        Raises:
            ProposalsError: they differ.
        """
        if size != self.size(key):
            (width, height), (recorded_width, recorded_height) = size, self.size(key)
            raise ProposalsError(
                f"{one_line(key)} has {width} x {height} pixels; its proposals in {self.folder} are of an image of "
                f"{recorded_width} x {recorded_height}.\nMake the proposals again: adept proposals IMAGES --out ANOTHER"
            )

    def unreadable(self) -> set[str]:
        """Return keys of the images that have no row because they could not be read."""
        from adept_training.proposals.table.shards import read_plan, shard_note

        plan = read_plan(self.folder)
        notes = (shard_note(self.folder, plan, shard) for shard in range(plan.shards))
        return {item["key"] for note in notes for item in note["unreadable"]}

    def _row(self, key: str) -> int:
        row = self._find(key)
        if row < 0:
            raise ProposalsError(
                f"No proposals for {key!r} in {self.folder}.\n"
                "The table belongs to other images, or that image could not be read: see unreadable.jsonl next to it."
            )
        return row

    def _find(self, key: str) -> int:
        if not is_utf8(key):  # its image is among the unreadable ones
            return -1
        name = key.encode("utf-8")
        wanted = hash_of(name)
        place = int(self._hashes.searchsorted(wanted))
        while place < len(self._hashes) and self._hashes[place] == wanted:
            row = int(self._rows[place])
            if self._keys[self._key_starts[row] : self._key_starts[row + 1]].tobytes() == name:
                return row
            place += 1
        return -1
