"""The CPUs of this process, and the threads that its arithmetic uses."""

from __future__ import annotations

import os


def available_cpus() -> int:
    """Return the number of CPUs available to this process."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def use_threads(count: int) -> None:
    """Let torch's arithmetic use ``count`` threads, but no more than there are CPUs for them.

    Threads that outnumber the CPUs wait for each other: two threads on one CPU are far slower than one. A container, a
    batch system or ``taskset`` may give a process fewer CPUs than the recipe expects.

    Args:
        count: number of threads; 0: torch's choice.
    """
    if count:
        import torch  # not at the top: the search for proposals does not need it

        torch.set_num_threads(min(count, available_cpus()))
