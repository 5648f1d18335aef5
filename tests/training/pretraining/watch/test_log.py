"""Logs of runs that were killed, resumed, stopped: what counts and what is said of them."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from adept_hub.errors import NotARunError
from adept_training.pretraining.watch.log import read_log
from adept_training.runtime.journal import Journal, tinted


def _start(journal: Journal, step: int) -> None:
    journal.record("start", step=step, steps=9, images=12, held_out=0, resumed=step > 0)


def _killed_and_resumed(folder: Path) -> None:
    first = Journal(folder / "log.jsonl", None)
    _start(first, 0)
    for step in (1, 2, 3, 4):
        first.record("train", step=step, loss=float(step))
    first.record("probe", step=4, target_recall100_iou50=0.1)
    first.close()
    with (folder / "log.jsonl").open("a") as file:
        file.write('{"kind": "train", "st')  # killed while it wrote
    second = Journal(folder / "log.jsonl", None)
    _start(second, 2)
    for step in (3, 4, 5):
        second.record("train", step=step, loss=10.0 * step)
    second.close()


def test_a_continuation_replaces_what_it_repeats(tmp_path: Path) -> None:
    _killed_and_resumed(tmp_path)
    log = read_log(tmp_path)
    assert log.series("loss") == ([1, 2, 3, 4, 5], [1, 2, 30, 40, 50])
    assert log.series("target_recall100_iou50") == ([], [])
    assert (log.torn, log.step, log.state, log.start["step"]) == (1, 5, "unfinished", 2)
    lines = (tmp_path / "log.jsonl").read_text().splitlines()
    assert sum(1 for line in lines if line.startswith('{"kind": "start"')) == 2, "a new session begins a new line"


@pytest.mark.parametrize(
    ("end", "state"),
    [({"interrupted": False}, "done"), ({"interrupted": True}, "interrupted"),
     ({"interrupted": False, "error": "The loss is nan"}, "stopped")],
)  # fmt: skip
def test_how_it_ended(end: dict[str, Any], state: str, tmp_path: Path) -> None:
    told: list[str] = []

    class Listener:
        def log(self, step: int, values: dict[str, float]) -> None: ...

        def close(self, state: str) -> None:
            told.append(state)

    journal = Journal(tmp_path / "log.jsonl", None, [Listener()])
    _start(journal, 0)
    journal.record("end", step=1, **end)
    journal.close()
    assert read_log(tmp_path).state == state
    assert told == [state]
    resumed = Journal(tmp_path / "log.jsonl", None)
    _start(resumed, 1)
    resumed.close()
    assert read_log(tmp_path).state == "unfinished", "it goes on"


def test_folders_that_are_no_runs(tmp_path: Path) -> None:
    with pytest.raises(NotARunError, match=r"there is no log\.jsonl"):
        read_log(tmp_path)
    (tmp_path / "log.jsonl").write_text(json.dumps({"kind": "train", "step": 1}) + "\n")
    with pytest.raises(NotARunError, match="no record of a start"):
        read_log(tmp_path)
    (tmp_path / "log.jsonl").write_text('{"iteration": 3}\n')
    with pytest.raises(NotARunError, match="not a log of pre-training"):
        read_log(tmp_path)


def test_a_terminal_that_is_closed_does_not_end_the_run(tmp_path: Path) -> None:
    stream = io.StringIO()
    journal = Journal(tmp_path / "log.jsonl", stream)
    stream.close()
    journal.say("one")
    journal.say("two")
    journal.record("end", step=3, interrupted=False)
    journal.close()
    assert json.loads((tmp_path / "log.jsonl").read_text())["step"] == 3


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_only_a_terminal_that_wants_colors_gets_them(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    tones = ("good", "caution", "bad", "neutral")
    shown = [tinted("text", tone, Terminal()) for tone in tones]
    assert shown == ["\x1b[32mtext\x1b[0m", "\x1b[33mtext\x1b[0m", "\x1b[31mtext\x1b[0m", "text"]
    assert [tinted("text", tone, io.StringIO()) for tone in tones] == ["text"] * 4
    for name, value in (("NO_COLOR", "1"), ("TERM", "dumb")):
        with monkeypatch.context() as patch:
            patch.setenv(name, value)
            assert [tinted("text", tone, Terminal()) for tone in tones] == ["text"] * 4
