"""Jobs that need one another, on a fixed number of processes, until a deadline; results are returned as they come."""

from __future__ import annotations

import os
import signal
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any


@dataclass(frozen=True)
class Job:
    """``work`` is called in a process of the pool, so it must be picklable; ``needs`` are names of earlier jobs."""

    name: str
    work: Callable[[], dict[str, Any]]
    needs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Finished:
    """What a job returned, or its error."""

    name: str
    seconds: float
    result: dict[str, Any] = field(default_factory=dict)
    error: str = ""


@dataclass
class _Worker:
    process: BaseProcess
    pipe: Connection
    job: Job | None = None
    began: float = 0.0


def run_jobs(jobs: Sequence[Job], workers: int, deadline: float) -> Iterator[Finished]:
    """Run jobs in order, each as soon as what it needs is done and a process is free.

    A job whose need failed fails too. At the deadline (of ``time.monotonic``) unfinished jobs are killed with every
    process that they started.

    Raises:
        ValueError: a job needs one that does not precede it.
    """
    _check(jobs)
    pool = [_start() for _ in range(workers)]
    waiting, done, failed = list(jobs), set[str](), set[str]()
    try:
        while waiting or any(worker.job for worker in pool):
            for job in list(waiting):
                if broken := failed.intersection(job.needs):
                    waiting.remove(job)
                    failed.add(job.name)
                    yield Finished(job.name, 0.0, error=f"needs {', '.join(sorted(broken))}")
            for worker in pool:
                ready = next((job for job in waiting if done.issuperset(job.needs)), None)
                if worker.job is None and ready is not None:
                    waiting.remove(ready)
                    worker.job, worker.began = ready, time.monotonic()
                    worker.pipe.send(ready)
            left = deadline - time.monotonic()
            busy = [worker for worker in pool if worker.job]
            answered = wait([worker.pipe for worker in busy], max(left, 0)) if busy else []
            if left <= 0:
                return
            for worker in busy:
                if worker.pipe in answered:
                    finished = _receive(worker)
                    (failed if finished.error else done).add(finished.name)
                    yield finished
    finally:
        for worker in pool:
            _kill(worker)


def _check(jobs: Sequence[Job]) -> None:
    names = set[str]()
    for job in jobs:
        if missing := set(job.needs) - names:
            raise ValueError(f"{job.name} needs {', '.join(sorted(missing))}, which does not precede it")
        names.add(job.name)


def _start() -> _Worker:
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs,))
    process.start()
    theirs.close()
    return _Worker(process, ours)


def _serve(pipe: Connection) -> None:
    os.setsid()  # killed as a group: a job's own processes too
    while True:
        job = pipe.recv()
        try:
            pipe.send((job.work(), ""))
        except Exception:  # noqa: BLE001  # reported by the process that asked
            pipe.send(({}, traceback.format_exc()))


def _receive(worker: _Worker) -> Finished:
    assert worker.job is not None
    name, seconds = worker.job.name, round(time.monotonic() - worker.began, 2)
    worker.job = None
    try:
        result, error = worker.pipe.recv()
    except EOFError:  # such as killed for want of memory
        dead = _Worker(worker.process, worker.pipe)
        _kill(dead)
        fresh = _start()
        worker.process, worker.pipe = fresh.process, fresh.pipe
        return Finished(name, seconds, error="its process died")
    return Finished(name, seconds, result, error)


def _kill(worker: _Worker) -> None:
    if worker.process.pid is not None:
        for send in (os.killpg, os.kill):  # a process that has just started leads no group yet
            try:
                send(worker.process.pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
    worker.process.join()
    worker.pipe.close()
