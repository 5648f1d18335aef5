"""End a run on a signal, after the current iteration or between two batches of an evaluation."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from adept_hub.words.pulse import write_now
from adept_training.runtime.first_process import launched

#: SIGHUP arrives if a terminal is closed or a connection is lost; Windows has neither it nor SIGUSR1.
_NAMES = ("SIGTERM", "SIGINT", "SIGUSR1", "SIGHUP")
_ACKNOWLEDGED = "stopping after this step, batch or probe, then saving the state; Ctrl-C again stops at once, unsaved\n"
#: Whether to stop, the innermost last.
_requested: list[Callable[[], bool]] = []


class StopRequested(Exception):  # noqa: N818  # no error, and never shown
    """Raised by `check_stop` to leave a loop of batches."""


@contextmanager
def stop_between(requested: Callable[[], bool]) -> Iterator[None]:
    """Let `check_stop`, which `track` calls between two items, raise `StopRequested` within the block.

    Args:
        requested: whether to stop; if several processes run the loop, the same on all of them.
    """
    _requested.append(requested)
    try:
        yield
    finally:
        _requested.pop()


def check_stop() -> None:
    """Raise `StopRequested` if the innermost `stop_between` asks for it; without one, do nothing."""
    if _requested and _requested[-1]():
        raise StopRequested


@contextmanager
def stop_signals() -> Iterator[list[int]]:
    """Yield a list to which SIGTERM, SIGINT, SIGHUP and SLURM's SIGUSR1 are added; a second SIGINT acts as usual.

    A signal that this process was started to ignore (SIGHUP under ``nohup``) stays ignored.
    """
    received: list[int] = []

    def note(number: int, _: FrameType | None) -> None:
        if received and number == signal.SIGINT:
            raise KeyboardInterrupt
        if number == signal.SIGINT and launched()[0] == 0:
            write_now(_ACKNOWLEDGED)
        received.append(number)

    watched = [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]
    watched = [number for number in watched if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, note) for number in watched}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
