"""Image files: bounded reading, recursive search that follows links, and names that are not UTF-8.

A key is the relative POSIX path as UTF-8 text, whatever the locale; bytes of a name that are not UTF-8 become lone
surrogates (Python's ``surrogateescape``), in the names of files and of tar members alike.
"""

from __future__ import annotations

import logging
import os
from collections import deque
from pathlib import Path

from adept_hub.errors import ImageDecodeError, ImagesError
from adept_hub.images.decode import read_size
from adept_hub.io.read import MAX_IMAGE, BoundedReader
from adept_hub.words.text import one_line

_log = logging.getLogger(__name__)

IMAGE_SUFFIXES = tuple(
    ".jpg .jpeg .jpe .mpo .png .webp .bmp .gif .avif .tif .tiff .ppm .pgm .pnm .jp2 .j2k".split()  # noqa: SIM905
)
_READER = BoundedReader(ImageDecodeError, MAX_IMAGE)


def read_file(path: Path, key: str) -> bytes:
    """Read the bytes of an image file; ``key`` names it in messages.

    Raises:
        ImageDecodeError: it is missing, unreadable, not a regular file (a pipe may never end), or too large.
    """
    return _READER.read(path, one_line(key))


def read_file_size(path: Path, key: str) -> tuple[int, int]:
    """Read width and height of an image file, as `decode` will return them, from its header. Raises as `read_file`."""
    with _READER.open(path, one_line(key)) as file:
        return read_size(file, key)


def check_bytes(size: int, key: str) -> None:
    """Check the size in bytes of an image that is stored in another file.

    Raises:
        ImageDecodeError: it is too large for an image.
    """
    if size > MAX_IMAGE:
        raise ImageDecodeError(f"{one_line(key)} has {size:,} bytes; the limit is {MAX_IMAGE:,}.")


def key_of(name: str) -> str:
    """Return the key of a file name as listed by Python."""
    return name if name.isascii() else os.fsencode(name).decode("utf-8", "surrogateescape")


def name_of(key: str) -> str:
    """Return the file name of a key, the inverse of `key_of`."""
    return key if key.isascii() else os.fsdecode(key.encode("utf-8", "surrogateescape"))


def search(root: Path) -> list[str]:
    """List the keys of every file below ``root``, sorted. Links to folders are followed; each folder is searched once.

    Omissions are logged: folders that cannot be listed, and images that are broken links or not regular files.

    Raises:
        ImagesError: ``root`` itself cannot be listed.
    """
    keys: list[str] = []
    closed: list[str] = []
    broken: list[str] = []
    seen: set[str] = set()
    # A folder that is reached directly and by links is named directly; among links, by the first in order.
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
                keys.append(key_of(name))
            elif entry.name.lower().endswith(IMAGE_SUFFIXES):
                broken.append(name)
    _report(closed, root, "folders cannot be listed and are left out")
    _report(broken, root, "images are broken links or not regular files and are left out")
    return sorted(keys)


def _is(entry: os.DirEntry[str], *, folder: bool) -> bool:
    try:
        return entry.is_dir() if folder else entry.is_file()
    except OSError:  # a link to itself
        return False


def _report(names: list[str], root: Path, what: str) -> None:
    if names:
        _log.warning("%s: %d %s, the first: %s", one_line(str(root)), len(names), what, one_line(names[0]))
