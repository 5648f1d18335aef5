"""Print a line when a command has been silent for seconds, and acknowledge an interrupt at once."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType

#: Seconds of silence before a line, and between two looks.
SILENCE, _LOOK = 4.0, 0.5
#: What the command is doing, the innermost last.
_doing: list[Callable[[], str]] = []


class _Printed:
    """Hold the time of the last output, and whether it ended a line."""

    at, ended = 0.0, True


def note_output(text: str) -> None:
    """Record that text was printed."""
    if text:
        _Printed.at, _Printed.ended = time.monotonic(), text.endswith("\n")


@contextlib.contextmanager
def doing(describe: Callable[[], str]) -> Iterator[None]:
    """Let the lines of `pulse` describe the work of the block, such as ``iteration 7/100``."""
    _doing.append(describe)
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):  # the command that it belonged to has ended
            _doing.remove(describe)


@contextlib.contextmanager
def pulse(command: str) -> Iterator[None]:
    """Print to stderr what the command is doing, after every `SILENCE` seconds without output.

    Work that was left unfinished before, such as an abandoned bar, is not described. CI (the variable ``CI``) and all
    processes but the first of a distributed run print nothing.
    """
    _doing.clear()
    if os.environ.get("CI") or os.environ.get("RANK", "0") != "0":
        yield
        return
    ended, started = threading.Event(), time.monotonic()
    _Printed.at, _Printed.ended = started, True

    def beat() -> None:
        while not ended.wait(_LOOK):
            if time.monotonic() - _Printed.at >= SILENCE:
                seconds = round(time.monotonic() - started)
                what = _doing[-1]() if _doing else f"adept {command} is working"
                write_now(f"{what} ({seconds // 60}:{seconds % 60:02d})\n")

    thread = threading.Thread(target=beat, name="adept-pulse", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def write_now(line: str) -> None:
    """Write a line to stderr without Python's buffers, whose lock a fork or a signal may find taken."""
    start = "" if _Printed.ended else "\n"
    note_output(line)  # before the write, during which a signal may come
    with contextlib.suppress(OSError):
        os.write(2, f"{start}{line}".encode(errors="backslashreplace"))


@contextlib.contextmanager
def acknowledged(line: str) -> Iterator[None]:
    """Print a line at the moment of Ctrl-C, before everything inside has ended."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        write_now(line)
        signal.default_int_handler(number, frame)

    ours = threading.current_thread() is threading.main_thread()
    if not ours or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
