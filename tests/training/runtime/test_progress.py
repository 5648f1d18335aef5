"""A bar on a terminal after a while, and nothing in a log."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from adept_training.runtime import progress
from adept_training.runtime.progress import StepsBar, progress_bar, track, without_bars


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _no_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)


@pytest.mark.parametrize(
    ("stream", "delay", "shown"), [(Terminal(), 0.0, True), (Terminal(), 99.0, False), (io.StringIO(), 0.0, False)]
)
def test_only_a_terminal_sees_it_and_only_if_it_takes_long(
    stream: io.StringIO, delay: float, shown: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "_DELAY", delay)
    with progress_bar(3, "counting", " sheep", stream) as bar:
        for _ in range(2):
            time.sleep(0.15)  # a bar is drawn ten times per second at most
            bar.update()
    assert ("counting" in stream.getvalue()) is shown


def test_other_processes_show_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    with progress_bar(3, "counting", " sheep", Terminal()) as bar:
        assert bar.disable


@pytest.mark.parametrize(("variable", "value"), [("CI", "true"), ("CI", "1")])
def test_ci_shows_nothing(variable: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, value)
    with progress_bar(3, "counting", " sheep", Terminal()) as bar:
        assert bar.disable


def test_a_block_and_a_variable_of_tqdm_hide_all_bars() -> None:
    with without_bars(), progress_bar(3, "counting", " sheep", Terminal()) as bar:
        assert bar.disable
    with progress_bar(3, "counting", " sheep", Terminal()) as bar:
        assert not bar.disable
    code = (
        "import sys; sys.stderr.isatty = lambda: True\n"
        "from adept_training.runtime.progress import progress_bar\n"
        "print(progress_bar(3, 'counting', ' sheep').disable)"
    )
    environment = {name: value for name, value in os.environ.items() if name != "CI"}
    for value, hidden in (("1", "True\n"), ("", "False\n")):
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, capture_output=True, text=True, env={**environment, "TQDM_DISABLE": value})
        assert done.stdout == hidden, done.stderr


def test_a_notebook_sees_it_although_its_streams_are_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    with progress_bar(3, "counting", " sheep") as bar:
        assert bar.disable
    for shell, hidden in ((SimpleNamespace(kernel=1), False), (SimpleNamespace(), True), (None, True)):
        monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda shell=shell: shell))
        with progress_bar(3, "counting", " sheep") as bar:
            assert bar.disable is hidden
        with progress_bar(3, "counting", " sheep", io.StringIO()) as bar:
            assert bar.disable, "a file is not the notebook"


def test_a_hidden_bar_of_steps_does_nothing() -> None:
    bar = StepsBar()
    bar.move(3, "step 3/4")
    bar.note("ETA 0:10")
    with bar.shown(4, "training", 1):
        bar.move(3, "step 3/4")
        bar.note("ETA 0:10")


def test_items_pass_through_and_each_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(progress, "_DELAY", 0.0)
    monkeypatch.setattr("sys.stderr", terminal)
    assert list(track(iter("abc"), 3, "letters", " letters")) == ["a", "b", "c"]
    assert "letters" in terminal.getvalue()
