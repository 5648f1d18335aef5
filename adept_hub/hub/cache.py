"""Read and write huggingface_hub's cache in its documented layout.

``models--org--name/blobs/ETAG`` is the content, ``snapshots/COMMIT/FILE`` a link to it, ``refs/REVISION`` contains the
commit of a branch or tag, and ``.locks`` the locks. All names come from the Hub and are validated before they are used
here (`adept_hub.hub.client.Announced`).
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from huggingface_hub import constants
from huggingface_hub.file_download import repo_folder_name
from huggingface_hub.utils import WeakFileLock  # type: ignore[attr-defined]  # not re-exported

from adept_hub.errors import AdeptError, IntegrityError
from adept_hub.io.paths import resolved
from adept_hub.io.read import BoundedReader
from adept_hub.io.write import atomic_file

try:
    import fcntl
except ModuleNotFoundError:  # Windows
    fcntl = None  # type: ignore[assignment]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RepoCache:
    """The cached files of one repository; ``root`` is the cache folder, None for the client's default."""

    repo: str
    root: Path | None = None

    @property
    def top(self) -> Path:
        """The cache folder."""
        return Path(self.root or constants.HF_HUB_CACHE)

    @property
    def folder(self) -> Path:
        """The folder of the repository."""
        return self.top / repo_folder_name(repo_id=self.repo, repo_type="model")

    def blob(self, etag: str) -> Path:
        """Return the path of the content with this ETag."""
        return self.folder / "blobs" / etag

    @contextlib.contextmanager
    def locked(self, etag: str) -> Iterator[None]:
        """Hold the client's lock on a blob, so that other processes wait for the one that downloads it."""
        lock = self.top / ".locks" / self.folder.name / f"{etag}.lock"
        for folder in (lock.parent, self.folder / "blobs"):
            folder.mkdir(parents=True, exist_ok=True)
        with WeakFileLock(lock):
            yield

    @contextlib.contextmanager
    def partial(self, etag: str, *, resume: bool) -> Iterator[tuple[Path, BinaryIO]]:
        """Open a partial file that no other process writes to; it is kept to be resumed unless its content is wrong.

        Args:
            etag: the ETag of the complete content.
            resume: continue the partial file of a process that has ended.
        """
        own = self.folder / "blobs" / f"{etag}.{os.getpid()}-{secrets.token_hex(4)}.partial"
        for left in sorted(own.parent.glob(f"{etag}.*partial")) if resume else ():
            with contextlib.suppress(OSError):  # another process is writing to it, or has just taken it over
                stream = left.open("r+b", buffering=0)
                if _claimed(stream):
                    left.replace(own)
                    break
                stream.close()
        else:
            stream = own.open("x+b", buffering=0)
            _claimed(stream)
        try:
            with stream:
                stream.seek(0, os.SEEK_END)
                yield own, stream
        except IntegrityError:
            own.unlink(missing_ok=True)
            raise

    def pointer(self, commit: str, filename: str, etag: str) -> Path | None:
        """Return the file of a commit if it is cached with this content, else None."""
        path = self.folder / "snapshots" / commit / filename
        is_copy = path.is_file() and not path.is_symlink()
        return path if is_copy or (path.exists() and resolved(path) == resolved(self.blob(etag))) else None

    def link(self, commit: str, filename: str, etag: str) -> Path:
        """Link ``snapshots/COMMIT/FILE`` to the blob, or copy it if links are not possible."""
        path = self.folder / "snapshots" / commit / filename
        path.parent.mkdir(parents=True, exist_ok=True)
        if not getattr(constants, "HF_HUB_DISABLE_SYMLINKS", False):
            with contextlib.suppress(NotImplementedError, PermissionError):  # Windows without the privilege, FAT
                return _linked(path, os.path.relpath(self.blob(etag), path.parent))
        with atomic_file(path) as temporary:
            shutil.copyfile(self.blob(etag), temporary)
        return path

    def remember(self, revision: str, commit: str) -> None:
        """Record the commit of a branch or tag for offline use, unless the cache is read-only."""
        ref = self.folder / "refs" / revision
        if revision == commit:
            return
        try:
            if not (ref.is_file() and BoundedReader(IntegrityError, limit=1000).text(ref) == commit):
                with atomic_file(ref) as temporary:
                    temporary.write_text(commit, encoding="utf-8")
        except (OSError, AdeptError) as error:
            _log.info("%s cannot be recorded in the cache, so it will not be available offline: %s", revision, error)


def _claimed(stream: BinaryIO) -> bool:
    """Try to take the lock of an open file, which the system releases when the process ends."""
    if fcntl is None:
        return False
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _linked(path: Path, target: str) -> Path:
    """Create a link under its final name, so that a killed process leaves no temporary one."""
    while not (path.is_symlink() and str(path.readlink()) == target):
        try:
            path.symlink_to(target)
        except FileExistsError:  # an older link, or another process was faster
            path.unlink(missing_ok=True)
    return path
