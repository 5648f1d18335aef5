"""Write files and folders atomically."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shlex
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from adept_hub.errors import OutputExistsError
from adept_hub.io.disk_errors import FULL, TEMPORARY, disk_errors
from adept_hub.io.paths import resolved, what_is

try:
    import fcntl
except ImportError:  # Windows: leftovers of a killed process remain until they are removed by hand
    fcntl = None  # type: ignore[assignment]

#: A file or folder that is being replaced is renamed to ``.NAME.adept-old-...``, next to the temporary one.
_OLD = ".adept-old-"
_LEAVING = re.compile(r"\..*\.adept-(tmp|old)-[a-z0-9_]{8}")
#: Folders in which this process has already looked for leftovers.
_swept: set[Path] = set()


@contextlib.contextmanager
def atomic_file(target: Path) -> Iterator[Path]:
    """Yield a temporary path next to ``target``, which replaces it on success and is removed on failure."""
    with disk_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        _sweep(target.parent)
        with _temporary(target, _make_file) as temporary:
            yield temporary
            temporary.chmod(0o666 & ~_umask())
            _sync(temporary)
            temporary.replace(target)
            _sync(target.parent)


@contextlib.contextmanager
def atomic_folder(target: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Yield a temporary folder next to ``target``, which replaces it on success and is removed on failure.

    If several processes write the same folder without ``overwrite``, the first to finish wins.

    Raises:
        OutputExistsError: ``target`` exists and is not an empty folder, and ``overwrite`` is false; at the start or,
            if another process was faster, at the end.
        DiskFullError: the folder cannot be written.
    """
    real = resolved(target)  # next to the folder, not to a link, which may be on another disk
    with disk_errors(target):
        real.parent.mkdir(parents=True, exist_ok=True)
        _sweep(real.parent)
        if not overwrite and real.exists() and not (real.is_dir() and not any(real.iterdir())):
            raise _exists(target)
        with _temporary(real, _make_folder) as temporary:
            yield temporary
            temporary.chmod(0o777 & ~_umask())
            for path in temporary.rglob("*"):  # some writers (safetensors) create files that only the owner may read
                if path.is_symlink():  # the file that it points to belongs to the user
                    continue
                path.chmod((0o777 if path.is_dir() else 0o666) & ~_umask())
                _sync(path)
            _sync(temporary)
            try:
                while not _rename(temporary, real):
                    if not overwrite:
                        raise _exists(target)
                    _set_aside(real)
                _sync(real.parent)
            finally:  # remove the old one if the new one is there, else restore it
                _clear(real.parent, f".{real.name}{_OLD}")


def append_line(path: Path, line: str) -> None:
    """Append a line to a file; an incomplete line of a killed process is terminated first.

    Raises:
        DiskFullError: the file cannot be written.
    """
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab+") as file:
            if file.tell():
                file.seek(-1, os.SEEK_END)
                line = line if file.read(1) == b"\n" else f"\n{line}"
            file.write(f"{line}\n".encode())
            file.flush()
            os.fsync(file.fileno())


def clear_leavings(folder: Path, *patterns: str) -> None:
    """Remove the incomplete files of killed processes from a folder that this process owns (`folder_lock`).

    A file or folder that a killed process was replacing is restored if there is no new one.

    Args:
        folder: the folder; its subfolders are left alone.
        patterns: `Path.glob` patterns of further names to remove.
    """
    for pattern in patterns:
        for path in folder.glob(pattern):
            if _OLD not in path.name:
                _remove(path)
    _clear(folder, ".", held=False)


def _exists(target: Path) -> OutputExistsError:
    if not target.is_dir() and not target.is_file():
        return OutputExistsError(f"{target} {what_is(target)}, not a folder.\nChoose another location.")
    what = "already exists and is not empty" if target.is_dir() else "already exists"
    return OutputExistsError(
        f"{target} {what}.\nChoose another location, or remove it first: rm -r {shlex.quote(str(target))}"
    )


@contextlib.contextmanager
def _temporary(target: Path, make: Callable[[Path, str], Path]) -> Iterator[Path]:
    """Yield a temporary path next to ``target``, locked until its process ends, and removed at the end."""
    while True:
        path = make(target.parent, f".{target.name}{TEMPORARY}")
        with contextlib.suppress(FileNotFoundError):
            held = os.open(path, os.O_RDONLY)
            if _take(held) is not False and _is(path, held):
                break
            os.close(held)  # another process removed it as a leftover before it was locked
    try:
        yield path
    finally:
        _remove(path)
        os.close(held)


def _make_file(folder: Path, prefix: str) -> Path:
    handle, name = tempfile.mkstemp(prefix=prefix, dir=folder)
    os.close(handle)
    return Path(name)


def _make_folder(folder: Path, prefix: str) -> Path:
    return Path(tempfile.mkdtemp(prefix=prefix, dir=folder))


def _take(handle: int) -> bool | None:
    """Take the lock of an open file or folder; return whether it was free, or None without support for locks."""
    if fcntl is None:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _is(path: Path, handle: int) -> bool:
    try:
        return os.path.samestat(path.lstat(), os.fstat(handle))
    except FileNotFoundError:
        return False


def _sweep(folder: Path) -> None:
    if folder not in _swept:
        _swept.add(folder)
        _clear(folder, ".")


def _clear(folder: Path, prefix: str, *, held: bool = True) -> None:
    """Remove leftovers of dead processes from a folder, by name, and restore what they were replacing.

    Args:
        held: skip those that a process may still have locked.
    """
    with contextlib.suppress(OSError):  # the folder cannot be listed or written; leftovers do no harm
        for path in [p for p in folder.iterdir() if p.name.startswith(prefix) and _LEAVING.fullmatch(p.name)]:
            if _OLD in path.name:
                _put_back(path)
            elif not held or _is_free(path):
                _remove(path)


def _is_free(path: Path) -> bool:
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0))
    except OSError:
        return False
    try:
        return _take(handle) is True
    finally:
        os.close(handle)


def _rename(temporary: Path, target: Path) -> bool:
    """Rename a folder to a path that does not exist or is an empty folder; return False if it is not empty."""
    try:
        temporary.rename(target)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR) and target.exists():
            return False
        raise
    return True


def _set_aside(target: Path) -> None:
    """Move the old content into a hidden folder, from which it is restored if this process is killed."""
    old = Path(tempfile.mkdtemp(prefix=f".{target.name}{_OLD}", dir=target.parent))
    with contextlib.suppress(FileNotFoundError):  # another process was faster
        target.rename(old / target.name)


def _put_back(old: Path) -> None:
    """Restore the old content if there is no new one, and remove the rest."""
    for content in list(old.iterdir()) if old.is_dir() else []:
        if not (old.parent / content.name).exists():
            content.rename(old.parent / content.name)
    _remove(old)


def _remove(path: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()


def _sync(path: Path) -> None:
    """Flush a file to disk before it is renamed, so that a power loss cannot leave an empty file under the name."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:  # Windows cannot open folders
        return
    try:
        os.fsync(handle)
    except OSError as error:
        if not stat.S_ISDIR(os.fstat(handle).st_mode) or error.errno in FULL:
            raise
    finally:
        os.close(handle)


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
