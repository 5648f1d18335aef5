"""``adept pretrain``: what is typed reaches the run, and what comes of the run is printed. The run itself is a stub."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import adept_training.calls.pretraining as module
from adept_hub.checkpoint.folder import read_config
from adept_hub.cli.main import main
from adept_training.pretraining.origin import PretrainStart, record_origin
from adept_training.pretraining.pretrain import PretrainResult
from adept_training.proposals import ProposalTable
from tests.training.support import TINY, tiny, write_photographs


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    write_photographs(tmp_path / "photographs", 5)
    return tmp_path / "photographs"


@pytest.fixture
def boxes(photographs: Path, tmp_path: Path) -> Path:
    words = ["proposals", str(photographs), "--out", str(tmp_path / "boxes"), "--preset", "opencv-fast", "--quiet"]
    assert main([*words, "--workers", "1"]) == 0
    return tmp_path / "boxes"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the run was asked for; it claims to have done six steps, or ``done`` of them."""
    seen: dict[str, Any] = {"done": 6}

    def stub(recipe: Any, source: Any, table: Any, folder: Path, **options: Any) -> PretrainResult:
        seen.update(options, recipe=recipe, keys=source.keys(), table=table, folder=folder)
        return PretrainResult(folder, seen["done"], 6, seen["done"] < 6, {"a": 0.25}, {"a": 0.5})

    monkeypatch.setattr(module, "pretrain_table", stub)
    return seen


@pytest.fixture
def typed(photographs: Path, boxes: Path, tmp_path: Path) -> Callable[..., int]:
    words = ["pretrain", "--images", str(photographs), "--proposals", str(boxes), "--out", str(tmp_path / "run")]
    words += ["--set", "engine.batch_size=4"]
    return lambda *more: main([*words, *map(str, more)])


def test_many_fallbacks_are_told_again(
    typed: Callable[..., int], asked: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    assert typed() == 0
    assert "caution" not in capsys.readouterr().err
    monkeypatch.setattr(ProposalTable, "fallbacks", 3)
    assert typed() == 0
    assert "3 of 5 images (60%): their box is a fallback" in (told := capsys.readouterr().err)
    assert f"--preset objects --boxes 50 --out {tmp_path}/boxes-objects" in told


def test_done(typed: Callable[..., int], asked: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert typed("--method", "soco", "--set", "schedule.epochs=20", "--set", "engine.seed=3") == 0
    assert (asked["recipe"].method.name, asked["recipe"].schedule.epochs, asked["recipe"].engine.seed) == (
        "soco",
        20,
        3,
    )
    assert len(asked["keys"]) == 5
    assert asked["proposals"]["preset"]["name"] == "opencv-fast"
    assert (asked["resume"], asked["init"]) == (False, None)
    assert f"Weights: {asked['folder']}/export" in capsys.readouterr().out


def test_shorthands_go_before_single_settings(typed: Callable[..., int], asked: dict[str, Any]) -> None:
    settings = ("--set", "schedule.epochs=20", "--set", "schedule.warmup_epochs=1")
    assert typed("--epochs", "7", "--batch-size", "3", "--minutes", "2.5", *settings) == 0
    recipe = asked["recipe"]
    assert (recipe.schedule.epochs, recipe.engine.batch_size, recipe.engine.max_minutes) == (7, 3, 2.5)


def test_steps_exclude_epochs(
    typed: Callable[..., int], asked: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert typed("--steps", "30") == 0
    assert asked["recipe"].engine.max_steps == 30
    asked.clear()
    assert typed("--steps", "30", "--epochs", "7") == 1
    assert "engine.max_steps is 30" in capsys.readouterr().err
    assert "recipe" not in asked, "nothing was begun"


def test_json_is_all_that_is_on_standard_output(
    typed: Callable[..., int], asked: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    asked["done"] = 2
    assert typed("--json") == 130
    report = json.loads(capsys.readouterr().out)
    assert (report["steps"], report["planned_steps"], report["interrupted"]) == (2, 6, True)
    assert (report["first"], report["last"], report["run"]) == ({"a": 0.25}, {"a": 0.5}, str(asked["folder"]))


def test_resume_takes_the_recipe_of_the_run(typed: Callable[..., int], asked: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    (tmp_path / "run" / "checkpoints" / "step-00000002.pt").touch()
    (tmp_path / "run" / "recipe.yaml").write_text(tiny("method.name=byol").to_yaml())
    record_origin(PretrainStart(license="cc-by-4.0"), tmp_path / "run")
    assert typed("--resume") == 0
    assert asked["recipe"] == tiny("method.name=byol", "export.license=cc-by-4.0"), "its license too"
    assert asked["resume"] is True
    assert typed("--resume", "--recipe", "two_minutes") == 0
    assert asked["recipe"].model.depth == 18
    assert asked["recipe"].optimizer.name == "adamw", "a recipe that is named goes before"


def test_init_is_a_folder_or_a_name(
    typed: Callable[..., int], asked: dict[str, Any], make_checkpoint: Callable[..., Any]
) -> None:
    folder, _, _ = make_checkpoint()
    small = ["model.depth=18", "model.fpn_channels=32", "model.head_conv_channels=32", "model.head_fc_channels=64"]
    assert typed("--init", folder, *(word for value in small for word in ("--set", value))) == 0
    assert asked["init"] == folder
    assert typed("--init", "adept_joint_r18_fpn128.caltech101", "--recipe", "own_photos_cpu") == 0
    assert read_config(asked["init"]).spec.depth == 18


@pytest.mark.parametrize(
    ("more", "status", "words"),
    [
        (["--init", "adept_joynt"], 1, "adept_joint"),
        (["--recipe", "two_minute"], 1, "two_minutes"),
        (["--set", "schedule.epoch=3"], 1, "unknown field 'epoch'"),
        (["--method", "simclr"], 2, "invalid choice"),
        (["--proposals", "no/such/folder"], 1, "no/such/folder"),
        (["--images", "no/such/photographs"], 1, "no/such/photographs"),
    ],
)
def test_mistakes(
    more: list[str], status: int, words: str,
    typed: Callable[..., int], asked: dict[str, Any], capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    capsys.readouterr()
    try:
        found = typed(*more)
    except SystemExit as left:
        found = int(left.code or 0)
    told = capsys.readouterr().err
    assert found == status
    assert words in told
    assert "Traceback" not in told
    assert "recipe" not in asked, "nothing was begun"


def test_boxes_are_made_where_none_are_given(
    photographs: Path, asked: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = [word for setting in (*TINY, "data.proposals=opencv-fast") for word in ("--set", setting)]
    assert main(["pretrain", "--images", str(photographs), "--out", str(tmp_path / "r"), *settings]) == 0
    assert "writing them with preset 'opencv-fast'" in capsys.readouterr().err
    assert (tmp_path / "r" / "proposals").is_dir()
    assert len(asked["table"].boxes(asked["keys"][0])) > 0


def test_a_mistaken_init_is_told_before_boxes_are_made(
    photographs: Path, asked: dict[str, Any], tmp_path: Path
) -> None:
    assert main(["pretrain", "--images", str(photographs), "--out", str(tmp_path / "r"), "--init", "no/folder"]) == 1
    assert not (tmp_path / "r").exists()
