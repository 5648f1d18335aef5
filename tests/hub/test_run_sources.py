"""A run stands for the checkpoint that it left, wherever a source is taken."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from adept_hub.cli.main import main
from adept_hub.errors import CheckpointError, SourceError
from adept_hub.hub.fetch import fetch
from adept_hub.load import load_pretrained


@pytest.fixture
def checkpoint(make_checkpoint) -> Path:
    return make_checkpoint()[0]


@pytest.mark.parametrize("names", [("export",), ("best",), ("best", "last"), ("last",)])
def test_a_run_is_its_checkpoint(checkpoint: Path, names: tuple[str, ...], tmp_path: Path) -> None:
    run = tmp_path / "run"
    for name in names:
        shutil.copytree(checkpoint, run / name)
    assert fetch(run).folder == run / names[0]
    assert fetch(f"local-dir:{run}").folder == run / names[0]
    assert fetch(run / names[-1]).folder == run / names[-1], "a folder that is named is that folder"
    assert load_pretrained(str(run), num_classes=3).load_report


@pytest.mark.parametrize("words", [("pull",), ("verify",), ("card",), ("doctor", "--target", "mmdet"),
                                   ("export", "--to", "torchvision", "--out", "OUT")])  # fmt: skip
def test_every_command_takes_a_run(
    checkpoint: Path, words: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(checkpoint, tmp_path / "run" / "best")
    command, *options = (str(tmp_path / "out") if word == "OUT" else word for word in words)
    statuses = {main([command, str(source), *options]) for source in (checkpoint, tmp_path / "run")
                if not shutil.rmtree(tmp_path / "out", ignore_errors=True)}  # fmt: skip
    assert statuses == {1 if command == "doctor" else 0}, capsys.readouterr().err


def test_a_run_with_two_checkpoints_is_asked_about(checkpoint: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    for name in ("export", "best", "last"):
        shutil.copytree(checkpoint, run / name)
    with pytest.raises(SourceError, match=r"run/export or .*run/best"):
        fetch(run)


def test_a_run_that_has_not_ended(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text("{}\n")
    with pytest.raises(SourceError, match="--resume"):
        fetch(tmp_path)
    with pytest.raises(CheckpointError):
        fetch(tmp_path.parent)
