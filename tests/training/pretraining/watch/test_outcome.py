"""A run's end, told truly: in the terminal, run.json, the page, the card and for programs; and what to try works."""

from __future__ import annotations

import io
import itertools
import json
import re
import shlex
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import adept_training.pretraining.pretrain as module
from adept_hub.checkpoint.folder import read_config
from adept_hub.cli.main import main
from adept_training.comparing.command import SMALL
from adept_training.planning.need import look_ahead, need_of
from adept_training.pretraining.ending import judge_run
from adept_training.pretraining.recipe import LRScaleRecipe
from adept_training.pretraining.watch.log import read_log
from adept_training.pretraining.watch.outcome import advice_of, has_finished, verdict_of
from adept_training.runtime.journal import Journal
from tests.training.support import TINY, tiny, write_photographs

#: Small, and fast enough for a look at the end: one step an epoch, two images held out of forty.
SETTINGS = (*TINY, "data.proposals=opencv-fast", "data.held_out=2", "schedule.epochs=1", "engine.batch_size=19",
            "schedule.warmup_epochs=0", "model.anchors.sizes=[8,16,32,64]")  # fmt: skip


def _words(folder: Path, *more: str) -> list[str]:
    settings = [word for setting in SETTINGS for word in ("--set", setting)]
    return ["pretrain", "--images", str(folder / "photos"), "--out", str(folder / "run"), *settings, *more]


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    write_photographs(tmp_path / "photos", 40)
    return tmp_path


def _fall(monkeypatch: pytest.MonkeyPatch) -> None:
    """Probes as of the run that ended green: an AUC of .62 at the start, of .21 at the end."""

    def probe(run: Any) -> dict[str, float]:
        values = {"target_objectness_auc": 0.62 if run.progress.step == 0 else 0.21}
        run.journal.record("probe", step=run.progress.step, **values)
        return values

    monkeypatch.setattr(module.Run, "probe", probe)


