"""The machine that a run would use, and the settings of a recipe that depend on it."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from adept_training.pretraining.recipe import Recipe
from adept_training.runtime.cpus import available_cpus

#: Loader processes that a GPU is given at most.
_MOST_WORKERS = 8


@dataclass(frozen=True)
class Machine:
    """Device, cores and memory that a run can use.

    Attributes:
        device: ``cpu`` or ``cuda``, as `adept_training.runtime.launch.make_fabric` chooses.
        name: of the device.
        cores: CPU cores available to this process.
        memory: bytes of the device.
    """

    device: Literal["cpu", "cuda"]
    name: str
    cores: int
    memory: int

    def settings_for(self, recipe: Recipe, settings: Sequence[str] = ()) -> list[str]:
        """Return ``section.field=value`` that let a recipe use this machine; none changes the weights.

        A GPU gets one loader process per core but one, at most eight, and its arithmetic on the CPU torch's number of
        threads. On a CPU with more cores than the recipe uses, the remaining ones compute.
        """
        workers, threads = recipe.data.workers, recipe.engine.threads
        found = {}
        if self.device == "cuda":
            found["data.workers"] = max(workers, min(self.cores - 1, _MOST_WORKERS))
            found["engine.threads"] = 0
        elif threads and self.cores > threads + workers:
            found["engine.threads"] = self.cores - workers
        own = {"data.workers": workers, "engine.threads": threads}
        given = {setting.partition("=")[0] for setting in settings}
        return [f"{path}={value}" for path, value in found.items() if value != own[path] and path not in given]


def this_machine() -> Machine:
    """Return the machine of this process."""
    if torch.cuda.is_available():
        return Machine("cuda", torch.cuda.get_device_name(), available_cpus(), torch.cuda.mem_get_info()[1])
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 1 << 34
    return Machine("cpu", platform.processor() or platform.machine(), available_cpus(), memory)
