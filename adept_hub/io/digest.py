"""SHA-256 digests of files, cached so that an unchanged file is read only once."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, cast

from adept_hub.errors import AdeptError, IntegrityError
from adept_hub.io.paths import resolved
from adept_hub.io.read import BoundedReader
from adept_hub.io.write import atomic_file

if TYPE_CHECKING:
    from io import BufferedReader

#: Larger than any checkpoint or training state; a sparse file can claim any size.
_MAX_BYTES = 1 << 40
_known: dict[tuple[Path, str], str] = {}


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file's content, hexadecimal.

    Raises:
        IntegrityError: the file cannot be read, or is not a regular file.
    """
    with BoundedReader(IntegrityError, _MAX_BYTES).open(path) as stream:
        return hashlib.file_digest(cast("BufferedReader", stream), "sha256").hexdigest()


def known_digest(path: Path) -> str:
    """Return `sha256_file`, reading a file again only if it has changed since this process read it."""
    found = (path, _identity(path))
    if found not in _known:
        _known[found] = sha256_file(path)
    return _known[found]


def cache_dir() -> Path:
    """Return the folder of what is computed once, such as digests: ``$ADEPT_CACHE``, or ``~/.cache/adept_hub``."""
    root = os.environ.get("ADEPT_CACHE")
    return Path(root) if root else Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "adept_hub"


def cached_blob(path: Path) -> Path | None:
    """Return the blob behind ``path`` in the Hub's cache, which is downloaded again if removed; None for other paths.

    In ``models--ORG--NAME``, ``snapshots/COMMIT/FILE`` is a link to ``blobs/ETAG``, or a copy if links do not work.
    """
    repo = path.absolute().parent.parent.parent
    if path.absolute().parent.parent.name != "snapshots" or not repo.name.startswith("models--"):
        return None
    if not path.is_symlink():
        return path
    blob = resolved(path)
    is_blob = re.fullmatch("[0-9a-f]{40}|[0-9a-f]{64}", blob.name) is not None
    return blob if is_blob and blob.parent == resolved(repo / "blobs") else None


def home_of(path: Path) -> Path | None:
    """Return the folder that must contain a checkpoint's file after links: its own, or that of the Hub's blobs.

    None for a file of this package, since an installer may link its files.
    """
    if path.absolute().is_relative_to(Path(__file__).parent.parent):
        return None
    blob = cached_blob(path)
    return path.parent if blob is None else blob.parent


def again(path: Path) -> str:
    """Return the remedy for a damaged file; only a file that can be downloaded again is removed by a command.

    In the Hub's cache the blob has to be removed, or it would be linked again; elsewhere a link may have any target,
    so that the link itself is named.
    """
    blob = cached_blob(path)
    if blob is not None:
        return f"Remove it and fetch it again: rm {shlex.quote(str(blob))}"
    return f"Replace it by a complete copy: {shlex.quote(str(path))}"


def verify(path: Path, sha256: str, size: int, *, force: bool = False) -> None:
    """Check a file against its expected digest; a success is cached by inode, size and modification time.

    Args:
        path: the file.
        sha256: the expected digest, hexadecimal.
        size: the expected size in bytes.
        force: read the file even if it was verified before and has not changed.

    Raises:
        IntegrityError: size or content differ.
    """
    remedy = f"It is truncated, was modified or is another file. {again(path)}"
    actual = path.stat().st_size  # follows the links of huggingface_hub's cache
    if actual != size:
        raise IntegrityError(f"{path} has {actual} bytes instead of {size}.\n{remedy}")
    stamp, identity = _stamp(path, sha256), _identity(path)
    if not force and _recalled(stamp) == identity:
        return
    actual_sha256 = sha256_file(path)
    if actual_sha256 != sha256:
        raise IntegrityError(f"{path} has SHA-256 {actual_sha256[:16]}... instead of {sha256[:16]}...\n{remedy}")
    if _identity(path) == identity:  # it was not modified while it was read
        _remember(stamp, identity)


def _stamp(path: Path, sha256: str) -> Path:
    name = hashlib.sha256(str(resolved(path)).encode()).hexdigest()[:16]
    return cache_dir() / "verified" / f"{name}-{sha256[:16]}.json"


def _identity(path: Path) -> str:
    stat = path.stat()
    return json.dumps([stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns])


def _recalled(stamp: Path) -> str:
    try:
        return BoundedReader(IntegrityError, limit=1000).text(stamp)
    except IntegrityError:
        return ""


def _remember(stamp: Path, identity: str) -> None:
    try:
        with atomic_file(stamp) as temporary:
            temporary.write_text(identity)
    except (OSError, AdeptError):  # with a read-only home the file is only read again
        return
