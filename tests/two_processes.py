"""Two processes of one run, with the environment that torchrun gives them, forked with everything imported.

One test starts torchrun itself (`tests/training/finetuning/test_run.py`); its launcher and two imports of torch take
most of the time of the others, which are about what the processes compute.
"""

from __future__ import annotations

import os
import socket
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.hostile.kills import start

#: Seconds after which they are taken to wait for each other for ever.
PATIENCE = 300


def in_two_processes(logs: Path, job: Callable[..., object], *words: Any) -> list[str]:
    """Run ``job(*words)``, importable, as ranks 0 and 1; return what each printed, which stays in ``logs`` too."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    files = [logs / f"rank{rank}.log" for rank in (0, 1)]
    processes = [start(_child, rank, port, str(file), job, words) for rank, file in enumerate(files)]
    for process in processes:
        process.join(PATIENCE)
        if process.exitcode is None:
            for other in processes:
                other.kill()
    printed = [file.read_text(encoding="utf-8") for file in files]
    assert [process.exitcode for process in processes] == [0, 0], "\n".join(printed)[-3000:]
    return printed


def _child(rank: int, port: int, log: str, job: Callable[..., object], words: tuple[Any, ...]) -> None:
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    os.environ |= {
        "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2",
        "GROUP_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
        "TORCHELASTIC_RUN_ID": "test", "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    try:
        status = job(*words)
    except BaseException:  # noqa: BLE001  # told to the test
        traceback.print_exc()
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status if isinstance(status, int) else 0)
