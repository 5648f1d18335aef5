"""A folder belongs to one process; the second learns whose it is, and a dead one's lock is no obstacle."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from adept_hub.errors import FolderInUseError
from adept_hub.io import folder_lock as module
from adept_hub.io.folder_lock import LOCK, OWNER, own_folder

HOLD = """
import os, sys, time
from pathlib import Path
from adept_hub.io.folder_lock import own_folder
with own_folder(Path(sys.argv[1])):
    if "fork" in sys.argv and os.fork() == 0:
        time.sleep(60)
    print("held", flush=True)
    sys.stdin.read()
"""

Hold = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def hold() -> Iterator[Hold]:
    """Start a process that holds a folder until its standard input is closed."""
    started: list[subprocess.Popen[str]] = []

    def start(folder: Path, *words: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", HOLD, str(folder), *words]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
        process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        return process

    yield start
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for stream in (process.stdin, process.stdout):
            assert stream is not None
            stream.close()


def test_the_second_is_refused_and_told_who_the_first_is(tmp_path: Path, hold: Hold) -> None:
    run = tmp_path / "run"
    process = hold(run)
    with pytest.raises(FolderInUseError) as caught, own_folder(run):
        pass
    text = str(caught.value)
    assert f"process {process.pid} on {socket.gethostname()}" in text
    assert "--wait" in text
    assert len(text.splitlines()) <= 3
    process.communicate()  # it ends
    with own_folder(run):
        assert json.loads((run / OWNER).read_text())["pid"] == os.getpid()
    assert not (run / OWNER).exists()


@pytest.mark.parametrize("words", [(), ("fork",)], ids=["alone", "with a child that lives on"])
def test_the_lock_of_a_killed_process_is_no_obstacle(tmp_path: Path, hold: Hold, words: tuple[str, ...]) -> None:
    process = hold(tmp_path, *words)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert (tmp_path / OWNER).exists()
    began = time.monotonic()
    with own_folder(tmp_path):
        assert json.loads((tmp_path / OWNER).read_text())["pid"] == os.getpid()
    assert time.monotonic() - began < 5


def test_a_lock_that_outlives_its_process_is_waited_for_a_while_and_then_named(
    tmp_path: Path, hold: Hold, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where a filelock that knows nothing of forks leaves it with the loader's workers."""
    hold(tmp_path)
    content = json.loads((tmp_path / OWNER).read_text())
    ended = subprocess.Popen(["true"])
    ended.wait()
    (tmp_path / OWNER).write_text(json.dumps({**content, "pid": ended.pid}))
    monkeypatch.setattr(module, "_ORPHANS", 0.5)
    with pytest.raises(FolderInUseError, match=f"children of process {ended.pid}"), own_folder(tmp_path):
        pass


def test_waiting_ends_when_the_first_does(tmp_path: Path, hold: Hold, caplog: pytest.LogCaptureFixture) -> None:
    process = hold(tmp_path)
    assert process.stdin is not None
    threading.Timer(0.6, process.stdin.close).start()
    with own_folder(tmp_path, wait=True):
        process.wait(timeout=60)
    assert [record.getMessage().split(" on ")[0] for record in caplog.records] == [f"Waiting for process {process.pid}"]


def test_it_may_be_entered_again_inside_but_not_by_another_thread(tmp_path: Path) -> None:
    refused: list[str] = []

    def other() -> None:
        try:
            with own_folder(tmp_path):
                refused.append("no")
        except FolderInUseError as error:
            refused.append(str(error))

    with own_folder(tmp_path):
        with own_folder(tmp_path / ".." / tmp_path.name):
            pass
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert len(refused) == 1
    assert f"process {os.getpid()}" in refused[0]
    with own_folder(tmp_path):
        pass


@pytest.mark.parametrize("owner", [b"", b"\xff{", b"[]", b'{"pid": "1"}', b'{"pid": 1e400}', b"[" * 100_000])
def test_what_the_owner_wrote_decides_nothing(tmp_path: Path, hold: Hold, owner: bytes) -> None:
    hold(tmp_path)
    (tmp_path / OWNER).write_bytes(owner)
    with pytest.raises(FolderInUseError, match="has just started"), own_folder(tmp_path):
        pass


def test_a_folder_that_stays_empty_is_not_left(tmp_path: Path) -> None:
    with own_folder(tmp_path / "new"):
        assert (tmp_path / "new" / LOCK).is_file()
    assert not (tmp_path / "new").exists()
    (tmp_path / "mine").mkdir()
    with own_folder(tmp_path / "mine"):
        pass
    assert (tmp_path / "mine").is_dir()
