"""Downloads that go on where a killed process left off, and that are verified before they are in the cache.

huggingface_hub resumes a cut connection within one process and starts anew in the next; what it puts into its cache it
does not compare with the digest. For a file in large storage, whose ETag is its SHA-256, the blob is therefore made
here, in the cache's own layout (``models--org--name/blobs/ETAG``) and under its own lock; the client then finds it.
"""

from __future__ import annotations

import importlib.util
import logging
import re
from pathlib import Path

from huggingface_hub import constants
from huggingface_hub.errors import HfHubHTTPError, HFValidationError
from huggingface_hub.file_download import HfFileMetadata, http_get, repo_folder_name
from huggingface_hub.utils import WeakFileLock, build_hf_headers  # type: ignore[attr-defined]  # not re-exported

from adept_hub.digest import sha256_file
from adept_hub.errors import IntegrityError

#: What a request can raise: the client's own errors, those of its transport (requests, httpx or httpx2, as its version
#: has it, and HfHubHTTPError derives from it), and those of the operating system.
TRANSPORT: tuple[type[Exception], ...] = (OSError, HFValidationError, *HfHubHTTPError.__bases__)

_log = logging.getLogger(__name__)


def is_resumable(announced: HfFileMetadata) -> bool:
    """Whether a file has a size and a SHA-256 for its ETag, and comes by plain HTTP.

    Xet, the Hub's newer storage, keeps what it has received by itself; without the package hf_xet it is not used.
    """
    usable = not constants.HF_HUB_DISABLE_XET and importlib.util.find_spec("hf_xet") is not None
    by_xet = getattr(announced, "xet_file_data", None) is not None and usable
    return announced.size is not None and bool(re.fullmatch("[0-9a-f]{64}", announced.etag or "")) and not by_xet


def download_blob(repo: str, url: str, announced: HfFileMetadata, cache: Path | None, token: str | bool | None) -> Path:
    """Make the blob of a resumable file, unless it is there.

    Args:
        repo: ``org/name``.
        url: where the Hub resolves the file.
        announced: the Hub's answer about it; `is_resumable`.
        cache: the cache folder, None for the client's own.
        token: sent to the Hub, and to no other host that it leads to.

    Raises:
        IntegrityError: what arrived is not what its ETag promises; nothing of it is kept.
        Others of the client and of the operating system.
    """
    digest, size = str(announced.etag), announced.size
    root, name = Path(cache or constants.HF_HUB_CACHE), repo_folder_name(repo_id=repo, repo_type="model")
    blob = root / name / "blobs" / digest
    partial = blob.with_name(f"{digest}.partial")
    lock = root / ".locks" / name / f"{digest}.lock"
    for folder in (blob.parent, lock.parent):
        folder.mkdir(parents=True, exist_ok=True)
    with WeakFileLock(lock):
        if blob.exists():
            return blob
        _receive(url, partial, size, build_hf_headers(token=token))
        found = sha256_file(partial)
        if found != digest:
            partial.unlink()
            raise IntegrityError(
                f"What arrived of {repo} has SHA-256 {found[:16]}... instead of {digest[:16]}...; it was not kept.\n"
                "A proxy, a mirror or the line changed it: try again, or another network."
            )
        partial.replace(blob)
    return blob


def _receive(url: str, partial: Path, size: int | None, headers: dict[str, str]) -> None:
    """Fetch what ``partial`` lacks, again after each broken connection as long as each attempt brings something."""
    while True:
        with partial.open("ab", buffering=0) as stream:
            have = stream.tell()
            if have > (size or 0):
                have = stream.truncate(0)
            if have:
                _log.info("going on at %s of %s bytes", f"{have:,}", f"{size:,}")
            try:
                http_get(url, stream, resume_size=have, headers=headers, expected_size=size)
                return
            except TRANSPORT:
                if partial.stat().st_size <= have:
                    raise
