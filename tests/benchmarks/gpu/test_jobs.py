"""The pool of the GPU script: order, needs, failures, dead processes, the deadline."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from benchmarks.gpu.jobs import Job, run_jobs


def _note(path: Path, word: str) -> dict[str, Any]:
    with path.open("a") as file:
        file.write(f"{word}\n")
    return {"word": word}


def _fail() -> dict[str, Any]:
    raise RuntimeError("broken on purpose")


def _die() -> dict[str, Any]:
    os.kill(os.getpid(), signal.SIGKILL)
    return {}


def _sleep_in_a_child(pids: Path) -> dict[str, Any]:
    child = subprocess.Popen(["sleep", "600"])
    pids.write_text(f"{child.pid}")
    child.wait()
    return {}


def test_jobs_run_after_what_they_need_and_failures_are_passed_on(tmp_path: Path) -> None:
    note = partial(_note, tmp_path / "order")
    jobs = [
        Job("a", partial(note, "a")), Job("bad", _fail), Job("c", partial(note, "c"), ("a",)),
        Job("lost", partial(note, "lost"), ("bad",)), Job("lost too", partial(note, "lost too"), ("a", "lost")),
        Job("dead", _die), Job("e", partial(note, "e"), ("c",)),
    ]  # fmt: skip
    finished = {row.name: row for row in run_jobs(jobs, 1, time.monotonic() + 60)}
    assert list(finished) == ["a", "bad", "lost", "lost too", "c", "dead", "e"]
    assert (tmp_path / "order").read_text().split() == ["a", "c", "e"]
    assert finished["c"].result == {"word": "c"}
    assert "broken on purpose" in finished["bad"].error
    assert finished["lost"].error == "needs bad"
    assert finished["lost too"].error == "needs lost"
    assert finished["dead"].error == "its process died"
    assert [row.error for row in finished.values()].count("") == 3


def test_jobs_and_their_children_are_killed(tmp_path: Path) -> None:
    jobs = [
        Job("quick", partial(_note, tmp_path / "order", "quick")),
        Job("slow", partial(_sleep_in_a_child, tmp_path / "pid")),
    ]
    running = run_jobs(jobs, 2, time.monotonic() + 600)
    assert next(running).name == "quick"
    _wait_for(lambda: (tmp_path / "pid").is_file() and (tmp_path / "pid").read_text() != "")
    status = Path(f"/proc/{(tmp_path / 'pid').read_text()}/stat")
    assert _lives(status)
    running.close()
    _wait_for(lambda: not _lives(status))  # the system ends a killed process when it comes to it


def test_nothing_is_waited_for_after_the_deadline(tmp_path: Path) -> None:
    assert list(run_jobs([Job("slow", partial(_sleep_in_a_child, tmp_path / "pid"))], 1, time.monotonic() + 1)) == []


def _lives(status: Path) -> bool:
    try:
        return status.read_text().split(")")[1].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def _wait_for(happened: Callable[[], bool]) -> None:
    for _ in range(6000):
        if happened():
            return
        time.sleep(0.01)
    pytest.fail("it did not happen within a minute")


def test_a_job_may_only_need_earlier_ones() -> None:
    with pytest.raises(ValueError, match="later, which does not precede it"):
        next(run_jobs([Job("a", _fail, ("later",)), Job("later", _fail)], 1, 0))
