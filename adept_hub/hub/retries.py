"""Requests that are made again while that can help, and that end."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from huggingface_hub import constants

from adept_hub.errors import DownloadError
from adept_hub.hub.client_log import LONGEST_WAIT
from adept_hub.hub.errors import first_line, is_transient, root_of

T = TypeVar("T")

#: Attempts that bring next to nothing, one after the other, before a request fails.
ATTEMPTS = 5
#: Seconds for a server to begin its answer, redirects included, however slowly the headers drip.
OPENING = 120.0

_log = logging.getLogger(__name__)


class Patience:
    """How often a request is made again, and how long it waits before; one line each time."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._failures = 0

    def progressed(self) -> None:
        """Start to count anew: the last attempt brought something."""
        self._failures = 0

    def wait(self, error: Exception) -> None:
        """Log the error and wait before the next attempt.

        Raises:
            Exception: ``error`` itself, if another attempt cannot help, or enough were made.
        """
        self._failures += 1
        if not is_transient(error) or self._failures >= ATTEMPTS:
            raise error
        seconds = min(LONGEST_WAIT, max(2.0 ** (self._failures - 1), getattr(error, "wait", 0.0)))
        why = first_line(root_of(error))
        _log.warning("%s: %s; again in %.0f s (%d of %d)", self._what, why, seconds, self._failures, ATTEMPTS - 1)
        time.sleep(seconds)


def patiently(what: str, request: Callable[[], T]) -> T:
    """Make a request, again while it fails for a reason that may pass."""
    patience = Patience(what)
    while True:
        try:
            return within(OPENING, request)
        except Exception as error:  # noqa: BLE001  # Patience raises it unless it is transient
            patience.wait(error)


def within(seconds: float, work: Callable[[], T]) -> T:
    """Run ``work`` for at most so long; a socket's timeout bounds the time between two bytes only.

    Raises:
        DownloadError: it took longer. Its thread is left to end by itself.
    """
    outcome: list[T] = []
    failure: list[BaseException] = []

    def run() -> None:
        try:
            outcome.append(work())
        except BaseException as error:  # noqa: BLE001  # raised again by the caller's thread
            failure.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if failure:
        raise failure[0]
    if not outcome:
        raise DownloadError(
            f"The Hub ({constants.ENDPOINT}) did not answer a request within {seconds:.0f} s.\n"
            "Check the network, HF_ENDPOINT and the proxy, or try again later."
        )
    return outcome[0]
