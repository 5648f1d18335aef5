"""The table on disk: ``plan.json`` and ``part-00000.parquet``, ... , each written whole or not at all.

One row per image: key (string), width and height (int32, pixels), boxes (list of float32 x1, y1, x2, y2 in pixels of
the image, continuous), fallback (bool), sha256 of the encoded image (32 bytes). The plan is also in every shard's
metadata, so that a shard alone records how it was made.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from adept_hub.errors import ProposalsError
from adept_hub.io.read import BoundedReader, parse_json
from adept_hub.io.write import atomic_file
from adept_training.proposals.search.boxes import Boxes
from adept_training.proposals.table.files import count_numbers, read_columns, read_footer

FORMAT = "adept-proposals"
FORMAT_VERSION = 1
PLAN_FILE = "plan.json"
UNREADABLE_FILE = "unreadable.jsonl"
_PLAN_KEY, _SHARD_KEY = b"adept_proposals", b"adept_shard"

_COLUMNS = [
    pa.field("key", pa.string(), nullable=False),
    pa.field("width", pa.int32(), nullable=False),
    pa.field("height", pa.int32(), nullable=False),
    pa.field("boxes", pa.list_(pa.list_(pa.float32(), 4)), nullable=False),
    pa.field("fallback", pa.bool_(), nullable=False),
    pa.field("sha256", pa.binary(32), nullable=False),
]


@dataclass(frozen=True)
class ProposalRow:
    """The proposals of one image."""

    key: str
    width: int
    height: int
    boxes: Boxes  # float32 (N, 4) xyxy
    fallback: bool
    sha256: bytes


@dataclass(frozen=True)
class Unreadable:
    """An image without a row, and the reason."""

    key: str
    reason: str


@dataclass(frozen=True)
class TablePlan:
    """Contents of a table: images, shards, and parameters. Equal plans give equal tables."""

    images: int
    shard_size: int  # images per shard, unreadable ones included
    keys_sha256: str  # of the keys joined by line feeds
    preset: dict[str, Any]
    engine: dict[str, str]  # the implementation and the libraries its boxes depend on
    decoder: str

    @property
    def shards(self) -> int:
        return -(-self.images // self.shard_size)

    def part(self, shard: int) -> str:
        return f"part-{shard:05d}.parquet"

    def as_dict(self) -> dict[str, Any]:
        return {"format": FORMAT, "version": FORMAT_VERSION, **asdict(self)}

    def as_json(self) -> str:
        return json.dumps(self.as_dict(), sort_keys=True)


def keys_digest(keys: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for key in keys:
        digest.update(key.encode("utf-8", "surrogateescape") + b"\n")
    return digest.hexdigest()


def read_plan(folder: Path) -> TablePlan:
    """Read the plan of a table. Raises ProposalsError if there is none, or if it has another format."""
    path = folder / PLAN_FILE
    if not os.path.lexists(path):
        raise ProposalsError(
            f"No proposals in {folder} (it has no {PLAN_FILE}).\nMake them: adept proposals IMAGES --out {folder}"
        )
    content = BoundedReader(ProposalsError, remedy="Make the proposals again in another folder.").json(path)
    found = (content.pop("format", None), content.pop("version", None)) if isinstance(content, dict) else (None, None)
    if found != (FORMAT, FORMAT_VERSION) or not _is_plan(content):
        raise ProposalsError(
            f"{path} was not written by this version of adept proposals (format {found[0]!r:.40}, version "
            f"{found[1]!r:.20}).\nMake the proposals again: adept proposals IMAGES --out ANOTHER"
        )
    return TablePlan(**content)


def _is_plan(content: dict[str, Any]) -> bool:
    """Check that the fields are those of a plan, each of its type."""
    if set(content) != set(TablePlan.__dataclass_fields__):
        return False
    preset, engine = content["preset"], content["engine"]
    return (
        all(type(content[name]) is int and content[name] > 0 for name in ("images", "shard_size"))
        and all(isinstance(content[name], str) for name in ("keys_sha256", "decoder"))
        and isinstance(preset, dict)
        and isinstance(preset.get("name"), str)
        and isinstance(engine, dict)
        and isinstance(engine.get("name"), str)
        and all(isinstance(value, str) for value in engine.values())
    )


def write_shard(
    folder: Path, plan: TablePlan, shard: int, rows: Sequence[ProposalRow], unreadable: Sequence[Unreadable]
) -> None:
    """Write one shard, whole or not at all. Raises DiskFullError."""
    note = {
        "shard": shard,
        "boxes": sum(len(row.boxes) for row in rows),
        "fallbacks": sum(row.fallback for row in rows),
        "unreadable": [asdict(item) for item in unreadable],
    }
    schema = pa.schema(_COLUMNS, metadata={_PLAN_KEY: plan.as_json(), _SHARD_KEY: json.dumps(note)})
    starts = np.cumsum([0, *(len(row.boxes) for row in rows)], dtype=np.int32)
    flat = np.concatenate([row.boxes.reshape(-1) for row in rows] or [np.empty(0, np.float32)])
    boxes = pa.ListArray.from_arrays(starts, pa.FixedSizeListArray.from_arrays(flat.astype(np.float32), 4))
    columns = [
        pa.array([row.key for row in rows], pa.string()),
        pa.array([row.width for row in rows], pa.int32()),
        pa.array([row.height for row in rows], pa.int32()),
        boxes,
        pa.array([row.fallback for row in rows], pa.bool_()),
        pa.array([row.sha256 for row in rows], pa.binary(32)),
    ]
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_arrays(columns, schema=schema), sink, compression="zstd")
    write_atomically(folder / plan.part(shard), sink.getvalue())


def shard_note(folder: Path, plan: TablePlan, shard: int) -> dict[str, Any]:
    """Read a shard's metadata: rows, boxes and unreadable images. Raises ProposalsError if foreign or broken."""
    path = folder / plan.part(shard)
    if not os.path.lexists(path):
        raise ProposalsError(
            f"The proposals in {folder} are not finished: {path.name} of {plan.shards} shards is missing.\n"
            "Run the same adept proposals command again: it continues where it stopped."
        )
    footer = read_footer(path)
    metadata = footer.metadata or {}
    if metadata.get(_PLAN_KEY) != plan.as_json().encode():
        raise ProposalsError(f"{path} belongs to another run than {folder / PLAN_FILE}.\nRemove it and run again.")
    # Keys of images that could not be read may be file names that are not UTF-8.
    note = parse_json(metadata.get(_SHARD_KEY, b"null"), f"{path}: its summary", ProposalsError, surrogates=True)
    if not _is_note(note, shard) or 4 * note["boxes"] > count_numbers(path, footer):
        raise ProposalsError(f"{path} was not written by adept proposals.\nRemove it and run adept proposals again.")
    return {"rows": footer.num_rows, **note}


def _is_note(note: Any, shard: int) -> bool:
    return (
        isinstance(note, dict)
        and note.get("shard") == shard
        and all(type(note.get(name)) is int and note[name] >= 0 for name in ("boxes", "fallbacks"))
        and isinstance(note.get("unreadable"), list)
        and all(
            isinstance(item, dict) and all(isinstance(item.get(name), str) for name in ("key", "reason"))
            for item in note["unreadable"]
        )
    )


def read_shard(folder: Path, plan: TablePlan, shard: int, columns: Sequence[str] | None = None) -> pa.Table:
    """Read the rows of a shard, or some of its columns: no nulls, and the types that `write_shard` uses.

    Raises:
        ProposalsError: the shard is damaged, or written by another program.
    """
    wanted = [field for field in _COLUMNS if columns is None or field.name in columns]
    return read_columns(folder / plan.part(shard), wanted)


def write_atomically(path: Path, content: bytes | memoryview | pa.Buffer) -> None:
    """Write a file whole or not at all. Raises DiskFullError."""
    with atomic_file(path) as temporary:
        temporary.write_bytes(memoryview(content))
