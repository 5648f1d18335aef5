"""A command that is silent prints what it is doing, and Ctrl-C is acknowledged before the work has ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from adept_hub.words import pulse as module
from adept_hub.words.pulse import doing, note_output, pulse

SILENT = """
import sys, time
from adept_hub.cli import main as program
from adept_hub.words import pulse
pulse._LOOK = 0.05

def work(words, command):
    try:
        sys.stdout.write("begun")  # no end of the line
        sys.stdout.flush()
        with pulse.doing(lambda: "image 3/9"):
            pulse.SILENCE = 0.3
            time.sleep(600)
        return 0
    finally:
        sys.stdin.read()  # what is done after an interrupt, until the test ends it

program._run = work
sys.exit(program.main())
"""


class Clock:
    """The clock of `pulse`, which goes only when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    monkeypatch.setattr(module, "_LOOK", 0.005)
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.delenv("RANK", raising=False)
    return clock


@pytest.fixture
def lines(capfd: pytest.CaptureFixture[str]) -> Callable[[int], list[str]]:
    """A call that waits for so many lines, or for many looks if none should come, and returns what came."""

    def read(count: int) -> list[str]:
        text = ""
        for _ in range(6000 if count else 20):
            text += capfd.readouterr().err
            if count and len(text.splitlines()) >= count:
                break
            time.sleep(0.01)
        return text.splitlines()

    return read


def test_the_innermost_work_is_described_and_only_in_silence(clock: Clock, lines) -> None:
    with pulse("evaluate"):
        clock.now += 3.9
        assert lines(0) == []
        clock.now += 0.1
        assert lines(1) == ["adept evaluate is working (0:04)"]
        with doing(lambda: "all"), doing(lambda: "image 3/9"):
            clock.now += 4
            assert lines(1) == ["image 3/9 (0:08)"]
        for _ in range(3):
            clock.now += 3.5
            note_output("a line\n")
        clock.now += 3.5
        assert lines(0) == []
        clock.now += 60
        assert lines(1) == ["adept evaluate is working (1:22)"]
    clock.now += 60
    assert lines(0) == []


def test_work_that_was_abandoned_before_is_not_described(clock: Clock, lines) -> None:
    abandoned = doing(lambda: "0/3 sheep")
    abandoned.__enter__()
    with pulse("evaluate"):
        clock.now += 5
        assert lines(1) == ["adept evaluate is working (0:05)"]
    abandoned.__exit__(None, None, None)


@pytest.mark.parametrize(("name", "value"), [("CI", "true"), ("RANK", "1")])
def test_ci_and_other_processes_print_nothing(name: str, value: str, clock: Clock, lines, monkeypatch) -> None:
    monkeypatch.setenv(name, value)
    with pulse("evaluate"):
        clock.now += 60
        assert lines(0) == []


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_an_interrupt_is_acknowledged_at_once() -> None:
    environment = {key: value for key, value in os.environ.items() if key not in ("CI", "RANK")}
    program = subprocess.Popen(
        [sys.executable, "-c", SILENT, "evaluate"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, env=environment, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    assert program.stderr is not None
    assert program.stderr.readline() == "\n"
    assert program.stderr.readline().startswith("image 3/9 (0:")
    program.send_signal(signal.SIGINT)
    while (line := program.stderr.readline()).startswith("image"):
        pass
    assert line == "adept: interrupted, stopping\n"
    assert program.poll() is None, "the line came before the work had ended"
    _, rest = program.communicate()
    assert rest.endswith("adept: interrupted; finished results are kept\n")
    assert "Traceback" not in rest
    assert program.returncode == 130
