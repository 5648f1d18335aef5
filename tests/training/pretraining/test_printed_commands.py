"""``adept pretrain`` as it is typed: what it prints at the end can be typed in turn, word for word."""

from __future__ import annotations

import os
import shlex
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import adept_training.pretraining.pretrain as module
from adept_hub.checkpoint.folder import write_config
from adept_hub.cli.main import build_parser, main
from adept_hub.errors import MissingExtraError
from adept_training.pretraining.asked import next_commands
from adept_training.runtime import trackers
from tests.training.support import TINY, write_photographs


def _commands(told: str, heading: str) -> list[list[str]]:
    lines = told.splitlines()
    return [shlex.split(line) for line in lines[lines.index(heading) + 1 :]]


@pytest.mark.slow
def test_the_printed_commands_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_photographs(tmp_path / "my photos", 12)
    run = tmp_path / "my run"
    settings = [
        word
        for setting in (*TINY, "data.proposals=opencv-fast", "export.license=apache-2.0")
        for word in ("--set", setting)
    ]
    assert main(["proposals", str(tmp_path / "my photos"), "--out", str(tmp_path / "boxes"), "--preset", "opencv-fast",
                 "--workers", "1"]) == 0  # fmt: skip
    words = ["pretrain", "--images", str(tmp_path / "my photos"), "--proposals", str(tmp_path / "boxes"), "--out",
             str(run), "--method", "adept_joint", "--preview", *settings]  # fmt: skip
    real = module.update_target

    def stop(*arguments: Any) -> None:
        real(*arguments)
        os.kill(os.getpid(), signal.SIGTERM)

    capsys.readouterr()
    with monkeypatch.context() as patch:
        patch.setattr(module, "update_target", stop)
        assert main(words) == 130
    out, err = capsys.readouterr()
    assert f"preview of the views: {run}/preview.png" in err
    (resume,) = _commands(out, "Saved. Continue:")
    assert resume[0] == "adept"
    assert main(resume[1:]) == 0
    told = capsys.readouterr().out
    assert f"Report: {run}/report.html" in told
    export, finetune, push = _commands(told, "Next:")
    assert main(export[1:]) == 0
    assert (run / "detectron2").is_dir()
    assert main([*push[1:], "--dry-run"]) == 0
    filled = ["coco:a.json:b" if word == "DATA" else word for word in finetune[1:]]
    args = build_parser("finetune").parse_args(filled)
    assert (args.source, args.out) == (f"{run}/export", run / "finetune")
    for command in (export, finetune, push):
        assert shlex.join(command) in (run / "report.html").read_text().replace("&#x27;", "'")
    assert main(["report", str(run)]) == 0


def test_the_push_of_weights_without_a_license_works_as_printed(
    make_checkpoint: Callable[..., Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, config, _ = make_checkpoint(folder=tmp_path / "r" / "export")
    write_config(folder, replace(config, license="unstated"))
    words = shlex.split(next_commands(tmp_path / "r", "unstated")[-1].replace("ORG/NAME", "org/name"))
    assert main([*words[1:], "--dry-run"]) == 0
    (again,) = [line.rpartition(": ")[2] for line in capsys.readouterr().out.splitlines() if "To publish it" in line]
    assert shlex.split(again) == words
    assert main(["push", str(folder), "org/name", "--dry-run"]) == 1
    (told,) = [line.rpartition(": ")[2] for line in capsys.readouterr().err.splitlines() if "State one" in line]
    assert shlex.split(told) == [*words, "--dry-run"]


def test_a_missing_tracker_is_told_before_anything_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trackers.importlib.util, "find_spec", lambda name: None)
    args = build_parser("pretrain").parse_args(
        ["pretrain", "--images", str(tmp_path), "--out", str(tmp_path / "r"), "--track", "wandb"]
    )
    from adept_training.cli.pretrain import run

    with pytest.raises(MissingExtraError, match=r"pip install '\.\[wandb\]'"):
        run(args)
    assert not (tmp_path / "r").exists()
