"""One kind of reader, and what several kinds share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from adept_hub.errors import AdeptError

#: Causes of `test_hostile_readers.py`; those from "bytes" on change the content.
EVERYTHING = ("pipe", "folder", "device", "missing", "huge", "bytes", "deep", "number", "half", "surrogate")
CONTENT = EVERYTHING[5:]


@dataclass(frozen=True)
class Reader:
    """One kind of reader.

    Attributes:
        file: what is harmed, relative to the folder.
        make: writes the sound files into an empty folder.
        read: reads them.
        error: what is raised for a harmed one.
        format: of the file: json, yaml, xml, lines, text or binary.
        calm: causes at which it goes on without the file, as it should.
    """

    file: str
    make: Callable[[Path], object]
    read: Callable[[Path], object]
    error: type[AdeptError]
    format: str = "json"
    calm: tuple[str, ...] = ()


def text(name: str, content: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_text(content)
