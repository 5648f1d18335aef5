"""What a refused or partial publication tells the user to do next."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants

from adept_hub.cards.card import BEGIN
from adept_hub.cli.main import main
from adept_hub.detectors.files import DETECTOR, PREDICTORS
from tests.hub.loopback import Hub
from tests.publish.published import files_of


def _fails(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    assert main([str(word) for word in words]) == 1
    return capsys.readouterr().err


@pytest.mark.parametrize("names", [("best", "last"), ("last",)])
def test_a_fine_tuned_run_names_the_command_that_publishes_it(
    hub: Hub, run: Path, names: tuple[str, ...], make_checkpoint, capsys: pytest.CaptureFixture[str]
) -> None:
    tuned = run.parent / "my tuned run"
    tuned.mkdir()
    for name in names:
        make_checkpoint(half=True, folder=tuned / name)
    told = _fails(capsys, "push", tuned, "org/mine")
    assert f"{tuned} is a run of adept finetune" in told
    command = shlex.split(told.splitlines()[-1].partition(": ")[2])
    assert command == ["adept", "push", str(tuned / names[0]), "org/mine"]
    assert hub.log == []
    assert main(command[1:]) == 0
    assert "Not published" not in capsys.readouterr().out
    assert "model.safetensors" in files_of(hub, "org/mine")


def test_a_registered_name_is_no_folder(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    told = _fails(capsys, "push", "adept_joint", "org/mine", "--dry-run")
    assert "adept_joint is not a checkpoint folder but a registered name" in told
    assert told.splitlines()[1:] == ["To get its folder: adept pull adept_joint", "All names: adept list"]
    told = _fails(capsys, "push", "no_such_name", "org/mine", "--dry-run")
    assert told.splitlines()[-1].endswith("To get one: adept pull adept_joint")


@pytest.mark.parametrize("dry", [["--dry-run"], []])
def test_what_stays_here_of_a_fine_tuned_detector(
    hub: Hub, run: Path, dry: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    best = (run / "export").rename(run / "best")
    (best / PREDICTORS).write_bytes(b"weights")
    (best / DETECTOR).write_text("{}")
    assert main(["push", str(best), "org/mine", *dry]) == 0
    out = capsys.readouterr().out
    assert f"Not published: the fine-tuned predictors and class names ({PREDICTORS}, {DETECTOR})." in out
    assert f"adept deploy {best} --to torchvision --out DIR" in out
    assert main(["push", str(best), "org/mine", *dry, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["not_published"] == [PREDICTORS, DETECTOR]


def test_offline_is_named_as_the_reason(
    hub: Hub, run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    told = _fails(capsys, "push", run, "org/mine")
    assert "HF_HUB_OFFLINE is set" in told
    assert told.splitlines()[-1] == "Unset it: unset HF_HUB_OFFLINE"
    assert hub.log == []
    assert main(["push", str(run), "org/mine", "--dry-run"]) == 0


def test_the_commands_on_the_card_of_an_own_folder_load_it(
    make_checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make_checkpoint(folder=tmp_path / "my run" / "export")
    monkeypatch.chdir(tmp_path)
    for words in (["my run"], ["my run/export", "--write"]):
        assert main(["card", *words]) == 0
        card = capsys.readouterr().out
        card = (tmp_path / card.strip()).read_text() if "--write" in words else card
        python, shell = card.split("```")[1].removeprefix("python"), card.split("```")[3]
        names: dict[str, Any] = {}
        exec(compile(python.replace("num_classes=21", "num_classes=3"), "card", "exec"), names)
        capsys.readouterr()
        assert names["model"].load_report.loaded == 200
        assert shlex.split(shell.splitlines()[1])[:3] == ["adept", "export", "my run/export"]
        assert BEGIN in card
