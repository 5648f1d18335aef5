"""Run tasks on Ray: Ray schedules, retries and balances; results come back in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from typing import Any, TypeVar

from adept_hub.errors import MissingExtraError, ProposalsError

T = TypeVar("T")
R = TypeVar("R")


def run_on_ray(work: Callable[[T], R], tasks: Iterable[T]) -> Generator[R, None, None]:
    """Run ``map(work, tasks)`` on the cluster of this process, or of RAY_ADDRESS, or a local one.

    Images are read by the node that works on them: the paths must exist on every node.
    """
    try:
        import ray
    except ImportError:
        raise MissingExtraError("--engine ray", "ray", "ray") from None

    started = not ray.is_initialized()
    if started:
        ray.init(log_to_driver=False, include_dashboard=False)
    remote: Any = ray.remote(num_cpus=1)(work_on)
    handle = ray.put(work)
    cluster: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]  # ray ships no such hint
    window = max(4, 4 * int(cluster.get("CPU", 1)))
    pending: deque[Any] = deque()
    try:
        for task in tasks:
            pending.append(remote.remote(handle, task))
            if len(pending) >= window:
                yield ray.get(pending.popleft())
        while pending:
            yield ray.get(pending.popleft())
    except ray.exceptions.RaySystemError as error:
        raise ProposalsError(
            f"The Ray cluster failed: {error}. Finished shards are kept.\nRun the same command to resume."
        ) from error
    finally:
        for reference in pending:
            ray.cancel(reference)
        if started:
            ray.shutdown()


def work_on(work: Callable[[T], R], task: T) -> R:
    """Run one task; Ray has already fetched ``work``."""
    return work(task)
