"""Show errors of data-loading workers without torch's wrapping."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from adept_hub.errors import AdeptError


@contextmanager
def plain_errors() -> Iterator[None]:
    """Re-raise, within the block, an `AdeptError` of a DataLoader's worker with the worker's own message.

    torch prepends the worker's traceback, which turns one line into thirty.
    """
    try:
        yield
    except AdeptError as error:
        text, name = str(error), f"{type(error).__module__}.{type(error).__qualname__}: "
        if not text.startswith(f"Caught {type(error).__name__} in DataLoader worker") or name not in text:
            raise
        raise type(error)(text.rpartition(name)[2].rstrip()) from error
