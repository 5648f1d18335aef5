"""The CPUs of this process, and the threads that its arithmetic uses."""

from __future__ import annotations

import math
import os
from pathlib import Path

#: Where Linux shows a container the limits of its own control group.
_CGROUP = Path("/sys/fs/cgroup")


def available_cpus() -> int:
    """Return the number of CPUs available to this process: by its affinity and, in a container, by its quota of time.

    Neither Python nor torch counts the quota that Docker or Kubernetes sets: they count the CPUs of the machine.
    """
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.ceil(min(count, _quota())))


def use_threads(count: int) -> None:
    """Let torch's arithmetic use ``count`` threads, but no more than there are CPUs for them.

    Threads that outnumber the CPUs wait for each other: two threads on one CPU are far slower than one. A container, a
    batch system or ``taskset`` may give a process fewer CPUs than the recipe expects.

    Args:
        count: number of threads; 0: torch's choice.
    """
    import torch  # not at the top: the search for proposals does not need it

    wanted = min(count or torch.get_num_threads(), available_cpus())
    if wanted != torch.get_num_threads():
        torch.set_num_threads(wanted)


def computes_bfloat16() -> bool:
    """Check whether this CPU multiplies matrices in bfloat16 (AMX), as torch sees it; other CPUs emulate it slowly."""
    import torch

    return bool(getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)())


def _quota() -> float:
    """Return the CPUs that the control group's quota is worth, of version 2 or 1; infinity without one."""
    try:
        quota, period = (_CGROUP / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            quota, period = ((_CGROUP / "cpu" / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
        except OSError:
            return math.inf
    try:
        return float(quota) / float(period) if float(quota) > 0 else math.inf
    except (ValueError, ZeroDivisionError):  # "max"
        return math.inf
