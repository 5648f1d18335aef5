"""What damaging files found, each as small as it can be: it stays an error of its class, or a sound value."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.hostile import readers_data, readers_hub, readers_runs
from tests.hostile.property import attempt

Change = Callable[[bytes], bytes]


def put(old: bytes, new: bytes, count: int = 1) -> Change:
    def change(content: bytes) -> bytes:
        assert old in content
        return content.replace(old, new, count)

    return change


def two_disks(content: bytes) -> bytes:
    """The zip's own end of directory, 64-bit form, says that it spans several disks."""
    at = content.index(b"PK\x06\x07") + 4
    return content[:at] + b"\x01" + content[at + 1 :]


def a_column_twice(content: bytes) -> bytes:
    table, sink = pq.read_table(io.BytesIO(content)), io.BytesIO()
    names = ["key" if name == "width" else name for name in table.column_names]
    pq.write_table(table.rename_columns(names), sink)
    return sink.getvalue()


def a_name_of_no_text(content: bytes) -> bytes:
    """One of the names in the footer of the numbers of the boxes, which pyarrow decodes when it is asked for."""
    at = [found.start() for found in re.finditer(b"\x05boxes", content)][-1]
    return content[: at + 1] + b"\xff" + content[at + 2 :]


def an_object_of(values: object) -> Change:
    def change(content: bytes) -> bytes:
        subset = json.loads(content)
        subset["objects"][0] = [values]
        return json.dumps(subset).encode()

    return change


#: Reader -> name of the fault -> the damage, and how reading ends.
FOUND: dict[str, dict[str, tuple[Change, str]]] = {
    "new.pth": {"a zip that spans disks": (two_disks, "CheckpointError")},
    "README.md": {"zero bytes in what was written by hand": (put(b"by hand", b"by\0hand"), "read")},
    "models.json": {"a format that is a lone surrogate": (
        put(b'"format_version": 2', b'"format_version": "\\ud800"'), "RegistryError")},
    "metrics.json": {
        "a name with an escape code": (put(b'"AP50"', b'"AP50\\u001b"'), "PublishError"),
        "a number of images beyond all bounds": (put(b'"images": 72', b'"images": 1' + b"0" * 400), "PublishError"),
    },
    "doctor d2.yaml": {
        "a value of 4,000 digits": (put(b'"OUT_CHANNELS": 256', b'"OUT_CHANNELS": ' + b"9" * 4000), "read"),
        "a number that Python does not write": (put(b'"OUT_CHANNELS": 256', b'"OUT_CHANNELS": 0x' + b"f" * 5000),
                                                "CheckpointError"),
        "a base with a name of 5,000 characters": (put(b'"base.json"', b'"' + b"b" * 5000 + b'"'), "CheckpointError"),
        "values that contain themselves": (put(b'"SIZES": ', b'"SIZES": &a [*a], "x": '), "CheckpointError"),
    },
    "subset": {
        "an object that is a list of lists": (an_object_of([[1], 2, 3, 4, 5]), "DataError"),
        "an object that is text": (an_object_of("12345"), "DataError"),
    },
    "data YAML": {"a folder of nobody": (put(b"coco:train.json:.", b"coco:train.json:~nobody-x/y"), "DataError")},
    "recipe": {"a base with a name of 5,000 characters": (put(b"base.yaml", b"b" * 5000), "RecipeError")},
    "a shard of a table": {
        "a column in the footer whose name is not UTF-8": (a_name_of_no_text, "ProposalsError"),
        "a column of another's name": (a_column_twice, "ProposalsError")},
    "plan.json": {"a preset that is nested 500 times": (
        put(b'"preset": {', b'"preset": {"x": ' + b"[" * 500 + b"]" * 500 + b", "), "ProposalsError")},
    "index": {"a header of two lines": (put(b"{'descr'", b"z'descr'"), "read")},
    "run.json of a fine-tuning": {"starts that are a mapping": (put(b'"starts": []', b'"starts": {"a": 1}'),
                                                                "ResumeError")},
    "preview.png": {"PostScript, which Pillow gives to another program": (
        lambda _: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n", "read")},
}  # fmt: skip
_ALL = {reader.name: (make, reader) for module in (readers_hub, readers_data, readers_runs)
        for make, reader in module.READERS}  # fmt: skip


@pytest.mark.parametrize(("name", "fault"), [(name, fault) for name in FOUND for fault in FOUND[name]])
def test_found(name: str, fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    make, reader = _ALL[name]
    folder = tmp_path / "folder"
    folder.mkdir()
    make(folder)
    change, ends = FOUND[name][fault]
    path = folder / reader.file
    path.write_bytes(change(path.read_bytes()))
    assert attempt(reader, folder, fault) == ends
