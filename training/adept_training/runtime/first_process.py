"""Ownership of a folder of results: one process writes at a time, in a distributed run the first one."""

from __future__ import annotations

import argparse
import contextlib
import functools
import inspect
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ParamSpec, TypeVar

from adept_hub.io.folder_lock import own_folder
from adept_hub.io.write import clear_leavings

P = ParamSpec("P")
R = TypeVar("R")

#: Incomplete files that a killed run leaves, each as large as a detector.
_LEAVINGS = (".best.*", ".last.*", ".export.*")


def launched() -> tuple[int, int]:
    """Return this process's rank and the number of processes, as torchrun or SLURM started them; (0, 1) without."""
    world = int(os.environ.get("WORLD_SIZE") or os.environ.get("SLURM_NTASKS") or 1)
    rank = int(os.environ.get("RANK") or os.environ.get("SLURM_PROCID") or 0)
    return (rank, world) if world > 1 else (0, 1)


@contextlib.contextmanager
def own_run(folder: Path, *, wait: bool = False) -> Iterator[None]:
    """Hold the folder of a run in its first process, and remove incomplete files of a killed run.

    Raises:
        FolderInUseError, DiskFullError: as in `adept_hub.io.folder_lock.own_folder`.
    """
    if launched()[0] > 0:
        yield
        return
    with own_folder(folder, wait=wait):
        clear_leavings(folder, *_LEAVINGS)
        yield


def add_wait_argument(parser: argparse.ArgumentParser) -> None:
    """Declare ``--wait``."""
    parser.add_argument(
        "--wait", action="store_true", help="if another process is writing --out, wait for it to end (default: refuse)"
    )


def owns(parameter: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Make a function hold (`own_run`) the folder in its argument ``parameter``; it may have a keyword ``wait``."""

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        signature = inspect.signature(function)

        @functools.wraps(function)
        def holding(*args: P.args, **kwargs: P.kwargs) -> R:
            arguments = signature.bind(*args, **kwargs).arguments
            with own_run(Path(arguments[parameter]), wait=bool(arguments.get("wait", False))):
                return function(*args, **kwargs)

        return holding

    return decorate
