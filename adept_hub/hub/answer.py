"""Stream a response of the Hub with the HTTP library of the installed client."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from huggingface_hub import constants
from huggingface_hub.utils import get_session  # type: ignore[attr-defined]  # not re-exported

from adept_hub.errors import IntegrityError
from adept_hub.hub.errors import RefusedError
from adept_hub.hub.retries import OPENING, within


class Answer:
    """An open response to a GET request, of requests or httpx.

    Args:
        url: the URL; redirects are followed.
        headers: the request headers; credentials are sent only to the Hub, since the library drops them for other
            hosts.
        what: the file, for messages.
    """

    def __init__(self, url: str, headers: Mapping[str, str], what: str) -> None:
        session: Any = get_session()
        timeout = constants.HF_HUB_DOWNLOAD_TIMEOUT
        self._what = what
        self._is_httpx = hasattr(session, "build_request")
        if self._is_httpx:
            request = session.build_request("GET", url, headers=headers, timeout=timeout)
            self._response = within(OPENING, lambda: session.send(request, stream=True, follow_redirects=True))
        else:
            self._response = within(OPENING, lambda: session.get(url, headers=headers, timeout=timeout, stream=True))

    def __enter__(self) -> Answer:
        return self

    def __exit__(self, *_: object) -> None:
        self._response.close()

    def begin(self, have: int) -> int:
        """Return the offset of the body: ``have``, as requested, or 0.

        Raises:
            RefusedError: the status is an error.
            ConnectionError: the body has another offset, or the file ends before ``have``.
            IntegrityError: the body is compressed although that was not requested, so that its size has no limit.
        """
        status, headers = self._response.status_code, self._response.headers
        if status == 416:
            raise ConnectionError("the server has fewer bytes than announced")
        if status not in (200, 206):
            wait = headers.get("Retry-After", "")
            raise RefusedError(status, float(wait) if re.fullmatch(r"\d{1,6}", wait, re.ASCII) else 0.0)
        encoding = headers.get("Content-Encoding", "identity").lower()
        if encoding not in ("", "identity"):
            raise IntegrityError(
                f"{self._what} was sent compressed ({encoding[:40]}) without being requested so; it was discarded.\n"
                "A proxy or mirror modifies responses: try another network or HF_ENDPOINT."
            )
        if status == 200:
            return 0
        if not re.match(rf"bytes {have}-", headers.get("Content-Range", "")):
            raise ConnectionError("the server sent another range than requested")
        return have

    def pieces(self) -> Iterator[bytes]:
        """Yield the body in chunks (requests: of a kilobyte, so that a slow connection is detected)."""
        pieces: Iterator[bytes]
        pieces = self._response.iter_raw() if self._is_httpx else self._response.iter_content(1 << 10)
        return pieces
