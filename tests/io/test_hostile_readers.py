"""A harmed file of any kind ends in its reader's own error within seconds: never a hang, never another exception."""

from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path

import pytest

from tests.io.readers import READERS, Reader

SECONDS = 20
PLACES = ("pipe", "folder", "device", "missing", "huge")
DEEP = 20_000
#: By format and cause, the content that replaces the sound one; "half" is the first half of that.
HARM = {
    "json": {
        "bytes": b'{"a": "\xe9"}', "deep": b"[" * DEEP, "number": b'{"a": 1e999}', "surrogate": b'{"a": "\\ud800"}',
        "half": None,
    },
    "yaml": {
        "bytes": b"a: \xe9\n", "deep": b"a: " + b"[" * DEEP, "number": b"a: 1" + b"0" * 5000, "half": b'a: "b',
        "surrogate": b'a: "\\ud800"',
    },
    "xml": {"bytes": b"<a>\xe9</a>", "deep": b"<a>" * DEEP, "surrogate": b"<a>&#xd800;</a>", "half": None},
    "text": {"bytes": b"\xff\x00\xe9\n"},
    "binary": {"bytes": b"\xff\x00\xe9" * 1000, "half": None},
}  # fmt: skip
CASES = [
    (name, cause) for name, reader in READERS.items() for cause in (*PLACES, *HARM[reader.format])
]  # fmt: skip


def harm(path: Path, cause: str, format_: str) -> None:
    """Put something else in the place of a sound file."""
    content = path.read_bytes()
    path.unlink()
    if cause == "pipe":
        os.mkfifo(path)
    elif cause == "folder":
        path.mkdir()
    elif cause == "device":
        path.symlink_to("/dev/zero")
    elif cause == "huge":
        with path.open("wb") as stream:
            stream.truncate(8 << 40)
    elif cause != "missing":
        other = HARM[format_][cause]
        path.write_bytes(content[: len(content) // 2] if other is None else other)


def outcome(reader: Reader, folder: Path) -> Exception | str | None:
    """What reading raises; a text where it does not end."""
    raised: list[Exception] = []

    def read() -> None:
        try:
            reader.read(folder)
        except Exception as error:  # noqa: BLE001  # which it is, is what is tested
            raised.append(error)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    thread.join(SECONDS)
    if thread.is_alive():
        return f"still reading after {SECONDS} s"
    return raised[0] if raised else None


@pytest.fixture(scope="session")
def sound(tmp_path_factory: pytest.TempPathFactory) -> dict[object, Path]:
    """Folders of sound files, by what makes them."""
    return {"root": tmp_path_factory.mktemp("sound")}


def copy_of(sound: dict[object, Path], reader: Reader, folder: Path) -> Path:
    if reader.make not in sound:
        sound[reader.make] = sound["root"] / str(len(sound))
        sound[reader.make].mkdir()
        reader.make(sound[reader.make])
    return shutil.copytree(sound[reader.make], folder / "case")


@pytest.mark.parametrize("name", READERS)
def test_a_sound_file_is_read(name: str, sound: dict[object, Path], tmp_path: Path) -> None:
    assert outcome(READERS[name], copy_of(sound, READERS[name], tmp_path)) is None


@pytest.mark.parametrize(("name", "cause"), CASES)
def test_a_harmed_file_is_its_reader_s_own_error(
    name: str, cause: str, sound: dict[object, Path], tmp_path: Path
) -> None:
    reader = READERS[name]
    folder = copy_of(sound, reader, tmp_path)
    harm(folder / reader.file, cause, reader.format)
    found = outcome(reader, folder)
    if cause in reader.calm:
        assert found is None
        return
    assert isinstance(found, reader.error), repr(found)
    assert len(str(found)) < 1000
    assert str(found).encode(), "it can be printed"
