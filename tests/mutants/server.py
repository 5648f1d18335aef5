"""Run pytest in forks of one process that has imported torch: `python -P server.py LOG MODULE...` in a tree.

Each line of the input is a JSON list: a time limit in seconds, and pytest's arguments. Each line of the output is the
exit status, or null past the limit. This file imports nothing of the tree, so that each fork reads it as it is then.
"""

import contextlib
import importlib
import json
import os
import resource
import signal
import sys
import time

#: Bytes of address space: a mutant that only grows must not take the machine with it.
MOST = 12 * 2**30


def run(limit: float, arguments: list[str], log: str) -> int | None:
    """Return the exit status of pytest in a fork, None past the limit; every process that it started ends with it."""
    pid = os.fork()
    if pid == 0:
        os.setsid()
        with contextlib.suppress(ValueError):  # macOS
            resource.setrlimit(resource.RLIMIT_AS, (MOST, MOST))
        output, nothing = os.open(log, os.O_CREAT | os.O_WRONLY | os.O_TRUNC), os.open(os.devnull, os.O_RDONLY)
        for source, target in ((nothing, 0), (output, 1), (output, 2)):
            os.dup2(source, target)
        status = 1
        with contextlib.suppress(BaseException):
            import pytest

            status = int(pytest.main(arguments))
        os._exit(status)
    ends, done, status = time.monotonic() + limit, 0, 0
    try:
        while not done and time.monotonic() < ends:
            done, status = os.waitpid(pid, os.WNOHANG)
            time.sleep(0.02)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
    if done:
        return os.waitstatus_to_exitcode(status)
    os.waitpid(pid, 0)
    return None


if __name__ == "__main__":
    for name in sys.argv[2:]:
        importlib.import_module(name)
    for line in sys.stdin:
        limit, *arguments = json.loads(line)
        print(json.dumps(run(limit, arguments, sys.argv[1])), flush=True)  # noqa: T201
