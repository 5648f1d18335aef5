"""Download files in Xet, the Hub's newer storage, by hf_xet, with our own limits."""

from __future__ import annotations

import importlib.util
import threading
import time
from pathlib import Path
from typing import Any

from huggingface_hub import constants
from huggingface_hub.file_download import xet_get

from adept_hub.errors import DownloadError

#: Maximum seconds without a write. hf_xet downloads up to 64 MB before it writes, so that the minimum rate of plain
#: downloads, over a short window, would stop slow connections that work.
STALLED = 600.0


def has_xet() -> bool:
    """Check whether the client uses Xet."""
    return not constants.HF_HUB_DISABLE_XET and importlib.util.find_spec("hf_xet") is not None


def fetch_by_xet(
    xet: Any, partial: Path, headers: dict[str, str], size: int | None, most: int, stalled: float | None = STALLED
) -> int:
    """Download a file by hf_xet, and stop it after ``most`` bytes or if it stalls, since it has no limits itself.

    Args:
        xet: the client's ``XetFileData``.
        partial: the file to write; its content is replaced.
        headers: the client's headers, with the token.
        size: the announced size.
        most: maximum number of bytes.
        stalled: maximum seconds without a write; None: no limit.

    Returns:
        The number of written bytes; more than ``most`` if it was stopped.

    Raises:
        DownloadError: nothing was written for ``stalled`` seconds.
    """
    failure: list[BaseException] = []

    def run() -> None:
        try:
            xet_get(incomplete_path=partial, xet_file_data=xet, headers=headers, expected_size=size)
        except BaseException as error:  # noqa: BLE001  # re-raised in the caller's thread
            failure.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    last, since = -1, time.monotonic()
    try:
        while thread.is_alive() and (now := partial.stat()).st_size <= most:
            if now.st_mtime_ns != last:  # a write anywhere in the file
                last, since = now.st_mtime_ns, time.monotonic()
            elif stalled is not None and time.monotonic() - since > stalled:
                raise DownloadError(
                    f"{partial.name[:16]}...: Xet transferred no data for {stalled:.0f} s.\n"
                    "Run it again, or without Xet: HF_HUB_DISABLE_XET=1"
                )
            thread.join(0.1)
    finally:
        if thread.is_alive():  # too many bytes, a stall, or an interrupt, which hf_xet's threads do not notice
            _abort()
    if failure:
        raise failure[0]
    return partial.stat().st_size


def _abort() -> None:
    """Stop hf_xet's threads, in versions of the client that can."""
    try:
        from huggingface_hub.utils import _xet
    except ImportError:
        return
    abort = getattr(_xet, "abort_xet_session", None)
    if abort is not None:
        abort()
