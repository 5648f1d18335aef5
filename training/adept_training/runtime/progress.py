"""Show the progress of work that would be silent for more than a few seconds."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import Any, TextIO, TypeVar

from tqdm.auto import tqdm  # type: ignore[import-untyped]

from adept_training.runtime.first_process import launched

T = TypeVar("T")
#: Seconds after which a bar appears.
_DELAY = 2.0


def progress_bar(total: int, what: str, unit: str, stream: TextIO | None = None) -> Any:
    """Return a bar of tqdm that appears after two seconds, on a terminal or in a notebook, and is removed at the end.

    Log files and CI get nothing, nor do processes other than the first.

    Args:
        total: number of steps.
        what: description in front of the bar.
        unit: what one step is.
        stream: of the bar; standard error by default.
    """
    hidden = None if launched()[0] == 0 else True  # None: unless the stream is a terminal
    return tqdm(
        total=total, desc=what, unit=unit, file=stream or sys.stderr, disable=hidden, delay=_DELAY, leave=False,
        dynamic_ncols=True,
    )  # fmt: skip


def track(items: Iterable[T], total: int, what: str, unit: str) -> Iterator[T]:
    """Yield the items under a `progress_bar`."""
    with progress_bar(total, what, unit) as bar:
        for item in items:
            yield item
            bar.update()
