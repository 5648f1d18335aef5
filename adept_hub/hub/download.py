"""Downloads that count: every byte is counted as it arrives, and the whole is verified before it has a name.

What a Hub, a mirror or a proxy announces is a claim. The body is asked for without compression, ends at the announced
size (or at our own limit if none is announced), must keep a least rate, and is compared with the SHA-256 or git hash
that its ETag is. A broken connection is resumed, in this process or a later one, a bounded number of times and with
one line each.
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

#: Bytes per second, over `WINDOW` seconds; below it a download ends. ``ADEPT_MIN_DOWNLOAD_RATE`` sets another, 0 none.
LEAST_RATE = 1000.0
WINDOW = 20.0
#: The body as it is, and counted by the Hub as a download, which newer clients say of their own.
_PLAIN = {"Accept-Encoding": "identity", "X-HF-Download-Counter": "1"}
#: An attempt that brings as much starts the count of attempts anew.
_PROGRESS = 64 << 10
#: Files of this size have a progress bar.
_SHOWN_FROM = 4 << 20

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Announced:
    """What the Hub announces about a file, each value checked for its form.

    ``etag`` is the SHA-256 of a file in large storage (64 digits) or git's blob hash (40); ``size`` is in bytes, None
    if the Hub announces none; ``xet`` is the client's, for a file in Xet storage.
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
        """The file in the words of a message."""
        return f"{self.filename} of {self.where}"


def download(file: Announced, cache: RepoCache, token: str | bool | None, limit: int, *, force: bool = False) -> Path:
    """Make the blob of an announced file, unless it is there.

    Args:
        file: the Hub's announcement.
        cache: where the blob goes.
        token: sent to the Hub, and to no other host that it leads to.
        limit: most bytes that are accepted.
        force: download it even if the blob is there.

    Raises:
        IntegrityError: more bytes arrived than announced or allowed, or others; nothing of them is kept.
        DownloadError: the connection broke again and again, or is too slow.
        DiskFullError: it cannot be kept.
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
    """Compare what arrived with the hash that its ETag is."""
    if len(file.etag) == 64:
        kind, found = "SHA-256", sha256_file(path)
    else:
        kind, found = "git hash", git_hash(path)
    if found != file.etag:
        raise IntegrityError(
            f"What arrived as {file.what} has {kind} {found[:16]}... instead of {file.etag[:16]}...; it was not kept.\n"
            "A proxy, a mirror or the line changed it: try again, or another network."
        )


def git_hash(path: Path) -> str:
    """Return git's hash of a file's content, which is the ETag of a small file on the Hub."""
    digest = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    with BoundedReader(IntegrityError, 1 << 62).open(path) as stream:
        while piece := stream.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def _by_http(file: Announced, stream: BinaryIO, headers: dict[str, str], most: int) -> None:
    """Append what the partial file lacks, again after each broken connection."""
    patience, rate = Patience(file.what), least_rate()
    while True:
        have = stream.tell()
        if have > most or file.size is None:  # without a size, nobody knows whether a rest is the whole
            have = _empty(stream)
        try:
            if have != file.size:
                _attempt(file, stream, headers, most, rate)
            return
        except Exception as error:  # noqa: BLE001  # Patience raises it unless it is transient
            if stream.tell() - have >= _PROGRESS:
                patience.progressed()
            patience.wait(error)


def _attempt(file: Announced, stream: BinaryIO, headers: dict[str, str], most: int, rate: float) -> None:
    """Make one request and append its body; the first byte beyond ``most`` ends it."""
    have = stream.tell()
    if have:
        _log.info("going on at %s of %s bytes", f"{have:,}", f"{file.size:,}")
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
    """Write all of it: an unbuffered file takes less where the disk is about to be full, and says so the next time."""
    rest = memoryview(piece)
    while rest:
        rest = rest[stream.write(rest) :]


def _empty(stream: BinaryIO) -> int:
    stream.truncate(0)
    return stream.seek(0)


def _bar(file: Announced, have: int) -> Any:
    """The client's own progress bar, with its own switches; only on a terminal, and only for what takes a while."""
    hidden = None if (file.size or 0) >= _SHOWN_FROM else True
    bar: Any = tqdm
    return bar(total=file.size, initial=have, unit="B", unit_scale=True, desc=file.filename, disable=hidden)


class _Pace:
    """The bytes of the last `WINDOW` seconds, held against the least rate."""

    def __init__(self, file: Announced, rate: float) -> None:
        self._file, self._rate = file, rate
        self._since, self._bytes = time.monotonic(), 0

    def count(self, count: int) -> None:
        """Count what arrived.

        Raises:
            DownloadError: it is too little for the time that passed.
        """
        self._bytes += count
        seconds = time.monotonic() - self._since
        if seconds < WINDOW:
            return
        if self._bytes < self._rate * seconds:
            raise DownloadError(
                f"{self._file.what} arrives at {self._bytes / seconds:.0f} bytes per second, "
                f"less than {self._rate:g}.\n"
                "What arrived is kept: run it again to go on. Another limit: ADEPT_MIN_DOWNLOAD_RATE (0: none)"
            )
        self._since, self._bytes = time.monotonic(), 0


def least_rate() -> float:
    """Return the least rate of a download in bytes per second: ``ADEPT_MIN_DOWNLOAD_RATE``, or the default.

    Raises:
        DownloadError: the variable is not a number.
    """
    text = os.environ.get("ADEPT_MIN_DOWNLOAD_RATE", "")
    try:
        return max(0.0, float(text)) if text else LEAST_RATE
    except ValueError:
        raise DownloadError(
            f"ADEPT_MIN_DOWNLOAD_RATE is {text[:40]!r}; it is a number of bytes per second.\n"
            f"Unset it for the default, {LEAST_RATE:g}, or use 0 for no limit."
        ) from None


def _check_count(file: Announced, count: int, most: int) -> None:
    """Refuse one byte too many.

    Raises:
        IntegrityError: there are more than ``most``.
    """
    if count > most:
        than = f"the {most:,} announced" if file.size is not None else f"{most:,}, which is all that is accepted"
        raise IntegrityError(
            f"{file.what} has more bytes than {than}; nothing of it was kept.\n"
            "A proxy, a mirror or the Hub itself is wrong about it: try another network, or ask its owner."
        )
