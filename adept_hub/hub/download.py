"""Download files of the Hub: bytes are counted as they arrive, and the content is verified before it gets its name.

The metadata of a Hub, a mirror or a proxy are not trusted. The body is requested without compression, must end at the
announced size (or at our own limit if none is announced), must keep a minimum rate, and is compared with its ETag, a
SHA-256 or git hash. A broken connection is resumed, in this process or a later one, a limited number of times and with
one line of log each.
"""

from __future__ import annotations

import hashlib
import logging
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from huggingface_hub.utils import build_hf_headers, tqdm  # type: ignore[attr-defined]  # not re-exported

from adept_hub.errors import DownloadError, IntegrityError
from adept_hub.hub.answer import Answer
from adept_hub.hub.cache import RepoCache
from adept_hub.hub.retries import Patience
from adept_hub.hub.xet import STALLED, fetch_by_xet, has_xet
from adept_hub.io.digest import sha256_file
from adept_hub.io.read import BoundedReader

#: Minimum bytes per second over `WINDOW` seconds; ``ADEPT_MIN_DOWNLOAD_RATE`` overrides it, 0 disables it.
LEAST_RATE = 1000.0
WINDOW = 20.0
#: Request the body without compression, and count it as a download on the Hub, as newer clients do by themselves.
_PLAIN = {"Accept-Encoding": "identity", "X-HF-Download-Counter": "1"}
#: An attempt that transfers this many bytes resets the count of attempts.
_PROGRESS = 64 << 10
#: Minimum size of a file with a progress bar.
_SHOWN_FROM = 4 << 20

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Announced:
    """Validated metadata of a file on the Hub.

    ``etag`` is the SHA-256 of a file in large storage (64 digits) or git's blob hash (40); ``size`` is in bytes, None
    if it is not announced; ``xet`` is the client's object for a file in Xet storage.
    """

    where: str
    filename: str
    url: str
    etag: str
    commit: str
    size: int | None
    xet: Any = None

    @property
    def what(self) -> str:
        """The file's name in messages."""
        return f"{self.filename} of {self.where}"


def download(file: Announced, cache: RepoCache, token: str | bool | None, limit: int, *, force: bool = False) -> Path:
    """Download a file into its blob, unless it exists.

    Args:
        file: the file's metadata.
        cache: the cache of the repository.
        token: sent only to the Hub, not to other hosts to which it redirects.
        limit: maximum number of bytes.
        force: download the file even if the blob exists.

    Raises:
        IntegrityError: more bytes than announced or allowed, or a wrong digest; the content is discarded.
        DownloadError: the connection broke repeatedly, or is too slow.
        DiskFullError: the file cannot be stored.
    """
    blob, most = cache.blob(file.etag), limit if file.size is None else min(file.size, limit)
    with cache.locked(file.etag):
        is_damaged = blob.exists() and len(file.etag) == 40 and git_hash(blob) != file.etag
        if blob.exists() and not force and not is_damaged:
            return blob
        with cache.partial(file.etag, resume=not force) as (partial, stream):
            headers = build_hf_headers(token=token)
            if file.xet is not None and has_xet():
                _empty(stream)
                stalled = STALLED if least_rate() else None
                _check_count(file, fetch_by_xet(file.xet, partial, headers, file.size, most, stalled), most)
            else:
                _by_http(file, stream, headers | _PLAIN, most)
            _verify(file, partial)
        partial.replace(blob)
    return blob


def _verify(file: Announced, path: Path) -> None:
    """Compare the content with its ETag."""
    if len(file.etag) == 64:
        kind, digest = "SHA-256", sha256_file(path)
    else:
        kind, digest = "git hash", git_hash(path)
    if digest != file.etag:
        raise IntegrityError(
            f"{file.what} has {kind} {digest[:16]}... instead of {file.etag[:16]}... after the download; it was "
            "discarded.\nA proxy, a mirror or the connection modified it: try again, or use another network."
        )


