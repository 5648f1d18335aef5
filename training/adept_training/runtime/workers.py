"""Errors of data-loading workers, as a user should read them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from adept_hub.errors import AdeptError


@contextmanager
def plain_errors() -> Iterator[None]:
    """Within the block, an `AdeptError` of a DataLoader's worker has the message that the worker gave it.

    torch puts the worker's traceback in front, which turns one line into thirty.
    """
    try:
        yield
    except AdeptError as error:
        text, name = str(error), f"{type(error).__module__}.{type(error).__qualname__}: "
        if not text.startswith(f"Caught {type(error).__name__} in DataLoader worker") or name not in text:
            raise
        raise type(error)(text.rpartition(name)[2].rstrip()) from error
