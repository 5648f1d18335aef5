"""Output of commands: aligned tables, JSON, and the streams through which everything is printed."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import sys
import traceback
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any, TextIO, cast

from adept_hub.words.pulse import note_output
from adept_hub.words.sanitize import printable, redact

#: Control sequences of progress bars: to the start of the line, up one line, and clear the rest of the line.
_BAR_MOVES = re.compile(r"(\r|\x1b\[[AK])")


def print_json(value: Any) -> None:
    """Print a JSON document to stdout."""
    print(json.dumps(value, indent=2))


def print_line(text: str, stream: TextIO | None = None) -> None:
    """Print one line, with characters that the terminal cannot encode escaped."""
    out = stream or sys.stdout
    encoding = getattr(out, "encoding", None) or "utf-8"
    out.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]], right: frozenset[int] = frozenset()) -> None:
    """Print columns as wide as their widest cells; those in ``right`` are right-aligned."""
    table = [[" ".join(printable(cell).split("\n")) for cell in row] for row in [head, *rows]]
    widths = [max(len(row[i]) for row in table) for i in range(len(head))]
    for row in table:
        cells = (c.rjust(w) if i in right else c.ljust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True)))
        print("  ".join(cells).rstrip())


class Outlet:
    """A standard stream that masks secrets and drops control characters; a closed one (None) discards everything.

    Messages may contain untrusted text from registries, configs, labels and file names.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Clean the text and write it."""
        if self._stream is not None:
            self._stream.write(self._cleaned(redact(text)))
            note_output(text)
        return len(text)

    def _cleaned(self, text: str) -> str:
        return printable(text)

    def writelines(self, lines: Sequence[str]) -> None:
        """Write several texts."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Flush the underlying stream."""
        if self._stream is not None:
            self._stream.flush()

    def isatty(self) -> bool:
        """Check for a terminal."""
        return self._stream is not None and self._stream.isatty()

    def __getattr__(self, name: str) -> Any:
        if self._stream is None:
            if name in ("encoding", "errors"):  # libraries read them on import
                return {"encoding": "utf-8", "errors": "strict"}[name]
            raise io.UnsupportedOperation(f"{name}: the stream is closed")
        return getattr(self._stream, name)


class ErrorOutlet(Outlet):
    """The same for stderr: progress bars may move the cursor, and a closed pipe is not an error."""

    def write(self, text: str) -> int:
        """Clean the text and write it, unless the stream is closed."""
        with contextlib.suppress(OSError):
            super().write(text)
        return len(text)

    def _cleaned(self, text: str) -> str:
        return "".join(p if i % 2 else printable(p) for i, p in enumerate(_BAR_MOVES.split(text)))


@contextlib.contextmanager
def outlets() -> Iterator[None]:
    """Print stdout and stderr through `Outlet`, with any encoding, and exit cleanly if their readers are gone."""
    streams = sys.stdout, sys.stderr
    errors = [_escape(stream) for stream in streams]
    sys.stdout = cast("TextIO", Outlet(streams[0]))
    sys.stderr = cast("TextIO", ErrorOutlet(streams[1]))
    try:
        yield
    except Exception:
        if sys.excepthook is sys.__excepthook__:
            sys.excepthook = _print_traceback
        raise
    finally:
        sys.stdout, sys.stderr = streams
        for stream, before in zip(streams, errors, strict=True):
            _drain(stream)
            if before is not None:
                cast("io.TextIOWrapper", stream).reconfigure(errors=before)


def _escape(stream: TextIO | None) -> str | None:
    """Escape characters that the encoding does not support; return the previous error handler."""
    if not isinstance(stream, io.TextIOWrapper):
        return None
    before = stream.errors or "strict"
    stream.reconfigure(errors="backslashreplace")
    return before


def _drain(stream: TextIO | None) -> None:
    """Flush; if that fails, drop the rest, or the interpreter would fail on it again at exit."""
    if stream is None:
        return
    try:
        stream.flush()
    except (OSError, ValueError):
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _print_traceback(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Print a traceback like Python's, with secrets in its messages masked."""
    ErrorOutlet(sys.stderr).write("".join(traceback.format_exception(kind, error, trace)))