def test_a_run_that_got_worse_is_red_everywhere(
    photographs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _fall(monkeypatch)
    real, asked = module.Run.seconds, itertools.count()  # printing, exporting and writing take time, too
    monkeypatch.setattr(module.Run, "seconds", lambda run: real(run) + 10 * next(asked))
    assert main(_words(photographs)) == 0
    out, err = capsys.readouterr()
    assert "verdict: worse than the start: objectness AUC (0.5 is chance) 0.62 -> 0.21" in err
    run = photographs / "run"
    content = json.loads((run / "run.json").read_text())
    assert (content["state"], content["verdict"]["word"], content["steps"]) == ("done", "worse", 2)
    page = (run / "report.html").read_text()
    assert 'class="verdict bad"' in page
    assert all(f">{value}</td>" in page for value in ("0.62", "0.21"))
    assert any("0.62 -> 0.21" in note for note in read_config(run / "export").provenance.notes)
    assert "0.62 -" in (run / "export" / "README.md").read_text()
    # two steps, all that were planned: more epochs are what to try, and the command runs as it is printed
    (words, advice) = re.findall(r"^  (give it time for 1,600 steps, about .*): (adept .*)$", out, re.M)[0]
    assert "schedule.epochs=800" in advice, "BYOL wants 800 passes, of two steps each"
    assert content["verdict"]["try"] == [f"{words}: {advice}"]
    assert main(["report", str(run), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["runs"][0]["verdict"]["word"] == "worse"
    again = shlex.split(advice)[1:]
    again[again.index("schedule.epochs=800")] = "schedule.epochs=2"
    assert main(again) == 0
    assert (photographs / "run-2" / "export").is_dir()


def test_a_run_that_the_clock_cut_can_be_given_more(
    photographs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The limit passes in the fourth step, whose clock is made to jump; until then the pace was told."""
    _fall(monkeypatch)
    real = module.Run.seconds
    monkeypatch.setattr(module.Run, "seconds", lambda run: real(run) + 1e4 * (run.progress.step >= 4))
    words = _words(photographs, "--set", "schedule.epochs=800", "--minutes", "5")
    assert main(words) == 0
    out, err = capsys.readouterr()
    assert re.search(r"pace: .* per step", err)
    assert "4 of 1600 steps" in err
    assert "verdict: worse" in err
    log = read_log(photographs / "run")
    assert [record["step"] for record in log.of("pace")] == [3]
    (advice,) = re.findall(r"^  give it time for 1,600 steps, about .*: (adept .*)$", out, re.M)
    assert look_ahead(need_of("adept_joint", "cosine"), 38, 19, 4).enough_steps == 1600, "as adept plan advises"
    # resumed with the same limit there is nothing to do, and nothing is done
    before = {path: path.stat().st_mtime_ns for path in (photographs / "run").rglob("*") if path.is_file()}
    assert main([*shlex.split(advice)[1:-3], "--resume"]) == 0
    out = capsys.readouterr().out
    assert "already finished (4 of 1600 steps): nothing to resume, nothing changed" in out
    assert before == {path: path.stat().st_mtime_ns for path in (photographs / "run").rglob("*") if path.is_file()}
    # with the words of the advice it goes on
    monkeypatch.setattr(module.Run, "seconds", lambda run: real(run) + 1e9 * (run.progress.step >= 7))
    assert shlex.split(advice)[-3:-1] == ["--minutes", shlex.split(advice)[-2]]
    assert main(shlex.split(advice)[1:]) == 0
    assert read_log(photographs / "run").step == 7


def test_resuming_a_finished_run_changes_nothing_and_says_so(
    photographs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(_words(photographs)) == 0
    before = {path: path.read_bytes() for path in (photographs / "run").rglob("*") if path.is_file()}
    capsys.readouterr()
    words = ["pretrain", "--images", str(photographs / "photos"), "--out", str(photographs / "run"), "--resume"]
    assert main([*words, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["finished_before"], told["steps"], told["interrupted"]) == (True, 2, False)
    assert told["verdict"] == json.loads((photographs / "run" / "run.json").read_text())["verdict"]
    assert told["verdict"]["word"] in ("too short", "worse")
    assert told["verdict"]["try"], "what to try is as good advice later"
    assert before == {path: path.read_bytes() for path in (photographs / "run").rglob("*") if path.is_file()}
    # with another recipe it is no run to be resumed, finished or not
    assert main([*words, "--set", "optimizer.lr=0.5"]) == 1
    assert "other recipe" in capsys.readouterr().err


def _log(
    folder: Path, first: float | None, last: float | None, steps: int, planned: int, *settings: str, rank: float = 20.0,
    random_share: float = 0.05,
) -> Path:  # fmt: skip
    """A run's log; without ``first`` and ``last`` of a method that trains no RPN."""
    folder.mkdir()
    (folder / "recipe.yaml").write_text(tiny(*settings).to_yaml())
    records: list[dict[str, Any]] = [
        {"kind": "start", "step": 0, "steps": planned, "images": 99, "held_out": 5, "held_out_boxes": 2500,
         "asked": {"images": "my photos", "proposals": "boxes"}},
        {"kind": "probe", "step": 0, "target_objectness_auc": first, "target_head_rank": 20.0},
        {"kind": "train", "step": steps, "loss": 1.0, "images_per_s": 2.0, "random_share": random_share},
        {"kind": "probe", "step": steps, "target_objectness_auc": last, "target_head_rank": rank},
        {"kind": "end", "step": steps, "seconds": 600.0, "interrupted": False},
    ]  # fmt: skip
    (folder / "log.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    return folder


@pytest.mark.parametrize(
    ("last", "steps", "planned", "word", "advice"),
    [
        (0.9, 400, 400, "better", ""),
        # 99 images want 800 passes of BYOL, 19,800 steps of 4, of 2 s each at 2 images/s: 660 minutes. 200 steps of ten
        # minutes leave 200 s for probes: 664 minutes, begun ones counted, and one to begin.
        (0.6, 200, 20_000, "no better", "19,800 steps, about 11 hours: --minutes 665 --resume"),
        (0.6, 200, 18_810, "no better", "19,800 steps, about 11 hours: --minutes 665 --resume"),  # 95% of it
        (0.6, 200, 5000, "no better", "19,800 steps, about 11 hours: --set schedule.epochs=8"),
        (0.6, 18_810, 18_810, "no better", "37,620 steps, about 21 minutes: --set schedule.epochs=4"),
        (0.6, 18_809, 18_809, "no better", "19,800 steps, about 12 minutes: --set schedule.epochs=3"),
        (0.3, 400, 400, "worse", "--set optimizer.lr=0.333 --set optimizer.rpn_lr=0.00667"),
        (0.3, 400, 20_000, "worse", "--set optimizer.lr=0.333 --set optimizer.rpn_lr=0.00667"),
        (0.7, 50, 20_000, "too short", "19,800 steps, about 11 hours: --minutes 670 --resume"),
        (0.7, 50, 50, "too short", "19,800 steps, about 11 hours: --set schedule.epochs=792"),
    ],
)
def test_advice(last: float, steps: int, planned: int, word: str, advice: str, tmp_path: Path) -> None:
    run = read_log(_log(tmp_path / "r", 0.6, last, steps, planned))
    verdict = verdict_of(run)
    assert verdict.word == word
    told = advice_of(run, verdict, 600.0)
    assert bool(told) == bool(advice)
    assert all(part in line for line in told for part in ("--images 'my photos'", *advice.split(": ")))


def test_a_later_session_is_judged_by_the_first_probe_of_all(tmp_path: Path) -> None:
    folder = _log(tmp_path / "r", 0.92, 0.21, 50, 400)
    lines = (folder / "log.jsonl").read_text().splitlines()
    resumed = json.dumps({"kind": "start", "step": 50, "steps": 400, "images": 99, "held_out": 5, "asked": {}})
    probes = [json.dumps({"kind": "probe", "step": step, "target_objectness_auc": 0.71}) for step in (50, 400)]
    (folder / "log.jsonl").write_text("\n".join([*lines[:-1], resumed, *probes]) + "\n")
    assert verdict_of(read_log(folder)).word == "worse"


@pytest.mark.parametrize(
    ("seconds", "minutes", "finished"), [(179.0, 3.0, False), (181.0, 3.0, True), (181.0, None, False)]
)
def test_a_run_that_its_time_limit_ended_has_finished(
    seconds: float, minutes: float | None, finished: bool, tmp_path: Path
) -> None:
    (tmp_path / "export").mkdir()
    (tmp_path / "export" / "config.json").write_text("{}")
    identity = {"recipe": "a", "photographs": "b"}
    outcome = {"state": "done", "identity": identity, "steps": 8, "seconds": seconds}
    (tmp_path / "run.json").write_text(json.dumps(outcome))
    assert has_finished(tmp_path, identity, 9, minutes) is finished
    assert has_finished(tmp_path, identity, 8, minutes), "every step was taken"
    assert not has_finished(tmp_path, {**identity, "photographs": "c"}, 8, minutes)


def test_a_collapsed_head_is_to_be_trained_more_gently(tmp_path: Path) -> None:
    run = read_log(_log(tmp_path / "r", 0.6, 0.6, 400, 400, rank=2.0))
    verdict = verdict_of(run)
    assert (verdict.word, verdict.collapsed) == ("worse", True)
    (line,) = advice_of(run, verdict, 600.0)
    assert line.startswith("train the detector more gently: adept pretrain --images 'my photos'")
    words = shlex.split(line.partition(": ")[2])
    settings = [word for before, word in pairwise(words) if before == "--set"]
    gentle = tiny(*settings).optimizer
    assert gentle.lr_scale == LRScaleRecipe(backbone=0.2, fpn=0.2, head=0.2, predictor=10)
    assert tiny(*settings).method.projector_norm


def test_what_no_probe_can_judge_is_left_to_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    folder = _log(tmp_path / "a run", None, None, 400, 400)
    train = json.dumps({"kind": "train", "step": 200, "loss": 2.0, "images_per_s": 2.0})
    lines = (folder / "log.jsonl").read_text().splitlines()
    (folder / "log.jsonl").write_text("\n".join([lines[0], train, *lines[2:]]) + "\n")
    verdict = verdict_of(read_log(folder))
    assert verdict.word == "not judged"
    (line,) = advice_of(read_log(folder), verdict, 600.0)
    assert shlex.split(line.partition(": ")[2]) == [
        "adept", "compare", "scratch", str(folder), "--data", "DATA", *SMALL, "--out", str(folder / "compare")
    ]  # fmt: skip


def test_a_run_whose_log_was_removed_is_not_judged(tmp_path: Path) -> None:
    stream = io.StringIO()
    run: Any = SimpleNamespace(folder=tmp_path, journal=Journal(None, stream), seconds=lambda: 60.0)
    assert judge_run(run, 1.0) == (None, [])
    assert stream.getvalue().startswith("no verdict: ")
    _log(tmp_path / "r", 0.6, 0.9, 400, 400)
    run.folder = tmp_path / "r"
    verdict, advice = judge_run(run, 1.0)
    assert (verdict and verdict.word, advice) == ("better", [])


@pytest.mark.parametrize(
    ("last", "steps", "planned", "bound", "settings"),
    [
        (0.9, 400, 400, "none", ["method.momentum_bound=run"]),
        (0.6, 400, 400, "none", ["schedule.epochs=99", "method.momentum_bound=run"]),
        (0.6, 200, 20_000, "none", ["method.momentum_bound=run"]),
        (0.9, 400, 400, "run", None),
        (0.6, 400, 400, "run", ["schedule.epochs=99"]),
    ],
)
def test_a_run_that_would_export_its_random_start_is_to_be_bounded(
    last: float, steps: int, planned: int, bound: str, settings: list[str] | None, tmp_path: Path
) -> None:
    run = read_log(
        _log(tmp_path / "r", 0.6, last, steps, planned, f"method.momentum_bound={bound}", random_share=0.0501)
    )
    advice = advice_of(run, verdict_of(run), 600.0)
    assert bool(advice) == (settings is not None)
    if settings is not None:
        words = shlex.split(advice[0].partition(": ")[2])
        assert [words[i + 1] for i, word in enumerate(words) if word == "--set"] == settings
    assert len(advice) == (2 if planned == 20_000 else len(advice[:1])), "continuing it is suggested too"
