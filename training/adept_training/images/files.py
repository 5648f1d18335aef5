"""Files of photographs: bounded reading, folders searched through links, and names that are not UTF-8.

A key is the relative POSIX path as UTF-8 text, whatever the locale; bytes of a name that are not UTF-8 become lone
surrogates (Python's ``surrogateescape``), in the names of files and of tar members alike.
"""

from __future__ import annotations

import logging
import os
from collections import deque
from pathlib import Path

from adept_hub.errors import ImageDecodeError, ImagesError
from adept_hub.io.read import MAX_IMAGE, BoundedReader
from adept_training.images.decode import read_size
from adept_training.images.text import one_line

_log = logging.getLogger(__name__)

IMAGE_SUFFIXES = tuple(
    ".jpg .jpeg .jpe .mpo .png .webp .bmp .gif .avif .tif .tiff .ppm .pgm .pnm .jp2 .j2k".split()  # noqa: SIM905
)
_DOOR = BoundedReader(ImageDecodeError, MAX_IMAGE)


def read_file(path: Path, key: str) -> bytes:
    """The bytes of an image file; ``key`` names it in messages.

    Raises:
        ImageDecodeError: missing, unreadable, not a regular file (a pipe may never end), or too large for an image.
    """
    return _DOOR.read(path, one_line(key))


def read_file_size(path: Path, key: str) -> tuple[int, int]:
    """Width and height of an image file as `decode` will give them, from its header. Raises as `read_file`."""
    with _DOOR.open(path, one_line(key)) as file:
        return read_size(file, key)


def check_bytes(size: int, key: str) -> None:
    """Refuse an image of so many bytes that is stored in another file.

    Raises:
        ImageDecodeError: too large for an image.
    """
    if size > MAX_IMAGE:
        raise ImageDecodeError(f"{one_line(key)} has {size:,} bytes; at most {MAX_IMAGE:,} are read.")


def key_of(name: str) -> str:
    """The key of a file name as Python lists it."""
    return name if name.isascii() else os.fsencode(name).decode("utf-8", "surrogateescape")


def name_of(key: str) -> str:
    """The file name of a key, the inverse of `key_of`."""
    return key if key.isascii() else os.fsdecode(key.encode("utf-8", "surrogateescape"))


def search(root: Path) -> list[str]:
    """Keys of every file below ``root``, sorted. Links to folders are followed; each folder is searched once.

    What is left out is logged: folders that cannot be listed, and images that are broken links or not regular files.

    Raises:
        ImagesError: ``root`` itself cannot be listed.
    """
    found: list[str] = []
    closed: list[str] = []
    broken: list[str] = []
    seen: set[str] = set()
    # A folder that is reached directly and by links is named directly; among links, the first in order names it.
    folders, links = deque([""]), deque[str]()
    while folders or links:
        below = folders.popleft() if folders else links.popleft()
        real = os.path.realpath(root / below)
        if real in seen:
            continue
        seen.add(real)
        try:
            with os.scandir(real) as listing:
                entries = sorted(listing, key=lambda entry: entry.name)
        except OSError as error:
            if not below:
                raise ImagesError(f"The folder {root} cannot be listed: {error.strerror}.") from error
            closed.append(below)
            continue
        for entry in entries:
            name = f"{below}/{entry.name}" if below else entry.name
            if _is(entry, folder=True):
                (links if entry.is_symlink() else folders).append(name)
            elif _is(entry, folder=False):
                found.append(key_of(name))
            elif entry.name.lower().endswith(IMAGE_SUFFIXES):
                broken.append(name)
    _report(closed, root, "folders cannot be listed and are left out")
    _report(broken, root, "images are broken links or not regular files and are left out")
    return sorted(found)


def _is(entry: os.DirEntry[str], *, folder: bool) -> bool:
    try:
        return entry.is_dir() if folder else entry.is_file()
    except OSError:  # a link to itself
        return False


def _report(names: list[str], root: Path, what: str) -> None:
    if names:
        _log.warning("%s: %d %s, the first: %s", one_line(str(root)), len(names), what, one_line(names[0]))
