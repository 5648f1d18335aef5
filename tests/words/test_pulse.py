"""A command that is silent prints what it is doing, and Ctrl-C is acknowledged before the work has ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from adept_hub.words import pulse as module
from adept_hub.words.pulse import doing, note_output, pulse

SILENT = """
import sys, time
from adept_hub.cli import main as program
from adept_hub.words import pulse
pulse.SILENCE, pulse._LOOK = 0.3, 0.05

def work(words, command):
    try:
        sys.stdout.write("begun")  # no end of the line
        sys.stdout.flush()
        with pulse.doing(lambda: "image 3/9"):
            time.sleep(SECONDS)
        return 0
    finally:
        time.sleep(0.7)  # what is done after an interrupt

program._run = work
sys.exit(program.main())
"""


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]):
    """Lines after 0.2 seconds, and a call that returns them."""
    monkeypatch.setattr(module, "SILENCE", 0.2)
    monkeypatch.setattr(module, "_LOOK", 0.02)
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.delenv("RANK", raising=False)
    return lambda: capfd.readouterr().err.splitlines()


def test_the_innermost_work_is_described_and_only_in_silence(quick) -> None:
    with pulse("evaluate"):
        time.sleep(0.3)
        assert quick()[0] == "adept evaluate is working (0:00)"
        with doing(lambda: "all"), doing(lambda: "image 3/9"):
            time.sleep(0.3)
        assert quick()[-1].startswith("image 3/9 (0:0")
        for _ in range(10):
            note_output("a line\n")
            time.sleep(0.05)
        assert quick() == []
    time.sleep(0.4)
    assert quick() == []


@pytest.mark.parametrize(("name", "value"), [("CI", "true"), ("RANK", "1")])
def test_ci_and_other_processes_print_nothing(name: str, value: str, quick, monkeypatch) -> None:
    monkeypatch.setenv(name, value)
    with pulse("evaluate"):
        time.sleep(0.4)
    assert quick() == []


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_an_interrupt_is_acknowledged_at_once() -> None:
    environment = {key: value for key, value in os.environ.items() if key not in ("CI", "RANK")}
    program = subprocess.Popen(
        [sys.executable, "-c", SILENT.replace("SECONDS", "60"), "evaluate"], stderr=subprocess.PIPE,
        stdout=subprocess.PIPE, env=environment, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    assert program.stderr is not None
    assert program.stderr.readline() == "\n"
    assert program.stderr.readline().startswith("image 3/9 (0:")
    program.send_signal(signal.SIGINT)
    while (line := program.stderr.readline()).startswith("image"):
        pass
    noticed = time.monotonic()
    assert line == "adept: interrupted, stopping\n"
    rest = program.stderr.read()
    assert time.monotonic() - noticed > 0.5, "the line came before the work had ended"
    assert rest.endswith("adept: interrupted; finished results are kept\n")
    assert "Traceback" not in rest
    assert program.wait() == 130
