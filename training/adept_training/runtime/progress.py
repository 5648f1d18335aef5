"""Show the progress of work that would be silent for more than a few seconds."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from typing import Any, TextIO, TypeVar

from tqdm.auto import tqdm  # type: ignore[import-untyped]

from adept_hub.words.pulse import doing
from adept_training.runtime.first_process import launched
from adept_training.runtime.stop import check_stop

T = TypeVar("T")
#: Seconds after which a bar appears.
_DELAY = 2.0


class _Bar(tqdm):  # type: ignore[misc]  # tqdm is untyped
    """A bar that counts even where it is not shown, for the lines that a command prints there."""

    def __init__(self, total: int, what: str, unit: str, stream: TextIO, hidden: bool | None) -> None:
        super().__init__(
            total=total, desc=what, unit=unit, file=stream, disable=hidden, delay=_DELAY, leave=False,
            dynamic_ncols=True,
        )  # fmt: skip
        self.desc = what  # tqdm sets no attributes of a hidden bar
        self._lines = ExitStack()
        self._lines.enter_context(doing(lambda: f"{self.desc}: {self.n}/{total}{unit}"))

    def update(self, n: float = 1) -> Any:
        """Count ``n`` more steps."""
        if self.disable:
            self.n += n
        return super().update(n)

    def close(self) -> None:
        """Remove the bar."""
        super().close()
        if hasattr(self, "_lines"):  # not if tqdm refused the options
            self._lines.close()


def progress_bar(total: int, what: str, unit: str, stream: TextIO | None = None) -> Any:
    """Return a bar of tqdm that appears after two seconds, on a terminal or in a notebook, and is removed at the end.

    Elsewhere `adept_hub.words.pulse` prints its count, when a command has been silent for seconds. Processes other than
    the first show nothing.

    Args:
        total: number of steps.
        what: description in front of the bar.
        unit: what one step is.
        stream: of the bar; standard error by default.
    """
    hidden = None if launched()[0] == 0 else True  # None: unless the stream is a terminal
    return _Bar(total, what, unit, stream or sys.stderr, hidden)


def counting(items: Iterable[T], total: int, what: str, unit: str) -> Iterator[T]:
    """Yield the items without a bar; the lines of a silent command count those that were taken."""
    taken = 0
    with doing(lambda: f"{what}: {taken}/{total}{unit}"):
        for item in items:
            taken += 1
            yield item


def track(items: Iterable[T], total: int, what: str, unit: str) -> Iterator[T]:
    """Yield the items under a `progress_bar`.

    Raises:
        StopRequested: within `stop_between`, before an item.
    """
    with progress_bar(total, what, unit) as bar:
        for item in items:
            check_stop()
            yield item
            bar.update()
