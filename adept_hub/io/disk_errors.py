"""Translate the exceptions that libraries raise for a full disk or a location that cannot be written."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from adept_hub.errors import AdeptError, DiskFullError
from adept_hub.io.paths import not_a

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_DENIED = (
    errno.EACCES, errno.EROFS, errno.EPERM, errno.ENOTDIR, errno.EEXIST, errno.ENAMETOOLONG, errno.EISDIR, errno.ELOOP,
)  # fmt: skip
_SHAPES = (errno.EEXIST, errno.ENOTDIR, errno.ELOOP)
#: Messages of torch's writer for any failed write, and of numpy's for a short one.
_TORCH = re.compile(r"unexpected pos \d+ vs \d+|PytorchStreamWriter failed|file write failed|iostream error")
_NUMPY = re.compile(r"\d+ requested and \d+ written")
_SAFETENSORS = re.compile(r"\(os error (\d+)\)|IoError\(Os \{ code: (\d+),")  # the second one before 0.5
#: A file or folder that is being written has the name ``.NAME.adept-tmp-x1y2z3w4``.
TEMPORARY = ".adept-tmp-"
_NAMED = re.compile(r"\.(.+)\.adept-tmp-[a-z0-9_]{8}")


@contextlib.contextmanager
def disk_errors(target: Path) -> Iterator[None]:
    """Raise a `DiskFullError` for a full disk, an exceeded quota or a location that cannot be written.

    Raises:
        DiskFullError: writing to ``target`` failed, in any library.
    """
    try:
        yield
    except AdeptError:
        raise
    except Exception as error:
        cause, target = _system_error(error), _final(target)
        if cause is not None and cause.errno in FULL:
            raise DiskFullError(
                f"No space left while writing {target} ({cause.strerror}); nothing new is under that name.\n"
                f"Free some space (df -h {shlex.quote(str(target.parent))}) or choose another location, "
                "and run the same command again."
            ) from error
        if cause is not None and cause.errno in _DENIED and _concerns(cause, target):
            blocked = next((path for path in (target, *target.parents) if os.path.lexists(path)), target)
            if cause.errno in _SHAPES and not blocked.is_dir():
                raise DiskFullError(f"{not_a('a folder', blocked)}\nChoose another location.") from error
            raise DiskFullError(
                f"{target} cannot be written: {cause.strerror}.\nChoose a location with write permission."
            ) from error
        raise


def _final(target: Path) -> Path:
    """Return the name that the user specified: for a file in a temporary folder, that folder's final name."""
    for path in (target, *target.parents):
        if found := _NAMED.fullmatch(path.name):
            return path.with_name(found[1])
    return target


def _concerns(error: OSError, target: Path) -> bool:
    """Check whether an error concerns ``target`` or a folder above it, not a file that was read in the meantime."""
    if not isinstance(error.filename, str):
        return True
    named, home = Path(error.filename).absolute(), target.parent.absolute()
    return named.is_relative_to(home) or home.is_relative_to(named)


def _system_error(error: Exception) -> OSError | None:
    """Return the operating system's error behind an exception of torch, safetensors, pyarrow or numpy."""
    if isinstance(error, OSError):  # pyarrow raises OSError with an errno
        return OSError(errno.ENOSPC, "a write was cut short") if _NUMPY.search(str(error)) else error
    if type(error).__name__ == "SafetensorError" and (found := _SAFETENSORS.search(str(error))):
        code = int(found[1] or found[2])
        return OSError(code, os.strerror(code))
    if isinstance(error, RuntimeError) and _TORCH.search(str(error)):  # without a reason
        return OSError(errno.ENOSPC, "a write failed: the disk is full, or a quota or limit is reached")
    return None
