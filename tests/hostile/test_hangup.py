"""A terminal that is closed, or a connection that is lost, ends a run as SIGTERM does: with its state saved."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from adept_training.engine.journal import Journal
from adept_training.engine.state import saved_states
from adept_training.engine.stop import stop_signals
from tests.training.support import write_photographs

PROGRAM = """
import sys
from pathlib import Path
from adept_training.engine.asked import Asked
from adept_training.engine.pretrain import pretrain
from adept_training.images import open_images
from tests.training.support import RandomBoxes, tiny
recipe, images, asked = tiny("schedule.epochs=10000"), open_images(sys.argv[1]), Asked(report=False)
pretrain(recipe, images, RandomBoxes(), Path(sys.argv[2]), stream=sys.stderr, asked=asked)
"""


def test_a_hangup_is_noted_unless_it_was_to_be_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        with stop_signals() as received:
            os.kill(os.getpid(), signal.SIGHUP)
        assert received == [signal.SIGHUP]
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_DFL
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
        with stop_signals() as received:
            os.kill(os.getpid(), signal.SIGHUP)
        assert received == []
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_journal_outlives_its_terminal(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w", buffering=1) as stream:
        journal = Journal(tmp_path / "log.jsonl", stream)
        for step in (1, 2):
            journal.say("to nobody")
            journal.record("train", step=step)
        journal.close()
        with contextlib.suppress(BrokenPipeError):
            stream.close()
    assert [json.loads(line)["step"] for line in (tmp_path / "log.jsonl").read_text().splitlines()] == [1, 2]


@pytest.mark.slow
def test_closing_the_terminal_saves_the_state(tmp_path: Path) -> None:
    write_photographs(tmp_path / "photographs", 4)
    ours, theirs = os.openpty()

    def take_the_terminal() -> None:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests may run under nohup, whose children ignore it
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(tmp_path / "photographs"), str(tmp_path / "run")],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p), "CUDA_VISIBLE_DEVICES": ""},
        stdin=theirs, stdout=theirs, stderr=theirs, preexec_fn=take_the_terminal,
    )  # fmt: skip
    os.close(theirs)
    shown = b""
    while b"step 2/" not in shown:
        shown += os.read(ours, 1000)
    os.close(ours)
    process.wait(timeout=120)
    states = saved_states(tmp_path / "run" / "checkpoints")
    assert states, "nothing was saved"
    last = json.loads((tmp_path / "run" / "log.jsonl").read_text().splitlines()[-1])
    assert (last["kind"], last["interrupted"]) == ("end", True)
    assert time.time() - last["time"] < 120
