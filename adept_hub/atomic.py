"""Outputs that appear whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from adept_hub.errors import DiskFullError, OutputExistsError


@contextlib.contextmanager
def disk_errors(target: Path) -> Iterator[None]:
    """Turn a full disk, an exceeded quota or a read-only place into the user's own error.

    Raises:
        DiskFullError: nothing could be written below ``target``.
    """
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise DiskFullError(
                f"No space left while writing {target} ({os.strerror(error.errno)}); nothing new is under that name.\n"
                f"Free some space (df -h {target.parent}) or choose another place, and run the command again."
            ) from error
        if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
            raise DiskFullError(
                f"{target} cannot be written: {error.strerror}.\nChoose a place that you may write to."
            ) from error
        raise


@contextlib.contextmanager
def atomic_file(target: Path) -> Iterator[Path]:
    """A temporary path beside ``target`` that becomes it on success and is removed on failure."""
    with disk_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            temporary.chmod(0o666 & ~_umask())
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_folder(target: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """A temporary folder beside ``target`` that becomes it on success and is removed on failure.

    Raises:
        OutputExistsError: ``target`` exists, is not an empty folder and ``overwrite`` is false.
    """
    occupied = target.exists() and not (target.is_dir() and not any(target.iterdir()))
    if occupied and not overwrite:
        raise OutputExistsError(f"{target} is already there.\nChoose another place, or remove it first: rm -r {target}")
    with disk_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
        try:
            yield temporary
            temporary.chmod(0o777 & ~_umask())
            for path in temporary.rglob("*"):  # some writers (safetensors) make files that only the owner may read
                path.chmod((0o777 if path.is_dir() else 0o666) & ~_umask())
            _swap(temporary, target)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def _swap(temporary: Path, target: Path) -> None:
    """Rename into place; what was there before is removed only when the new is in its place."""
    if not target.is_dir():
        target.unlink(missing_ok=True)
        temporary.replace(target)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{target.name}.old.", dir=target.parent))
    target.replace(old)
    try:
        temporary.replace(target)
    except OSError:
        old.replace(target)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
