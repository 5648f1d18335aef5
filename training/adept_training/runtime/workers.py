"""Data-loading workers: check that they can send their batches, and show their errors without torch's wrapping."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from adept_hub.errors import AdeptError, RecipeError

#: Bytes of a socket's path (macOS has the fewest), and those that torch and Python append to the temporary folder.
_SOCKET_PATH, _APPENDED = 103, len("/pymp-12345678/listener-12345678")


def check_workers(workers: int) -> int:
    """Return the number of loader processes; check that they can send batches.

    They do so through sockets in the temporary folder; if its path is too long, torch would wait for ever.

    Raises:
        RecipeError: the path is too long.
    """
    folder = tempfile.gettempdir()
    most = _SOCKET_PATH - _APPENDED
    if workers and os.name == "posix" and len(os.fsencode(folder)) > most:
        raise RecipeError(
            f"Loader processes need a temporary folder whose path has at most {most} bytes; {folder} is longer.\n"
            "Set another in front of the command, TMPDIR=/tmp, or load images without them: workers=0"
        )
    return workers


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
