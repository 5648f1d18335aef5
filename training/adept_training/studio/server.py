"""Serve the page on this machine alone: 127.0.0.1, GET, and only to requests for this very address.

A page of another site must not read a user's images: the Host header is compared (DNS rebinding), other sites may not
embed an answer, and no address is ever a path of the disk.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import cast

from adept_hub.errors import OptionValueError
from adept_training.studio.answers import Answer, Answers

HOST = "127.0.0.1"
_POLICY = (
    "default-src 'none'; img-src 'self' data:; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_LONGEST = 1000


class StudioServer(ThreadingHTTPServer):
    """A server of one page."""

    daemon_threads = True
    #: A page asks for all of its thumbnails at once; with the default of 5 some are refused on a busy machine.
    request_queue_size = 128

    def __init__(self, answers: Answers, port: int) -> None:
        super().__init__((HOST, port), _Handler)
        self.answers = answers

    @property
    def address(self) -> str:
        """The address of the page."""
        return f"http://{HOST}:{self.server_address[1]}/"

    def is_ours(self, host: str | None) -> bool:
        """Check the Host header of a request."""
        port = self.server_address[1]
        return host in (f"{HOST}:{port}", f"localhost:{port}")


class _Handler(BaseHTTPRequestHandler):
    server_version, sys_version = "adept-studio", ""
    timeout = 60

    def do_GET(self) -> None:
        server = cast(StudioServer, self.server)
        if not server.is_ours(self.headers.get("Host")):
            self._send(Answer(403, "text/plain; charset=utf-8", b"This page is only for 127.0.0.1.\n"))
        elif len(self.path) > _LONGEST or not re.fullmatch(r"/[\x21-\x7e]*", self.path):
            self._send(Answer(404, "text/plain; charset=utf-8", b"There is no such page.\n"))
        else:
            self._send(self._answer(server))

    def _answer(self, server: StudioServer) -> Answer:
        """Return the answer; a fault of ours is shown on the page and, in full, in the terminal."""
        try:
            return server.answers.answer(self.path.partition("?")[0])
        except Exception as error:  # noqa: BLE001  # the page must not wait for an answer that never comes
            server.handle_error(self.request, self.client_address)
            words = {"error": f"adept studio failed: {type(error).__name__}.\nThe traceback is in its terminal."}
            return Answer(500, "application/json", json.dumps(words).encode())

    def _send(self, answer: Answer) -> None:
        with contextlib.suppress(ConnectionError):  # the reader has gone on to another image
            self.send_response(answer.status)
            for name, value in {**_HEADERS, "Content-Type": answer.kind}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.content)))
            self.end_headers()
            self.wfile.write(answer.content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # its name in http.server
        """Log nothing: addresses would hide the one that the user needs."""


@contextlib.contextmanager
def serving(answers: Answers, port: int = 0) -> Iterator[StudioServer]:
    """Open a port, or any free one with 0; the caller then runs ``serve_forever``.

    Raises:
        OptionValueError: the port is taken or not allowed.
    """
    try:
        server = StudioServer(answers, port)
    except (OSError, OverflowError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise OptionValueError(f"--port {port} cannot be used: {why}.\nLeave --port out to get a free one.") from error
    try:
        yield server
    finally:
        answers.evaluations.stop()
        server.server_close()
