"""A bar on a terminal after a while, and nothing in a log."""

from __future__ import annotations

import io
import time

import pytest

from adept_training.runtime import progress
from adept_training.runtime.progress import progress_bar, track


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


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


def test_items_pass_through_and_each_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(progress, "_DELAY", 0.0)
    monkeypatch.setattr("sys.stderr", terminal)
    assert list(track(iter("abc"), 3, "letters", " letters")) == ["a", "b", "c"]
    assert "letters" in terminal.getvalue()
