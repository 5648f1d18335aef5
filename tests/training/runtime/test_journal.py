"""What a run prints and logs, against values worked out by hand."""

from __future__ import annotations

import io
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from adept_training.runtime import journal
from adept_training.runtime.journal import Journal, Meter, duration, ending, progress_line, tinted


class Clock:
    """The two clocks of `time`, moved by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def perf_counter(self) -> float:
        return self.now

    def time(self) -> float:
        return 1_700_000_000.12345


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(journal, "time", clock)
    return clock


def test_means_rates_and_waits_of_the_steps_since_the_last_line(clock: Clock) -> None:
    meter = Meter()
    for loss, images, waited in ((1.0, 8, 0.5), (2.0, 8, 0.25), (6.0, 4, 1.25)):
        meter.add({"loss": torch.tensor(loss), "replaced": torch.tensor(3)}, images, waited)
    clock.now += 4.0
    assert meter.take() == {"loss": 3.0, "replaced": 3.0, "images_per_s": 5.0, "data_wait": 0.5}
    meter.add({"loss": torch.tensor(7.0)}, 6, 0.5)
    clock.now += 2.0
    assert meter.take() == {"loss": 7.0, "images_per_s": 3.0, "data_wait": 0.25}, "nothing of before"
    clock.now += 1.0
    assert meter.take() == {"images_per_s": 0.0, "data_wait": 0.0}


def test_an_evaluation_between_steps_does_not_count_as_their_time(clock: Clock) -> None:
    meter = Meter()
    assert meter.seconds_per_step == 0
    for _ in range(2):
        clock.now += 3.0
        meter.add({"loss": torch.tensor(1.0)}, 4, 1.5)
        with meter.paused():
            clock.now += 100.0
    assert meter.seconds_per_step == 3.0
    assert meter.take() == {"loss": 1.0, "images_per_s": 8 / 6, "data_wait": 0.5}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0:00"), (7.4, "0:07"), (59.6, "1:00"), (425, "7:05"), (3599, "59:59"), (3600, "1:00:00"),
     (11225, "3:07:05"), (90061, "25:01:01")],
)  # fmt: skip
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_line_of_progress() -> None:
    values = {
        "loss": 1.23456, "contrast_12": -1.5, "contrast_13": -1.25, "rpn_objectness": 0.7, "rpn_box": 0.0625,
        "spread_target": 0.9, "retrieval": 0.5, "lr": 0.0123456, "images_per_s": 12.34, "data_wait": 0.256,
        "momentum": 0.99,
    }  # fmt: skip
    assert progress_line(3, 60, values, 425.0) == (
        "step 3/60  loss 1.235  contrast_12 -1.500  contrast_13 -1.250  rpn_objectness 0.700  rpn_box 0.062  "
        "spread_target 0.900  retrieval 0.500  lr 0.0123  12.3 img/s  wait 26%  ETA 7:05"
    )
    few = {"loss": 1.0, "lr": 1.0, "images_per_s": 1.0, "data_wait": 0.0}
    assert progress_line(1, 2, few, 0.0) == "step 1/2  loss 1.000    lr 1  1.0 img/s  wait 0%  ETA 0:00"


def test_records_are_lines_of_json_that_any_program_reads(tmp_path: Path, clock: Clock) -> None:
    log = tmp_path / "run" / "log.jsonl"
    log.parent.mkdir()
    log.write_text('{"kind": "start"}\n{"kind": "tr')  # killed while writing
    writer = Journal(log, None)
    writer.record("train", step=7, loss=math.nan, terms={"a": math.inf, "b": 0.5}, boxes=[(1.0, -math.inf)], note="ä")
    writer.record("end", step=8, interrupted=False)
    writer.close()
    lines = log.read_text().splitlines()
    assert lines[:2] == ['{"kind": "start"}', '{"kind": "tr']
    stamp = 1_700_000_000.123
    assert [json.loads(line) for line in lines[2:]] == [
        {"kind": "train", "time": stamp, "step": 7, "loss": None, "terms": {"a": None, "b": 0.5},
         "boxes": [[1.0, None]], "note": "ä"},
        {"kind": "end", "time": stamp, "step": 8, "interrupted": False},
    ]  # fmt: skip


class Recorder:
    """A tracker that remembers."""

    def __init__(self) -> None:
        self.logged: list[Any] = []

    def log(self, step: int, values: dict[str, float]) -> None:
        self.logged.append((step, values))

    def close(self, state: str) -> None:
        self.logged.append(state)


@pytest.mark.parametrize(
    ("end", "state"),
    [(None, "stopped"), ({"interrupted": False}, "done"), ({"interrupted": True}, "interrupted"),
     ({"interrupted": False, "error": "diverged"}, "stopped"), ({"interrupted": True, "error": "x"}, "stopped")],
)  # fmt: skip
def test_trackers_get_the_scalars_of_training_and_probes_and_the_end(
    end: dict[str, Any] | None, state: str, tmp_path: Path
) -> None:
    one, two = Recorder(), Recorder()
    writer = Journal(tmp_path / "log.jsonl", None, [one, two])
    writer.record("start", step=0, images=5)
    writer.record("train", step=3, loss=torch.tensor(0.5).item(), lr=1)
    writer.record("probe", step=4, auc=0.75)
    writer.record("proposals", step=4, boxes=[[1]])
    if end is not None:
        assert ending(end) == state
        writer.record("end", step=5, **end)
    writer.close()
    assert one.logged == two.logged == [(3, {"train/loss": 0.5, "train/lr": 1.0}), (4, {"probe/auc": 0.75}), state]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("tone", "color"), [("good", "\x1b[32m"), ("caution", "\x1b[33m"), ("bad", "\x1b[31m"), ("neutral", "")]
)
def test_colors_are_for_terminals_alone(tone: Any, color: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert tinted("text", tone, Terminal()) == (f"{color}text\x1b[0m" if color else "text")
    assert tinted("text", tone, io.StringIO()) == "text"
    screen = Terminal()
    Journal(None, screen).say("text", tone)
    assert screen.getvalue() == tinted("text", tone, screen) + "\n"
    for name, value in (("NO_COLOR", "1"), ("TERM", "dumb")):
        with monkeypatch.context() as patch:
            patch.setenv(name, value)
            assert tinted("text", tone, Terminal()) == "text"