def git_hash(path: Path) -> str:
    """Return git's blob hash of a file, which is the ETag of a small file on the Hub."""
    digest = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    with BoundedReader(IntegrityError, 1 << 62).open(path) as stream:
        while piece := stream.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def _by_http(file: Announced, stream: BinaryIO, headers: dict[str, str], most: int) -> None:
    """Append the missing bytes to the partial file, with a new request after each broken connection."""
    patience, rate = Patience(file.what), least_rate()
    while True:
        have = stream.tell()
        if have > most or file.size is None:  # without a size, a partial file cannot be completed
            have = _empty(stream)
        try:
            if have != file.size:
                _attempt(file, stream, headers, most, rate)
            return
        except Exception as error:  # noqa: BLE001  # Patience re-raises it unless it is transient
            if stream.tell() - have >= _PROGRESS:
                patience.progressed()
            patience.wait(error)


def _attempt(file: Announced, stream: BinaryIO, headers: dict[str, str], most: int, rate: float) -> None:
    """Make one request and append its body, up to ``most`` bytes."""
    have = stream.tell()
    if have:
        _log.info("resuming at %s of %s bytes", f"{have:,}", f"{file.size:,}")
        headers = headers | {"Range": f"bytes={have}-"}
    with Answer(file.url, headers, file.what) as answer:
        try:
            begins = answer.begin(have)
        except ConnectionError:
            _empty(stream)
            raise
        if begins != have:
            have = _empty(stream)
        pace = _Pace(file, rate)
        with _bar(file, have) as bar:
            for piece in answer.pieces():
                have += len(piece)
                _check_count(file, have, most)
                _write(stream, piece)
                pace.count(len(piece))
                bar.update(len(piece))
    if file.size is not None and have < file.size:
        raise ConnectionError(f"the server sent {have:,} of {file.size:,} bytes")


def _write(stream: BinaryIO, piece: bytes) -> None:
    """Write a whole chunk: an unbuffered file may write less if the disk is nearly full, and fails only next time."""
    rest = memoryview(piece)
    while rest:
        rest = rest[stream.write(rest) :]


def _empty(stream: BinaryIO) -> int:
    stream.truncate(0)
    return stream.seek(0)


def _bar(file: Announced, have: int) -> Any:
    """Return the client's progress bar, with its settings; only on a terminal and for large files."""
    hidden = None if (file.size or 0) >= _SHOWN_FROM else True
    bar: Any = tqdm
    return bar(total=file.size, initial=have, unit="B", unit_scale=True, desc=file.filename, disable=hidden)


class _Pace:
    """Compares the bytes of the last `WINDOW` seconds with the minimum rate."""

    def __init__(self, file: Announced, rate: float) -> None:
        self._file, self._rate = file, rate
        self._since, self._bytes = time.monotonic(), 0

    def count(self, count: int) -> None:
        """Count received bytes.

        Raises:
            DownloadError: the rate is too low.
        """
        self._bytes += count
        seconds = time.monotonic() - self._since
        if seconds < WINDOW:
            return
        if self._bytes < self._rate * seconds:
            raise DownloadError(
                f"{self._file.what} arrives at {self._bytes / seconds:.0f} bytes per second, "
                f"less than {self._rate:g}.\n"
                "The partial file is kept: run it again to resume. Another limit: ADEPT_MIN_DOWNLOAD_RATE (0: none)"
            )
        self._since, self._bytes = time.monotonic(), 0


def least_rate() -> float:
    """Return the minimum rate of a download in bytes per second: ``ADEPT_MIN_DOWNLOAD_RATE``, or the default.

    Raises:
        DownloadError: the variable is not a number.
    """
    text = os.environ.get("ADEPT_MIN_DOWNLOAD_RATE", "")
    try:
        return max(0.0, float(text)) if text else LEAST_RATE
    except ValueError:
        raise DownloadError(
            f"ADEPT_MIN_DOWNLOAD_RATE is {text[:40]!r}; it must be a number of bytes per second.\n"
            f"Unset it for the default, {LEAST_RATE:g}, or use 0 for no limit."
        ) from None


def _check_count(file: Announced, count: int, most: int) -> None:
    """Refuse more bytes than allowed.

    Raises:
        IntegrityError: there are more than ``most``.
    """
    if count > most:
        than = f"the {most:,} announced" if file.size is not None else f"the {most:,} allowed"
        raise IntegrityError(
            f"{file.what} has more bytes than {than}; it was discarded.\n"
            "A proxy, a mirror or the Hub itself sends wrong metadata: try another network, or ask the owner."
        )
