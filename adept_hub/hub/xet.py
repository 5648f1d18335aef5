"""Files in Xet, the Hub's newer storage: hf_xet writes them, and its limits are ours."""

from __future__ import annotations

import importlib.util
import threading
import time
from pathlib import Path
from typing import Any

from huggingface_hub import constants
from huggingface_hub.file_download import xet_get

from adept_hub.errors import DownloadError

#: Seconds without a write. hf_xet fetches up to 64 MB before it writes any of it, so that a rate over the short window
#: of plain downloads would end slow lines that work.
STALLED = 600.0


def has_xet() -> bool:
    """Whether the client would use Xet."""
    return not constants.HF_HUB_DISABLE_XET and importlib.util.find_spec("hf_xet") is not None


def fetch_by_xet(
    xet: Any, partial: Path, headers: dict[str, str], size: int | None, most: int, stalled: float | None = STALLED
) -> int:
    """Let hf_xet write a file, and stop it at ``most`` bytes or when it writes nothing: it knows no limit itself.

    Args:
        xet: the client's ``XetFileData``.
        partial: the file to write; what it holds is replaced.
        headers: the client's, with the token.
        size: as announced.
        most: bytes, at most.
        stalled: seconds without a write after which it is stopped; None: never.

    Returns:
        The bytes that were written; more than ``most`` if it was stopped.

    Raises:
        DownloadError: nothing was written for so long.
    """
    failure: list[BaseException] = []

    def run() -> None:
        try:
            xet_get(incomplete_path=partial, xet_file_data=xet, headers=headers, expected_size=size)
        except BaseException as error:  # noqa: BLE001  # raised again by the caller's thread
            failure.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    last, since = -1, time.monotonic()
    try:
        while thread.is_alive() and (now := partial.stat()).st_size <= most:
            if now.st_mtime_ns != last:  # a write, wherever in the file
                last, since = now.st_mtime_ns, time.monotonic()
            elif stalled is not None and time.monotonic() - since > stalled:
                raise DownloadError(
                    f"{partial.name[:16]}...: Xet brought nothing for {stalled:.0f} s.\n"
                    "Run it again, or without Xet: HF_HUB_DISABLE_XET=1"
                )
            thread.join(0.1)
    finally:
        if thread.is_alive():  # too many bytes, a stall, or an interrupt, of which hf_xet's threads learn nothing
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
