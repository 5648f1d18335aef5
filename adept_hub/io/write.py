"""Outputs that appear whole or not at all."""

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
except ImportError:  # Windows: what a killed process leaves stays until it is removed by hand
    fcntl = None  # type: ignore[assignment]

#: What a new file or folder replaces is set aside as ``.NAME.adept-old-...``, beside its temporary name.
_OLD = ".adept-old-"
_LEAVING = re.compile(r"\..*\.adept-(tmp|old)-[a-z0-9_]{8}")
#: Folders in which this process has looked for leavings already.
_swept: set[Path] = set()


@contextlib.contextmanager
def atomic_file(target: Path) -> Iterator[Path]:
    """A temporary path beside ``target`` that becomes it on success and is removed on failure."""
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
    """A temporary folder beside ``target`` that becomes it on success and is removed on failure.

    Of several processes that write the same folder without ``overwrite`` the first to finish wins.

    Raises:
        OutputExistsError: ``target`` exists, is not an empty folder and ``overwrite`` is false, at the start or,
            because another process was faster, at the end.
        DiskFullError: it cannot be written.
    """
    real = resolved(target)  # beside the folder, not beside a link to it, which may be on another disk
    with disk_errors(target):
        real.parent.mkdir(parents=True, exist_ok=True)
        _sweep(real.parent)
        if not overwrite and real.exists() and not (real.is_dir() and not any(real.iterdir())):
            raise _exists(target)
        with _temporary(real, _make_folder) as temporary:
            yield temporary
            temporary.chmod(0o777 & ~_umask())
            for path in temporary.rglob("*"):  # some writers (safetensors) make files that only the owner may read
                path.chmod((0o777 if path.is_dir() else 0o666) & ~_umask())
                _sync(path)
            _sync(temporary)
            try:
                while not _rename(temporary, real):
                    if not overwrite:
                        raise _exists(target)
                    _set_aside(real)
                _sync(real.parent)
            finally:  # removed if the new is in its place, put back if not
                _clear(real.parent, f".{real.name}{_OLD}")


def append_line(path: Path, line: str) -> None:
    """Add a line to a file; one that a killed process left torn is closed first, so that it takes no other with it.

    Raises:
        DiskFullError: it cannot be written.
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
    """Remove what killed processes left half-written in a folder that this process owns (`adept_hub.io.folder_lock`).

    What a killed process had set aside to replace it is put back if nothing took its place.

    Args:
        folder: where; its sub-folders are left alone.
        patterns: of more names to remove, as `Path.glob` takes them.
    """
    for pattern in patterns:
        for path in folder.glob(pattern):
            if _OLD not in path.name:
                _remove(path)
    _clear(folder, ".", held=False)


def _exists(target: Path) -> OutputExistsError:
    if not target.is_dir() and not target.is_file():
        return OutputExistsError(f"{target} {what_is(target)}, not a folder.\nChoose another place.")
    what = "is already there, and is not empty" if target.is_dir() else "is already there"
    return OutputExistsError(
        f"{target} {what}.\nChoose another place, or remove it first: rm -r {shlex.quote(str(target))}"
    )


@contextlib.contextmanager
def _temporary(target: Path, make: Callable[[Path, str], Path]) -> Iterator[Path]:
    """A temporary name beside ``target``, held by a lock that ends with its process, and removed at the end."""
    while True:
        path = make(target.parent, f".{target.name}{TEMPORARY}")
        with contextlib.suppress(FileNotFoundError):
            held = os.open(path, os.O_RDONLY)
            if _take(held) is not False and _is(path, held):
                break
            os.close(held)  # another process took it for a leaving before it was held
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
    """Take the lock of an open file or folder: whether it was free, None where there are no such locks."""
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
    """Remove leavings of dead processes from a folder, by name, and put back what they had set aside.

    Args:
        held: leave those alone that a process may still hold.
    """
    with contextlib.suppress(OSError):  # a folder that cannot be listed or written: it is only about tidiness
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
    """Rename a folder onto nothing or an empty folder; False if something is there."""
    try:
        temporary.rename(target)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR) and target.exists():
            return False
        raise
    return True


def _set_aside(target: Path) -> None:
    """Move what is to be replaced into a hidden folder; a process killed here leaves it to be put back."""
    old = Path(tempfile.mkdtemp(prefix=f".{target.name}{_OLD}", dir=target.parent))
    with contextlib.suppress(FileNotFoundError):  # another process was faster
        target.rename(old / target.name)


def _put_back(old: Path) -> None:
    """Return what was set aside to its place if that is empty, and remove the rest."""
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
    """Have the disk keep a file's content before its name: after a loss of power a name would else be of nothing."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:  # Windows opens no folders
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
