"""Paths that a user or a file names: of any length, with any characters, of anyone's home."""

from __future__ import annotations

from pathlib import Path

from adept_hub.errors import AdeptError


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


def expanded(text: str | Path, error: type[AdeptError]) -> Path:
    """Return a path with ``~`` and ``~user`` replaced.

    Raises:
        AdeptError: of class ``error``: there is no such user.
    """
    try:
        return Path(text).expanduser()
    except RuntimeError as problem:
        raise error(f"{str(text)!r} is not a path: {problem}") from problem
