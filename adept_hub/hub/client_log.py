"""Replace huggingface_hub's log of retries, two or more lines each, by one line."""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Iterator

from adept_hub.errors import DownloadError
from adept_hub.words.sanitize import redact

#: Maximum number of seconds between two attempts.
LONGEST_WAIT = 60.0

_FAILED = re.compile(r"HTTP Error (\d+) thrown while requesting|^'(.*)' thrown while requesting", re.DOTALL)
_AGAIN = re.compile(r"(?:Retrying in|Waiting) ([\d.]+)s.*\[Retry (\d+)/(\d+)\]")

_log = logging.getLogger(__name__)


@contextlib.contextmanager
def one_line_per_retry(what: str) -> Iterator[None]:
    """Log one line for each retry of the client; ``what`` is the subject of the request.

    Raises:
        DownloadError: the Hub requests a wait longer than `LONGEST_WAIT`, which the client would respect for hours.
    """
    logger, retries = logging.getLogger("huggingface_hub.utils._http"), _Retries(what)
    logger.addFilter(retries)
    try:
        yield
    finally:
        logger.removeFilter(retries)


class _Retries(logging.Filter):
    def __init__(self, what: str) -> None:
        super().__init__()
        self._what, self._why = what, "the request failed"

    def filter(self, record: logging.LogRecord) -> bool:
        """Drop the client's lines about a failed request; the last failure raises an error anyway."""
        text = record.getMessage()
        if failed := _FAILED.search(text):
            self._why = f"HTTP {failed[1]}" if failed[1] else redact(failed[2])[:200]
            return False
        if again := _AGAIN.search(text):
            seconds, attempt, most = float(again[1]), again[2], again[3]
            if seconds > LONGEST_WAIT:  # an exception in a filter ends the request that is logged
                raise DownloadError(
                    f"{self._what}: {self._why}; the Hub requests a wait of {seconds:.0f} s (at most "
                    f"{LONGEST_WAIT:.0f} s are waited).\nTry again later."
                )
            _log.warning("%s: %s; retrying in %.0f s (%s of %s)", self._what, self._why, seconds, attempt, most)
            return False
        return True
