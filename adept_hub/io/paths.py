"""Paths that a user or a file names: of any length, with any characters, of anyone's home."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from adept_hub.errors import AdeptError

_KINDS = {
    stat.S_IFREG: "a file", stat.S_IFDIR: "a folder", stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device", stat.S_IFBLK: "a device",
}  # fmt: skip


def is_file(path: Path) -> bool:
    """Return whether there is such a regular file; a name that no file can have is none."""
    try:
        return path.is_file()
    except (OSError, ValueError):  # too long, a zero byte, or characters that the system has not
        return False


def is_dir(path: Path) -> bool:
    """Return whether there is such a folder; a name that no folder can have is none."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def exists(path: Path) -> bool:
    """Return whether there is anything under that name."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def what_is(path: Path) -> str:
    """Return what has that name, as the end of a sentence: ``"is a named pipe"``, ``"does not exist"``, ..."""
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return "is a link to nothing" if path.is_symlink() else "does not exist"
    except OSError as error:
        is_loop = error.errno == errno.ELOOP
        return "is a link that leads back to itself" if is_loop else f"cannot be read ({error.strerror})"
    except ValueError:
        return "is not a valid path: it contains a null character"
    return f"is {_KINDS.get(stat.S_IFMT(mode), 'not a regular file')}"


def not_a(wanted: str, path: Path) -> str:
    """Return the sentence on a path that should be ``wanted``, with its article: what it is instead, if anything."""
    found = what_is(path)
    if found == "does not exist":
        return f"There is no {wanted.partition(' ')[2]} {path}."
    is_there = found.removeprefix("is ") in (*_KINDS.values(), "not a regular file")
    return f"{path} {found}, not {wanted}." if is_there else f"{path} {found}."


def resolved(path: Path) -> Path:
    """Return an absolute path without links, as far as they lead; `Path.resolve` raises where they never end."""
    return Path(os.path.realpath(path))


def expanded(text: str | Path, error: type[AdeptError]) -> Path:
    """Return a path with ``~`` and ``~user`` replaced.

    Raises:
        AdeptError: of class ``error``: there is no such user.
    """
    try:
        return Path(text).expanduser()
    except RuntimeError as problem:
        raise error(f"{str(text)!r} is not a path: {problem}") from problem
