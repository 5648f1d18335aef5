"""Show the progress of work that would be silent for more than a few seconds."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, TextIO, TypeVar

from tqdm.auto import tqdm  # type: ignore[import-untyped]

from adept_hub.words.pulse import doing
from adept_training.runtime.first_process import launched
from adept_training.runtime.stop import check_stop

T = TypeVar("T")
#: Seconds after which a bar appears.
_DELAY = 2.0
#: Parts of a bar over the steps of a run: tqdm's estimate of the time left is replaced by a better one.
_STEPS, _ESTIMATED = "{l_bar}{bar}| {elapsed}<{remaining}{postfix}", "{l_bar}{bar}| {elapsed}{postfix}"
#: Whether `without_bars` is in force.
_silenced: list[bool] = []


class _Bar(tqdm):  # type: ignore[misc]  # tqdm is untyped
    """A bar that counts even where it is not shown, for the lines that a command prints there."""

    def __init__(
        self, total: int, what: str, unit: str, stream: TextIO, hidden: bool, begin: int = 0, form: str | None = None
    ) -> None:
        # `disable` is passed only if it is true: the variable TQDM_DISABLE sets its default.
        options: dict[str, Any] = {"disable": True} if hidden else {}
        super().__init__(
            total=total, desc=what, unit=unit, file=stream, delay=_DELAY, leave=False, dynamic_ncols=True,
            initial=begin, bar_format=form, **options,
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
    the first show nothing, and neither does CI (the variable ``CI``). TQDM_DISABLE=1 hides all bars.

    Args:
        total: number of steps.
        what: description in front of the bar.
        unit: what one step is.
        stream: of the bar; standard error by default.
    """
    return _Bar(total, what, unit, stream or sys.stderr, _hidden(stream or sys.stderr))


def _hidden(stream: TextIO) -> bool:
    """Check whether nobody would see a bar; the streams of a notebook do not claim to be a terminal."""
    seen = stream.isatty() or (stream in (sys.stdout, sys.stderr) and _in_notebook())
    return bool(_silenced) or not seen or bool(os.environ.get("CI")) or launched()[0] != 0


def _in_notebook() -> bool:
    ipython: Any = sys.modules.get("IPython")
    return ipython is not None and hasattr(ipython.get_ipython(), "kernel")


@contextmanager
def without_bars() -> Iterator[None]:
    """Show no bars within the block."""
    _silenced.append(True)
    try:
        yield
    finally:
        _silenced.pop()


class StepsBar:
    """The bar over the steps of a run that prints no lines; without `shown` all calls do nothing."""

    def __init__(self) -> None:
        self._bar: _Bar | None = None
        self._note = ""

    @contextmanager
    def shown(self, total: int, what: str, begin: int) -> Iterator[None]:
        """Show the bar during the block, as `progress_bar` does.

        Args:
            total: number of steps; ``begin`` those of earlier sessions.
            what: description in front of the bar.
        """
        stream = sys.stderr
        with _Bar(total, what, " steps", stream, _hidden(stream), begin, _STEPS) as self._bar:
            try:
                yield
            finally:
                self._bar = None

    def move(self, position: int, text: str) -> None:
        """Move to ``position`` of the total; show ``text``, such as ``step 7/100``, and the last note."""
        if self._bar is not None:
            self._bar.set_postfix_str(", ".join(filter(None, (text, self._note))), refresh=False)
            self._bar.update(position - self._bar.n)

    def note(self, text: str) -> None:
        """Show ``text`` from the next step on; it has the time left, in place of tqdm's estimate."""
        self._note = text
        if self._bar is not None:
            self._bar.bar_format = _ESTIMATED


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
