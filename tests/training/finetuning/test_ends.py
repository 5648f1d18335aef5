"""Ends of fine-tuning and evaluation, told truly; and mistakes that are told before any image is read."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from adept_hub.cli.main import main
from adept_training.metrics.nothing_learned import found_nothing, learned_nothing
from tests.training.conftest import TINY


@pytest.mark.parametrize(
    ("validation", "report", "words"),
    [
        ([(10, 0.0), (20, 0.04)], 0.0, "0.0 in all 3 evaluations. Try more than 25 iterations (--iterations 100)"),
        ([], 0.0, "in all 1 evaluations"),
        ([(10, 0.0), (20, 0.05)], 0.0, ""),
        ([(10, 0.0)], 3.0, ""),
        ([(10, None)], None, ""),  # nothing to count is no zero
    ],
)
def test_a_fine_tuning_that_never_left_zero(validation: list[Any], report: float | None, words: str) -> None:
    found = learned_nothing(validation, report, 25)
    assert (words in found) if words else found == ""


def test_no_detections_of_no_objects_are_right() -> None:
    assert "no detection of 12 objects in 5 images" in found_nothing(0, 12, 5)
    assert found_nothing(1, 12, 5) == ""
    assert found_nothing(0, 0, 5) == ""


def test_evaluating_no_detections(voc: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "none.json").write_text("[]")
    words = ["evaluate", "x", "--data", f"voc:{voc}", "--detections", str(tmp_path / "none.json")]
    assert main([*words, "--report", str(tmp_path / "report")]) == 0
    assert "Nothing was found: no detection of" in capsys.readouterr().out
    assert 'class="verdict caution">Nothing was found' in (tmp_path / "report" / "report.html").read_text()
    assert main([*words, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["found"] == 0
    assert told["caution"].startswith("Nothing was found")
    assert told["metrics"]["AP"] == 0


@pytest.fixture
def tuned(make_checkpoint, voc: Path, tmp_path: Path) -> list[str]:
    settings = [word for setting in [*TINY, "schedule.iterations=2"] for word in ("--set", setting)]
    words = ["finetune", str(make_checkpoint()[0]), "--data", f"voc:{voc}", "--out", str(tmp_path / "my run")]
    return [*words, "--device", "cpu", *settings]


def test_a_fine_tuning_that_learned_nothing_says_so(
    tuned: list[str], tmp_path: Path, voc: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two iterations at a rate of nothing: whatever is detected, all of it is wrong."""
    threshold = ["--set", "detector.score_threshold=0.99"]
    assert main([*tuned, *threshold, "--lr", "1e-9"]) == 0
    out, err = capsys.readouterr()
    assert "Nothing was learned: AP is 0.0 in all 3 evaluations" in out
    assert "Nothing was learned" in err
    assert "AP 0.00" in err, "a zero is a figure"
    metrics = json.loads((tmp_path / "my run" / "metrics.json").read_text())
    assert metrics["caution"].startswith("Nothing was learned")
    # what is printed next works as it stands, blanks in paths included
    evaluate, deploy = (shlex.split(line) for line in out.splitlines() if line.startswith("  adept "))
    assert main(evaluate[1:]) == 0
    assert "Nothing was found" in capsys.readouterr().out
    assert main(deploy[1:]) == 0
    assert (tmp_path / "my run" / "detectron2" / "config.yaml").is_file()
    # to resume it trains nothing, and says that
    capsys.readouterr()
    assert main([*tuned, *threshold, "--lr", "1e-9", "--resume"]) == 0
    assert "all 2 iterations were done before" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["finetune", "adept_joynt", "--out", "new"], "adept list"),
        (["finetune", "adept_joint", "--out", "old"], "--resume"),
        (["finetune", "adept_joint", "--out", "new", "--resume"], "without --resume"),
        (["finetune", "adept_joint", "--out", "new", "--labels", "some"], "some"),
        (["finetune", "adept_joint", "--out", "new", "--set", "engine.batchsize=3"], "batchsize"),
        (["evaluate", "adept_joynt"], "adept list"),
        (["evaluate", "x", "--detections", "none.json"], "none.json does not exist"),
        (["compare", "scratch", "adept_joynt", "--out", "new"], "adept list"),
        (["compare", "scratch", "adept_joint", "--out", "new", "--metric", "mAP"], "--metric"),
        (["compare", "scratch", "adept_joint", "--out", "new", "--seeds", "0"], "--seeds"),
        (["fewshot", "scratch", "adept_joynt", "--out", "new"], "adept list"),
        (["fewshot", "scratch", "adept_joint", "--out", "new", "--metric", "mAP"], "--metric"),
        (["fewshot", "scratch", "--out", "new", "--layers", "all,first"], "not 'first'"),
        (["fewshot", "scratch", "--out", "new", "--shots", "1,0"], "not '1,0'"),
        (["fewshot", "scratch", "--out", "new", "--shots", "1,two"], "not '1,two'"),
        (["fewshot", "scratch", "adept_joint", "--out", "new", "--set", "engine.batchsize=3"], "batchsize"),
    ],
)
def test_mistakes_are_told_before_images_are_read(
    words: list[str], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "old" / "checkpoints").mkdir(parents=True)
    (tmp_path / "old" / "checkpoints" / "step-00000001.pt").touch()
    assert main([*words, "--data", "voc:nowhere"]) == 1  # to read it first would be another mistake
    error = capsys.readouterr().err
    assert told in error
    assert len(error.splitlines()) <= 3
    assert not (tmp_path / "new").exists()


def test_a_loss_that_is_not_finite_ends_the_run(tuned: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    steps = ["schedule.iterations=6", "schedule.warmup=0", "optimizer.clip=0", "engine.evaluations=0"]
    assert main([*tuned, "--lr", "1e4", *(word for step in steps for word in ("--set", step))]) == 1
    assert "Lower optimizer.lr" in capsys.readouterr().err
