"""Bodies that are not what was announced: what a Hub, a mirror or a proxy can do to a client that believes it.

Each is the ``lie`` of a `tests.hub.loopback.Fault`: it writes a whole answer for the content it is given.
"""

from __future__ import annotations

import gzip
import threading
from collections.abc import Callable

from tests.hub.loopback_handler import Handler

Lie = Callable[[Handler, bytes], None]

#: Written at most, where a client would take everything: enough to be seen, too little to fill a disk.
ENDLESS = 64 << 20


def _begin(handler: Handler, headers: dict[str, str], status: int = 200) -> None:
    handler.send_response(status)
    for key, value in headers.items():
        handler.send_header(key, value)
    handler.send_header("Connection", "close")
    handler.end_headers()


def _chunk(handler: Handler, content: bytes) -> None:
    handler.wfile.write(b"%x\r\n%s\r\n" % (len(content), content))


def one_byte_too_many(handler: Handler, body: bytes) -> None:
    _begin(handler, {"Content-Length": str(len(body) + 1)})
    handler.wfile.write(body + b"!")


def one_byte_too_many_in_chunks(handler: Handler, body: bytes) -> None:
    _begin(handler, {"Transfer-Encoding": "chunked"})
    for content in (body, b"!", b""):
        _chunk(handler, content)


def endless(handler: Handler, body: bytes) -> None:
    _begin(handler, {"Transfer-Encoding": "chunked"})
    for _ in range(ENDLESS >> 16):
        _chunk(handler, bytes(1 << 16))


def without_end_or_length(handler: Handler, body: bytes) -> None:
    _begin(handler, {})
    for _ in range(ENDLESS >> 16):
        handler.wfile.write(bytes(1 << 16))


def gzip_bomb(handler: Handler, body: bytes) -> None:
    bomb = gzip.compress(body + bytes(ENDLESS))
    _begin(handler, {"Content-Encoding": "gzip", "Content-Length": str(len(bomb))})
    handler.wfile.write(bomb)


def another_range(handler: Handler, body: bytes) -> None:
    _begin(handler, {"Content-Range": f"bytes 7-{len(body)}/{len(body)}", "Content-Length": str(len(body))}, 206)
    handler.wfile.write(body)


def cut_after(count: int) -> Lie:
    """The connection ends after so many bytes of each body."""

    def lie(handler: Handler, body: bytes) -> None:
        _begin(handler, {"Content-Length": str(len(body))})
        handler.wfile.write(body[:count])

    return lie


def drip(every: float, count: int = 1) -> Lie:
    """A few bytes at a time, for ten seconds at most."""

    def lie(handler: Handler, body: bytes) -> None:
        _begin(handler, {"Content-Length": str(len(body))})
        for at in range(0, min(len(body), int(10 / every) * count), count):
            handler.wfile.write(body[at : at + count])
            threading.Event().wait(every)

    return lie


def stall(seconds: float) -> Lie:
    """Half of the body, then nothing."""

    def lie(handler: Handler, body: bytes) -> None:
        _begin(handler, {"Content-Length": str(len(body))})
        handler.wfile.write(body[: len(body) // 2])
        threading.Event().wait(seconds)

    return lie


def drip_headers(handler: Handler, body: bytes) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
    for _ in range(100):
        handler.wfile.write(b"X")
        threading.Event().wait(0.1)
