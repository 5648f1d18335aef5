"""Commands run in another process and killed outright at a chosen moment (kill -9).

A moment is the n-th change of a file below a folder, before it happens (systematic, and the same on every machine), or
a time. The process is forked from one that has imported everything, so that a short command takes a short time.
"""

from __future__ import annotations

import itertools
import os
import random
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from tests.fork_server import fork_server

#: How many moments are tried of each command; ADEPT_KILLS asks for more.
KILLS = int(os.environ.get("ADEPT_KILLS", "2"))
LONG = KILLS > 3
_CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.chmod", "os.symlink")


@dataclass(frozen=True)
class Ended:
    """A process that ended, or was ended."""

    killed: bool
    status: int
    #: Changes of files, where it was not killed.
    changes: int
    seconds: float
    output: str


def moments(changes: int, count: int = KILLS, seed: int = 0) -> list[int]:
    """``count`` of the first ``changes`` moments, spread evenly but not regularly; the last is always among them."""
    rng = random.Random(seed)
    edges = [round(changes * i / count) for i in range(count + 1)]
    chosen = {rng.randrange(a, b) for a, b in itertools.pairwise(edges[:-1]) if a < b}
    return sorted(chosen | {changes - 1})


def chains(whole: Ended, seed: int = 0, *, resumes: bool = False) -> list[list[dict[str, float]]]:
    """Moments (``at`` or ``after`` of `run`) at which one start after another is killed, before one that may end.

    In the short form a command that begins again from nothing is killed twice, then ends; one that goes on from what it
    kept ends after each kill. In the long form all do, and those with few changes are killed by the clock too.
    """
    chosen: list[dict[str, float]] = [{"at": at} for at in moments(whole.changes, seed=seed)]
    if not LONG:
        return [[moment] for moment in chosen] if resumes else [chosen]
    missing, rng = KILLS - len(chosen), random.Random(seed)
    return [[moment] for moment in chosen + [{"after": rng.uniform(0, whole.seconds)} for _ in range(missing)]]


def start(job: Callable[..., object], *words: Any) -> BaseProcess:
    """Start ``job(*words)`` in a process in which everything is imported."""
    process = fork_server("tests.hostile.preloaded").Process(target=job, args=words)
    process.start()
    return process


def kill_before(job: Callable[..., object], *words: Any, into: Path, count: int) -> None:
    """Run ``job(*words)`` in a process that is killed before it renames something into a folder for the N-th time."""
    process = start(_killed_before, str(into.resolve()), count, job, words)
    process.join(300)
    assert process.exitcode == -signal.SIGKILL, "it ended before, or hangs"


def _killed_before(into: str, count: int, job: Callable[..., object], words: tuple[Any, ...]) -> None:
    seen = 0

    def watch(event: str, values: tuple[Any, ...]) -> None:
        nonlocal seen
        if event == "os.rename" and str(Path(values[1]).resolve().parent) == into:
            seen += 1
            if seen == count:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)
    job(*words)


def run(
    job: Callable[..., object], *words: Any, below: Path, at: int | None = None, after: float | None = None
) -> Ended:
    """Run ``job(*words)`` in a process of its own.

    Args:
        below: the folder in which changes of files are counted.
        at: kill it before this change (from 0). after: kill it after so many seconds.
    """
    ours, theirs = Pipe(duplex=False)
    log = below.parent / f"{below.name}.output"
    began = time.monotonic()
    process = start(_child, theirs, str(below.resolve()), at, str(log), job, words)
    theirs.close()
    if after is not None:
        process.join(after)
        process.kill()
    process.join(300)
    assert process.exitcode is not None, "it hangs"
    try:
        status, changes = ours.recv()
    except EOFError:
        status, changes = process.exitcode, -1
    output = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    return Ended(process.exitcode == -signal.SIGKILL, status, changes, time.monotonic() - began, output)


def _child(
    answer: Connection, below: str, at: int | None, log: str, job: Callable[..., object], words: tuple[Any, ...]
) -> None:
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    seen = 0

    def watch(event: str, values: tuple[Any, ...]) -> None:
        nonlocal seen
        if event == "open":
            writes = values[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) if isinstance(values[2], int) else 0
        else:
            writes = event in _CHANGES
        made = values[event == "os.symlink"] if writes else ""  # not what a link leads to
        if not writes or not str(made).startswith(below):
            return
        if seen == at:
            os.kill(os.getpid(), signal.SIGKILL)
        seen += 1

    sys.addaudithook(watch)
    try:
        status = job(*words)
    except BaseException:  # noqa: BLE001  # told to the test
        traceback.print_exc()
        status = -1
    sys.stdout.flush()
    sys.stderr.flush()
    answer.send((status if isinstance(status, int) else 0, seen))
    os._exit(0)


def adept(*words: str) -> int:
    """``adept WORDS``, for `run`."""
    from adept_hub.cli.main import main

    return main(words)


def files_of(folder: Path) -> dict[str, bytes]:
    """The content of every file below a folder, by relative path."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def leavings(folder: Path) -> list[str]:
    """Hidden files and folders in a folder, the lock's own apart."""
    return [path.name for path in folder.iterdir() if path.name.startswith(".") and path.name != ".adept-lock"]
