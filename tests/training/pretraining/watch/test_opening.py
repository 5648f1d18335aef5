"""The first lines of a report and its table before and after, worked by hand for runs that ended in different ways."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from adept_training.pretraining.watch.curves import ALARMS, LEARNING, PACE, RPN, levels_of
from adept_training.pretraining.watch.log import RunLog, read_log
from adept_training.pretraining.watch.measures import before_and_after, changes_of
from adept_training.pretraining.watch.opening import headline, more_commands, progress, reasons, type_next
from adept_training.pretraining.watch.outcome import verdict_of
from tests.training.support import tiny

START = {"recall100_iou50": 0.10, "objectness_auc": 0.57, "head_rank": 101.72, "head_same_image": 0.48}
END = {"recall100_iou50": 0.52, "objectness_auc": 0.95, "head_rank": 7.76, "head_same_image": 0.26}


def _run(folder: Path, last: dict[str, float], steps: int = 400, end: dict[str, Any] | None = None) -> RunLog:
    folder.mkdir(exist_ok=True)
    (folder / "recipe.yaml").write_text(tiny("engine.collapse_spread=0.07", "engine.batch_size=8").to_yaml())
    records: list[dict[str, Any]] = [
        {"kind": "start", "step": 0, "steps": 400, "images": 99, "held_out": 20, "held_out_boxes": 2500},
        {"kind": "probe", "step": 0, **{f"target_{key}": value for key, value in START.items()}},
        {"kind": "train", "step": steps, "loss": 1.0},
        {"kind": "probe", "step": steps, **{f"target_{key}": value for key, value in last.items()}},
        {"kind": "end", "step": steps, "seconds": 60.0, "interrupted": False} if end is None else end,
    ]
    (folder / "log.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records if record))
    return read_log(folder)


def _opening(run: RunLog) -> tuple[str, str, str]:
    verdict = verdict_of(run)
    return *headline(run, verdict), reasons(verdict, list(changes_of(run).values()))


def test_a_healthy_run(tmp_path: Path) -> None:
    run = _run(tmp_path / "my run", END)
    title, tone, why = _opening(run)
    assert (title, tone) == ("It learned.", "good")
    assert why == (
        "Its RPN's best 100 proposals cover 52% of the boxes in held-out images (10% at the start). The RPN scores an "
        "object above background in 95% of all pairs (57% at the start, 50% is guessing)."
    )
    shown = type_next(run, verdict_of(run))
    assert [command.split()[:2] for _, command in shown] == [["adept", "finetune"], ["adept", "compare"]]
    assert f"'{tmp_path}/my run/export'" in shown[0][1]
    assert not {command for _, command in shown} & set(more_commands(run, shown)), "each command once"


def test_a_collapsed_run(tmp_path: Path) -> None:
    title, tone, why = _opening(_run(tmp_path / "r", {**START, "head_rank": 2.1}))
    assert (title, tone) == ("It collapsed.", "bad")
    assert why == "The head's features of different boxes differ in only 2.1 directions: collapsed."
    title, tone, why = _opening(_run(tmp_path / "s", {**END, "head_rank": 2.1}))
    assert (title, tone) == ("Its RoI head collapsed.", "caution"), "its RPN gained"
    assert "2.1 directions" in why
    assert "52%" in why


def test_a_short_run_and_one_without_a_gain(tmp_path: Path) -> None:
    short = _run(tmp_path / "r", END, steps=12)
    title, tone, why = _opening(short)
    assert (title, tone) == ("Too short for a verdict.", "caution")
    assert why.startswith("12 steps are too few to learn from (at least 100 are needed). The time limit ended it at 12")
    (advice,) = type_next(short, verdict_of(short))
    assert advice[1].startswith("adept pretrain")
    # 800 passes over 99 images are 9,900 steps of 8, and 400 steps are 2 epochs.
    assert advice[1].endswith("--set schedule.epochs=50")
    title, tone, why = _opening(_run(tmp_path / "s", START))
    assert (title, tone, why) == ("No clear gain.", "caution", "Nothing changed by more than 0.03.")
    assert _opening(_run(tmp_path / "t", {**START, "objectness_auc": 0.3}))[0] == "It is worse than its start."


@pytest.mark.parametrize(
    ("end", "title", "words"),
    [
        ({}, "Still running, or killed.", "at 400 of 400 steps"),
        ({"kind": "end", "step": 400, "interrupted": True}, "Interrupted; its state is saved.", "after 400 of 400"),
        ({"kind": "end", "step": 400, "error": "no\nmemory"}, "It stopped with an error.", "steps: no memory"),
    ],
)
def test_a_run_that_is_not_done(end: dict[str, Any], title: str, words: str, tmp_path: Path) -> None:
    run = _run(tmp_path / "r", END, end=end)
    assert headline(run, None)[0] == title
    assert headline(run, None)[1] != "good"
    assert words in progress(run)
    ((_, command),) = type_next(run, None)
    assert command.endswith("--resume")
    assert more_commands(run, []) == []


def test_the_table_before_and_after(tmp_path: Path) -> None:
    rows = {name: cells for name, _, cells in before_and_after(_run(tmp_path / "r", END))}
    assert list(rows.values()) == [
        ["0.10", "0.52", "↑ higher is better", "▲ better"],
        ["0.57", "0.95", "↑ higher is better", "▲ better"],
        ["101.7", "7.8", "must stay above 4", "✓ above the alarm"],
        ["0.48", "0.26", "↓ lower is better", "▼ better"],
    ]
    bad = {"recall100_iou50": 0.05, "objectness_auc": 0.59, "head_rank": 3.9, "head_same_image": 0.8}
    results = [cells[-1] for _, _, cells in before_and_after(_run(tmp_path / "s", bad))]
    assert results == ["▼ worse", "no change beyond ±0.03", "✕ collapsed", "▲ worse"]


def test_lines_of_chance_and_alarm_are_those_of_the_recipe(tmp_path: Path) -> None:
    run = _run(tmp_path / "r", END)
    found = {curve.title: levels_of(curve, [run]) for curve in (*LEARNING, *ALARMS, *RPN, *PACE)}
    assert {title: levels for title, levels in found.items() if levels} == {
        "Same box found in another view": {"chance": 1 / 8},
        "Spread of the features": {"alarm": 0.07},
        "Directions of the RoI head's features": {"alarm": 4.0},
        "Neighbors from the same image": {"chance": 1 / 20},
        "What remains of the random start": {"alarm": 0.05},
        "Objects above background": {"guessing": 0.5},
        "Waiting for data": {"0.1": 0.1},
    }
    assert all(curve.unit and curve.good.endswith(".") for curve in (*LEARNING, *ALARMS, *RPN, *PACE))
