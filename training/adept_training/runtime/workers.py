"""Data-loading workers: their start, whether they can send their batches, and their errors without torch's wrapping."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from adept_hub.errors import AdeptError, RecipeError

#: Seconds that a worker has left after SIGTERM.
_LAST_SECONDS = 20

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


def worker_options(workers: int) -> dict[str, Any]:
    """Return the keyword arguments of a `torch.utils.data.DataLoader` with this number of processes; 0: none.

    Raises:
        RecipeError: as `check_workers`.
    """
    return {"num_workers": check_workers(workers), "worker_init_fn": start_worker}


def start_worker(_: int) -> None:
    """Prepare a loader's process: one thread, and no end at signals that the main process handles.

    Ctrl-C, a closed terminal and SLURM signal the whole group, but the main process still needs its batches. A worker
    that ends of them is an error of torch in the main process, with a traceback in place of a saved state.
    """
    torch.set_num_threads(1)
    for name in ("SIGINT", "SIGHUP", "SIGUSR1"):
        if hasattr(signal, name):  # Windows has SIGINT alone
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    # SIGTERM is also how a failing main process stops its workers: they may take a moment, but not forever. That they
    # end then is no failure, since an iteration and its state may take longer. Windows ends them at once.
    if hasattr(signal, "alarm") and hasattr(signal, "SIGALRM"):
        signal.signal(signal.SIGALRM, lambda *_: os._exit(0))
        signal.signal(signal.SIGTERM, lambda *_: signal.alarm(_LAST_SECONDS))


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
