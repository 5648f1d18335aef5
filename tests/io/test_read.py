"""The reader against files made to break a reader."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from adept_hub.errors import DataError, RecipeError
from adept_hub.io.read import BoundedReader, parse_json

SMALL = BoundedReader(DataError, limit=100, remedy="Choose another file.")
DEEP = b"[" * 50_000


def test_a_file_of_the_largest_size_is_read_and_one_byte_more_is_not(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"x" * 100)
    assert SMALL.read(path) == b"x" * 100
    path.write_bytes(b"x" * 101)
    with pytest.raises(DataError, match=r"has 101 bytes; at most 100 are read\.\nChoose another file\."):
        SMALL.read(path)


def test_a_sparse_file_of_100_gigabytes_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a"
    with path.open("wb") as stream:
        stream.truncate(100 << 30)
    with pytest.raises(DataError, match="107,374,182,400 bytes"):
        SMALL.read(path)


@pytest.mark.parametrize("path", ["missing", ".", "a\0b", "x" * 5000, "loop/a"])
def test_what_is_no_file_is_one_error(tmp_path: Path, path: str) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(DataError) as raised:
        SMALL.read(tmp_path / path)
    assert len(str(raised.value)) < 500


def test_a_pipe_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    errors: list[BaseException] = []

    def read() -> None:
        try:
            SMALL.read(tmp_path / "pipe")
        except DataError as error:
            errors.append(error)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    thread.join(10)
    assert len(errors) == 1
    assert "is a named pipe, not a regular file" in str(errors[0])


def test_a_device_is_refused() -> None:
    with pytest.raises(DataError, match="not a regular file"):
        SMALL.read(Path(os.devnull))


def test_a_link_out_of_the_folder_is_refused_and_one_within_is_followed(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (tmp_path / "secret").write_bytes(b"key")
    (folder / "real").write_bytes(b"content")
    (folder / "within").symlink_to("real")
    (folder / "out").symlink_to("../secret")
    reader = BoundedReader(DataError, inside=folder)
    assert reader.read(folder / "within") == b"content"
    for path in (folder / "out", folder / ".." / "secret"):
        with pytest.raises(DataError, match="outside"):
            reader.read(path)
    assert SMALL.read(folder / "out") == b"key"


def test_text_loses_its_byte_order_mark_and_other_encodings_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes("\ufeffBär\n".encode())
    assert SMALL.text(path) == "Bär\n"
    path.write_bytes("Bär".encode("latin-1"))
    with pytest.raises(DataError, match=r"is not UTF-8 text \(byte 1\)"):
        SMALL.text(path)


@pytest.mark.parametrize("content", [b"", b"{", b"[NaN]", b'{"a": 1, "a": 2}', b"\xff", b"9" * 5000, DEEP])
def test_json_of_every_damage_is_one_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(RecipeError, match="is not valid JSON"):
        BoundedReader(RecipeError).json(path)
    with pytest.raises(RecipeError, match="header is not valid JSON"):
        parse_json(content, "header", RecipeError)


def test_json_is_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b'\xef\xbb\xbf{"a": [1, 2.5, null]}')
    assert SMALL.json(path) == {"a": [1, 2.5, None]}


@pytest.mark.parametrize(
    "content", [b"a: [", b"!!python/object/apply:os.system [echo]", b"a: *b", b"\x00", DEEP, b"a: 1e\n b: 2"]
)
def test_yaml_of_every_damage_is_one_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(content)
    with pytest.raises(RecipeError, match="is not valid YAML"):
        BoundedReader(RecipeError).yaml(path)


BOMB = b'<!DOCTYPE a [<!ENTITY b "bb"><!ENTITY c "&b;&b;">]><a>' + b"&d;</a>"


@pytest.mark.parametrize("content", [b"", b"<a>", b"<a>\x00</a>", BOMB, b"plain"])
def test_xml_of_every_damage_is_one_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.xml"
    path.write_bytes(content)
    with pytest.raises(DataError, match="is not valid XML"):
        BoundedReader(DataError).xml(path)


def test_torn_lines_are_counted_and_the_others_kept(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'{"step": 1}\n\n{"step": \xff\n[1]\n' + DEEP + b'\n{"step": 2}\n{"st')
    assert BoundedReader(DataError).json_lines(path) == ([{"step": 1}, {"step": 2}], 4)


def test_a_name_that_is_no_text_is_printable(tmp_path: Path) -> None:
    with pytest.raises(DataError) as raised:
        SMALL.read(tmp_path / "a\udce9")
    assert str(raised.value).encode()


def test_deep_yaml_is_refused_before_it_is_parsed(tmp_path: Path) -> None:
    path = tmp_path / "deep.yaml"
    path.write_text("a: " + "[" * 400_000)
    began = time.monotonic()
    with pytest.raises(DataError, match="nested too deeply"):
        BoundedReader(DataError).yaml(path)
    assert time.monotonic() - began < 5
    path.write_text("a: " + "[" * 50 + "]" * 50)
    assert BoundedReader(DataError).yaml(path)["a"]


def test_memory_is_taken_for_what_is_there_alone(tmp_path: Path) -> None:
    import tracemalloc

    path = tmp_path / "x"
    path.write_bytes(b"abc")
    tracemalloc.start()
    try:
        assert BoundedReader(DataError, 1 << 33).read(path) == b"abc"
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def test_a_file_that_does_not_state_its_size() -> None:
    path = Path("/proc/self/status")
    if not path.exists():
        pytest.skip("needs /proc")
    assert len(BoundedReader(DataError).read(path)) > 500
    with pytest.raises(DataError, match="more than 100 bytes"):
        BoundedReader(DataError, 100).read(path)


@pytest.mark.parametrize(
    "text", ["[" * 300 + "]" * 300, '{"a":' * 300 + "1" + "}" * 300, '[{"a":' * 150 + "1" + "}]" * 150]
)
def test_values_that_are_nested_too_deeply_to_be_copied(text: str) -> None:
    with pytest.raises(DataError, match="nested too deeply"):
        parse_json(text, "a plan", DataError)
    assert parse_json('["' + "[" * 300 + '"]', "a text", DataError) == ["[" * 300]
    assert parse_json("[" * 90 + "]" * 90, "a plan", DataError)
    assert parse_json("[" + "[]," * 300 + "[]]", "a plan", DataError)
