"""huggingface_hub's own log of its retries, two lines and more each, as one line of ours."""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Iterator

from adept_hub.errors import DownloadError
from adept_hub.words.messages import redact

#: Seconds between two attempts, at most.
LONGEST_WAIT = 60.0

_FAILED = re.compile(r"HTTP Error (\d+) thrown while requesting|^'(.*)' thrown while requesting", re.DOTALL)
_AGAIN = re.compile(r"(?:Retrying in|Waiting) ([\d.]+)s.*\[Retry (\d+)/(\d+)\]")

_log = logging.getLogger(__name__)


@contextlib.contextmanager
def one_line_per_retry(what: str) -> Iterator[None]:
    """Log one line for each request that the client makes again; ``what`` is what it is about.

    Raises:
        DownloadError: the Hub asks to wait longer than `LONGEST_WAIT`; the client would, for hours if it says so.
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
        """Drop the client's lines about a failed request; of the last one its error speaks."""
        text = record.getMessage()
        if failed := _FAILED.search(text):
            self._why = f"HTTP {failed[1]}" if failed[1] else redact(failed[2])[:200]
            return False
        if again := _AGAIN.search(text):
            seconds, attempt, most = float(again[1]), again[2], again[3]
            if seconds > LONGEST_WAIT:  # what a filter raises ends the request that is logged
                raise DownloadError(
                    f"{self._what}: {self._why}; the Hub asks to wait {seconds:.0f} s, more than {LONGEST_WAIT:.0f}.\n"
                    "Run it again then."
                )
            _log.warning("%s: %s; again in %.0f s (%s of %s)", self._what, self._why, seconds, attempt, most)
            return False
        return True
