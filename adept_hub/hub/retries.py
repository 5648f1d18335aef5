"""Retry requests a limited number of times while that can help."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from huggingface_hub import constants

from adept_hub.errors import DownloadError
from adept_hub.hub.client_log import LONGEST_WAIT
from adept_hub.hub.errors import first_line, root_of, status_of, transport_errors

T = TypeVar("T")

#: Maximum number of consecutive attempts without progress.
ATTEMPTS = 5
#: Maximum seconds until the response begins, including redirects and slow headers.
OPENING = 120.0
#: Exceptions and statuses after which a retry may succeed.
_BROKEN: tuple[type[Exception], ...] = (
    ConnectionError,
    TimeoutError,
    *transport_errors("TimeoutException", "NetworkError", "RemoteProtocolError"),  # httpx
    *transport_errors("Timeout", "ConnectionError", "ChunkedEncodingError"),  # requests
)
_BUSY = (408, 425, 429, 500, 502, 503, 504)

_log = logging.getLogger(__name__)


def is_transient(error: Exception) -> bool:
    """Check whether a retry may succeed: a busy server or a broken connection."""
    status = status_of(error)
    if status is not None:
        return status in _BUSY
    refused_by_proxy = type(error).__name__ == "ProxyError"
    untrusted = "CERTIFICATE_VERIFY_FAILED" in str(root_of(error))
    return isinstance(error, _BROKEN) and not refused_by_proxy and not untrusted


class Patience:
    """Counts the attempts of a request, waits between them and logs one line for each."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._failures = 0

    def progressed(self) -> None:
        """Reset the count after an attempt with progress."""
        self._failures = 0

    def wait(self, error: Exception) -> None:
        """Log the error and wait before the next attempt.

        Raises:
            Exception: ``error`` itself, if a retry cannot help, or after too many attempts.
        """
        self._failures += 1
        if not is_transient(error) or self._failures >= ATTEMPTS:
            raise error
        seconds = min(LONGEST_WAIT, max(2.0 ** (self._failures - 1), getattr(error, "wait", 0.0)))
        why = first_line(root_of(error))
        _log.warning("%s: %s; retrying in %.0f s (%d of %d)", self._what, why, seconds, self._failures, ATTEMPTS - 1)
        time.sleep(seconds)


def patiently(what: str, request: Callable[[], T]) -> T:
    """Make a request, and retry it after transient errors."""
    patience = Patience(what)
    while True:
        try:
            return within(OPENING, request)
        except Exception as error:  # noqa: BLE001  # Patience raises it unless it is transient
            patience.wait(error)


def within(seconds: float, work: Callable[[], T]) -> T:
    """Run ``work`` with a timeout; a socket's timeout limits only the time between two bytes.

    Raises:
        DownloadError: it took longer; its thread keeps running until it ends.
    """
    outcome: list[T] = []
    failure: list[BaseException] = []

    def run() -> None:
        try:
            outcome.append(work())
        except BaseException as error:  # noqa: BLE001  # re-raised in the caller's thread
            failure.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if failure:
        raise failure[0]
    if not outcome:
        raise DownloadError(
            f"The Hub ({constants.ENDPOINT}) did not respond within {seconds:.0f} s.\n"
            "Check the network, HF_ENDPOINT and the proxy, or try again later."
        )
    return outcome[0]
