"""The calls show bars on a terminal: one per kind of work, with what the lines of a command have."""

from __future__ import annotations

import argparse
import io
import re
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import adept_training
from adept_hub.words import pulse
from adept_training.cli import proposals as proposals_command
from adept_training.finetuning import session
from adept_training.runtime import progress
from tests.house import House
from tests.training.conftest import TINY as TINY_TUNING
from tests.training.runtime.test_progress import Terminal
from tests.training.support import TINY, write_photographs

PRETRAIN = [*TINY, "data.cache=true", "method.name=soco"]


class Bars(dict[str, list[str]]):
    """Every state of every visible bar, by its description; ``made`` are the descriptions in order."""

    def __init__(self) -> None:
        self.made: list[str] = []


@pytest.fixture
def bars(monkeypatch: pytest.MonkeyPatch) -> Bars:
    """Bars on a terminal, from the first moment on."""
    seen, real_begin, real_update = Bars(), progress._Bar.__init__, progress._Bar.update

    def begin(self: Any, *args: Any, **options: Any) -> None:
        real_begin(self, *args, **options)
        if not self.disable:
            seen.made.append(self.desc)

    def update(self: Any, n: float = 1) -> Any:
        result = real_update(self, n)
        if not self.disable:
            seen.setdefault(self.desc, []).append(re.sub(r" +", " ", str(self)))
        return result

    monkeypatch.delenv("CI", raising=False)
    streams = SimpleNamespace(stderr=Terminal(), stdout=Terminal(), modules=sys.modules)
    monkeypatch.setattr(progress, "sys", streams)  # pytest replaces the streams of `sys` before the test
    monkeypatch.setattr(progress, "_DELAY", 0.0)
    monkeypatch.setattr(progress._Bar, "__init__", begin)
    monkeypatch.setattr(progress._Bar, "update", update)
    return seen


def _pretrain(tmp_path: Path, settings: Sequence[str] = PRETRAIN, **options: Any) -> Any:
    write_photographs(tmp_path / "images", 8)
    return adept_training.pretrain(
        tmp_path / "images", tmp_path / "run", data={"proposals": "fixed"}, settings=settings, **options
    )


def test_boxes_have_one_bar_and_none_with_a_callback(bars: Bars, tmp_path: Path) -> None:
    write_photographs(tmp_path / "images", 8)
    adept_training.propose(tmp_path / "images", tmp_path / "boxes", preset="fixed", workers=1)
    assert bars.made == ["boxes"]
    assert [re.findall(r"\d+/8", line)[0] for line in bars["boxes"]][1:] == ["1/8", "2/8", "4/8", "8/8"]
    done: list[int] = []
    adept_training.propose(
        tmp_path / "images", tmp_path / "others", preset="fixed", workers=1, progress=lambda now: done.append(now.done)
    )
    assert (bars.made, done[-1]) == (["boxes"], 8)


def test_a_survey_of_sizes_has_a_bar_before_the_boxes_and_quiet_none(bars: Bars, tmp_path: Path) -> None:
    write_photographs(tmp_path / "images", 24)
    adept_training.propose(tmp_path / "images", tmp_path / "boxes", preset="objects", workers=1)
    assert bars.made == ["sizes that recur", "boxes"]
    assert "24/24" in bars["sizes that recur"][-1]
    bars.made.clear()
    parser = argparse.ArgumentParser()
    proposals_command.add_arguments(parser)
    words = [str(tmp_path / "images"), "--out", str(tmp_path / "others"), "--preset", "objects", "--workers", "1"]
    assert proposals_command.run(parser.parse_args([*words, "--quiet"])) == 0
    assert bars.made == []


def test_pre_training_shows_steps_loss_speed_and_time_left(bars: Bars, tmp_path: Path) -> None:
    _pretrain(tmp_path)
    assert bars.made == ["boxes", "decoding images", "pre-training"]
    first, *_, last = bars["pre-training"]
    assert re.fullmatch(
        r"pre-training: 25%\|.*\| 00:0\d, step 1/4, ETA \d:\d\d, loss -?\d\.\d{3}, \d+\.\d img/s", first
    )
    assert re.match(r"pre-training: 100%.*step 4/4, ETA \d:\d\d, loss", last)
    assert pulse._doing == []


def test_a_time_limit_fills_the_bar_too(bars: Bars, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from adept_training.pretraining.run import Run

    minutes = iter([0.0, 0.25, 0.5, 1.0, 1.0, 1.0, 1.0, 1.0])
    monkeypatch.setattr(Run, "agree", lambda self, _: _at(self, next(minutes)))
    limited = ["engine.max_steps=40", "engine.max_minutes=1"]
    _pretrain(tmp_path, [setting for setting in PRETRAIN if "epochs" not in setting] + limited)
    shares = [re.findall(r"(\d+)%\|.*(step \d+/\d+)", line)[0] for line in bars["pre-training"]]
    assert shares == [("25", "step 1/40"), ("50", "step 2/40"), ("100", "step 3/40")]


def _at(run: Any, share: float) -> tuple[bool, int, float]:
    return share >= 1, max(run.progress.step, int(share * run.steps)), run.steps


def test_without_a_terminal_or_with_a_stream_there_are_none(
    bars: Bars, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = io.StringIO()
    _pretrain(tmp_path, stream=stream)
    assert "step 4/4" in stream.getvalue()
    assert bars.made == ["decoding images"], "what has no lines has a bar"
    bars.made.clear()
    monkeypatch.setattr(progress.sys, "stderr", io.StringIO())
    adept_training.propose(tmp_path / "images", tmp_path / "boxes", preset="fixed", workers=1)
    assert bars.made == []


def test_fine_tuning_shows_iterations_and_what_interrupts_them(
    bars: Bars, house: House, voc: Path, tmp_path: Path
) -> None:
    tuned = adept_training.finetune(house.source, f"voc:{voc}", tmp_path / "run", device="cpu", settings=TINY_TUNING)
    statistics, evaluation = "measuring statistics of training images", "evaluating on val"
    both = [statistics, evaluation]
    checks = [f"checking {name}" for name in ("train", "val", "test")]
    assert bars.made == [*checks, statistics, "fine-tuning", *both, *both, "evaluating on test"]
    first, *_, fourth, _, last = bars["fine-tuning"]
    assert re.match(
        r"fine-tuning: 17%\|.*iteration 1/6, ETA \d:\d\d plus norm statistics and 3 evaluations, loss", first
    )
    assert re.search(r"iteration 4/6, ETA \d:\d\d, loss \d\.\d{3}, \d+\.\d img/s, best AP \d+\.\d\d", fourth)
    assert "iteration 6/6" in last
    assert (pulse._doing, list(progress.tqdm._instances)) == ([], [])
    bars.made.clear()
    adept_training.evaluate(str(tuned.folder), f"voc:{voc}", split="val", device="cpu")
    assert bars.made == [*checks, "evaluating on val"]


def test_an_interrupt_removes_the_bars_and_keeps_the_run(
    bars: Bars, house: House, voc: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        signal.raise_signal(signal.SIGINT)
        progress.check_stop()

    monkeypatch.setattr(session, "evaluate", interrupted)
    out = tmp_path / "run"
    tuned = adept_training.finetune(house.source, f"voc:{voc}", out, device="cpu", settings=TINY_TUNING)
    assert (tuned.interrupted, tuned.iterations) == (True, 3)
    assert (pulse._doing, list(progress.tqdm._instances)) == ([], [])
    monkeypatch.undo()
    again = adept_training.finetune(house.source, f"voc:{voc}", out, device="cpu", resume=True)
    assert (again.interrupted, again.iterations) == (False, 6)
