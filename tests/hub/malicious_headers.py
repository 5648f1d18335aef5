"""Attacks by the header of a safetensors file, whose true size and digest the config promises."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from adept_hub.checkpoint.folder import CONFIG, WEIGHTS, read_config, read_tensors
from tests.hub.headers import data_bytes, read_header
from tests.hub.malicious_cases import CASES, KEY, attack


def sealed(folder: Path) -> object:
    """What is loaded when the config vouches for the file as it now is."""
    path = folder / WEIGHTS
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    data = json.loads((folder / CONFIG).read_text()) | {"sha256": digest, "size": path.stat().st_size}
    (folder / CONFIG).write_text(json.dumps(data))
    return read_tensors(folder, read_config(folder))


def weights_with(folder: Path, header: dict[str, Any] | bytes, length: int | None = None) -> object:
    tail = data_bytes(read_header(folder / WEIGHTS))
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path = folder / WEIGHTS
    with path.open("wb") as stream:
        stream.write((len(text) if length is None else length).to_bytes(8, "little") + text)
        stream.truncate(stream.tell() + tail)
    return sealed(folder)


@attack
def header_of_exabytes(work: Path, folder: Path) -> object:
    return weights_with(folder, b"{}", 1 << 62)


@attack
def header_of_a_hundred_megabytes(work: Path, folder: Path) -> object:
    with (folder / WEIGHTS).open("r+b") as stream:
        stream.write((99 << 20).to_bytes(8, "little"))
        stream.truncate(200 << 20)
    return read_tensors(folder, read_config(folder), verified=False)


@attack
def header_of_a_huge_shape(work: Path, folder: Path) -> object:
    header = read_header(folder / WEIGHTS)
    header[KEY]["shape"] = [2**31, 2**31, 2**31]
    return weights_with(folder, header)


@attack
def header_of_overlapping_tensors(work: Path, folder: Path) -> object:
    header = read_header(folder / WEIGHTS)
    header["fpn.inner_blocks.0.0.weight"]["data_offsets"] = header[KEY]["data_offsets"]
    return weights_with(folder, header)


def renamed(header: dict[str, Any], name: str) -> dict[str, Any]:
    return {name if key == KEY else key: entry for key, entry in header.items()}


for _name, _text in (
    ("homoglyph", KEY.replace("a", "\u0430")),
    ("right_to_left_mark", f"{KEY}\u202e"),
    ("other_case", KEY.upper()),
    ("traversal", "../../../etc/passwd"),
    ("composed_character", "backbone.conv1.weight\u0301"),
):
    CASES[f"header_with_a_{_name}"] = lambda work, folder, n=_text: weights_with(  # type: ignore[misc]
        folder, renamed(read_header(folder / WEIGHTS), n)
    )


@attack
def header_with_one_tensor_twice(work: Path, folder: Path) -> object:
    header = read_header(folder / WEIGHTS)
    entry = json.dumps(header[KEY])
    text = json.dumps(header)
    return weights_with(folder, text.replace(f'"{KEY}": ', f'"{KEY}": {entry}, "{KEY}": ').encode())


@attack
def header_with_two_shapes(work: Path, folder: Path) -> object:
    text = json.dumps(read_header(folder / WEIGHTS))
    return weights_with(folder, text.replace('"shape": ', '"shape": [1], "shape": ', 1).encode())


def moved(folder: Path, first: int, last: int, grown: int = 0) -> object:
    """The last tensor of the file elsewhere, and the file so much longer."""
    header = read_header(folder / WEIGHTS)
    key = max((k for k in header if k != "__metadata__"), key=lambda k: header[k]["data_offsets"][1])
    begin, end = header[key]["data_offsets"]
    header[key]["data_offsets"] = [begin + first, end + last]
    with (folder / WEIGHTS).open("r+b") as stream:
        stream.truncate((folder / WEIGHTS).stat().st_size + grown)
    return weights_with(folder, header)


CASES["header_with_a_hole"] = lambda work, folder: moved(folder, 4096, 4096, 4096)
CASES["header_with_a_tensor_backwards"] = lambda work, folder: moved(folder, 4, -(1 << 40))
CASES["header_with_a_tensor_cut_short"] = lambda work, folder: moved(folder, 0, -4)
CASES["header_with_half_a_byte"] = lambda work, folder: moved(folder, 0.5, 0.5)  # type: ignore[arg-type]
CASES["header_with_offsets_of_a_yottabyte"] = lambda work, folder: moved(folder, 1 << 80, 1 << 80)


@attack
def header_before_a_hidden_tail(work: Path, folder: Path) -> object:
    """Bytes behind the last tensor: a second file within the file."""
    header = read_header(folder / WEIGHTS)
    header["__metadata__"] = {"format": "pt"}
    path = folder / WEIGHTS
    weights_with(folder, header)
    with path.open("ab") as stream:
        stream.write(b"PK\x03\x04" * 100)
    return sealed(folder)


@attack
def header_with_nan(work: Path, folder: Path) -> object:
    header = read_header(folder / WEIGHTS)
    header[KEY]["shape"] = [float("nan")]
    return weights_with(folder, header)


@attack
def header_with_a_tensor_beyond_the_file(work: Path, folder: Path) -> object:
    header = read_header(folder / WEIGHTS)
    first, last = header[KEY]["data_offsets"]
    header[KEY]["data_offsets"] = [first + (1 << 40), last + (1 << 40)]
    return weights_with(folder, header)


@attack
def header_nested_without_end(work: Path, folder: Path) -> object:
    return weights_with(folder, b'{"a":' * 150_000)


@attack
def header_with_a_name_of_a_megabyte(work: Path, folder: Path) -> object:
    header = read_header(folder / WEIGHTS)
    header["x" * 900_000] = header.pop(KEY)
    return weights_with(folder, header)
