"""Run tasks in this process, in worker processes, or on a Ray cluster. Results keep the order of tasks."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Literal, TypeVar

from adept_hub.errors import ProposalsError
from adept_hub.words.spelling import did_you_mean

Engine = Literal["local", "ray"]
#: Images per shard; the most that a killed run loses.
SHARD_SIZE = 512
T = TypeVar("T")
R = TypeVar("R")


def run_tasks(work: Callable[[T], R], tasks: Iterable[T], engine: Engine, workers: int) -> Generator[R, None, None]:
    """Run ``map(work, tasks)`` on the engine, lazily: at most a few tasks per worker are under way at once.

    A caller that stops before the end, or after exactly as many results as tasks, must close the generator.
    """
    if engine == "ray":
        from adept_training.proposals.ray_engine import run_on_ray

        return run_on_ray(work, tasks)
    if engine != "local":
        raise ProposalsError(f"Unknown engine {engine!r}.{did_you_mean(engine, ('local', 'ray'))}\nEngines: local, ray")
    return (work(task) for task in tasks) if workers == 1 else _run_in_processes(work, tasks, workers)


def _run_in_processes(work: Callable[[T], R], tasks: Iterable[T], workers: int) -> Generator[R, None, None]:
    # Spawned, not forked: the parent may have threads of Arrow, OpenCV or torch.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker)
    pending: deque[Future[R]] = deque()
    try:
        for task in tasks:
            pending.append(pool.submit(work, task))
            if len(pending) >= 4 * workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    except BrokenProcessPool as error:
        raise ProposalsError(
            "A worker process was killed, most likely for lack of memory. Finished shards are kept.\n"
            f"Run the same command again with fewer workers (--workers {max(1, workers // 2)})."
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _start_worker() -> None:
    # Ctrl-C reaches the whole process group: only the parent handles it, and lets its workers finish.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.getLogger("PIL").setLevel(logging.CRITICAL)  # problems of a file are in the report
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End the worker with its parent; workers of a killed parent would wait for tasks forever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
