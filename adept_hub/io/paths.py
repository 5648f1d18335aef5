"""Handle untrusted paths: of any length, with any characters, with ``~`` and links."""

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
    """Check for an existing regular file; False for a name that no file can have."""
    try:
        return path.is_file()
    except (OSError, ValueError):  # too long, a null character, or characters that the system does not support
        return False


def is_dir(path: Path) -> bool:
    """Check for an existing folder; False for a name that no folder can have."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def exists(path: Path) -> bool:
    """Check whether a path exists."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def what_is(path: Path) -> str:
    """Describe what a path is, as the end of a sentence: ``"is a named pipe"``, ``"does not exist"``, ..."""
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return "is a broken link" if path.is_symlink() else "does not exist"
    except OSError as error:
        is_loop = error.errno == errno.ELOOP
        return "is a link that points to itself" if is_loop else f"cannot be read ({error.strerror})"
    except ValueError:
        return "is not a valid path: it contains a null character"
    return f"is {_KINDS.get(stat.S_IFMT(mode), 'not a regular file')}"


def not_a(expected: str, path: Path) -> str:
    """Return a sentence on a path that should be ``wanted`` (with its article): what it is instead."""
    description = what_is(path)
    if description == "does not exist":
        return f"There is no {expected.partition(' ')[2]} {path}."
    is_there = description.removeprefix("is ") in (*_KINDS.values(), "not a regular file")
    return f"{path} {description}, not {expected}." if is_there else f"{path} {description}."


def resolved(path: Path) -> Path:
    """Return an absolute path with links resolved as far as possible; `Path.resolve` raises for a loop."""
    return Path(os.path.realpath(path))


def expanded(text: str | Path, error: type[AdeptError]) -> Path:
    """Return a path with ``~`` and ``~user`` replaced.

    Raises:
        AdeptError: of class ``error``: the user does not exist.
    """
    try:
        return Path(text).expanduser()
    except RuntimeError as problem:
        raise error(f"{str(text)!r} is not a path: {problem}") from problem
