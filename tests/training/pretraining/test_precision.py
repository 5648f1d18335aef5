"""Which precision a run gets where its recipe leaves it open, with times of the test's own, and what is kept of it."""

from __future__ import annotations

import io
import json
import time
from pathlib import Path

import pytest
import torch

import adept_training.pretraining.precision as module
from adept_hub.models.parts import DetectorParts
from adept_training.pretraining.asked import Asked
from adept_training.pretraining.precision import resolve_precision, seconds_of_a_step
from adept_training.pretraining.pretrain import pretrain
from adept_training.pretraining.recipe import Recipe, load_recipe, recipe_names
from tests.training.support import RandomBoxes, tiny, write_photographs


def _timer(full: float, half: float):
    return lambda recipe, is_half: half if is_half else full


@pytest.fixture(autouse=True)
def _cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.delenv("WORLD_SIZE", raising=False)


@pytest.mark.parametrize(
    ("full", "half", "expected"),
    [(4.5, 6.5, "fp32"), (4.5, 4.4, "fp32"), (4.5, 2.3, "bf16"), (1.0, 0.89, "bf16"), (1.0, 0.91, "fp32")],
)
def test_a_cpu_gets_what_it_is_clearly_faster_with(full: float, half: float, expected: str, tmp_path: Path) -> None:
    recipe = tiny("engine.precision=auto", "engine.seed=3")
    found, words = resolve_precision(recipe, tmp_path, resume=False, timer=_timer(full, half))
    assert found.engine.precision == expected
    assert found.engine.seed == 3
    assert words.startswith(f"precision {expected}: a pass of ")
    assert f"{full:.3g} s in fp32 and {half:.3g} s in bf16" in words


def test_who_names_a_precision_has_it(tmp_path: Path) -> None:
    def never(*_: object) -> float:
        raise AssertionError("timed for nothing")

    for name in ("fp64", "fp32", "bf16"):
        recipe = tiny(f"engine.precision={name}")
        assert resolve_precision(recipe, tmp_path, resume=False, timer=never) == (recipe, "")


@pytest.mark.parametrize(("native", "expected"), [(True, "bf16"), (False, "fp16")])
def test_a_gpu_is_not_timed(native: bool, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: native or including_emulation)
    found, _ = resolve_precision(tiny("engine.precision=auto"), tmp_path, resume=False, timer=_timer(1, 9))
    assert found.engine.precision == expected


def test_several_processes_agree_without_timing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    found, words = resolve_precision(tiny("engine.precision=auto"), tmp_path, resume=False, timer=_timer(9, 1))
    assert found.engine.precision == "fp32"
    assert "--set engine.precision=bf16" in words


def test_a_run_keeps_what_it_began_with_and_says_which(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, recipe = write_photographs(tmp_path / "p", 8), tiny("engine.precision=auto", "engine.checkpoint_minutes=0")
    monkeypatch.setattr(module, "seconds_of_a_step", _timer(2.0, 1.0))
    told, folder = io.StringIO(), tmp_path / "r"
    real, dtypes = torch.autocast.__init__, set()

    def autocast(self: torch.autocast, *arguments: object, **options: object) -> None:
        dtypes.add(options.get("dtype"))
        real(self, *arguments, **options)

    monkeypatch.setattr(torch.autocast, "__init__", autocast)
    pretrain(recipe, source, RandomBoxes(), folder, stream=told, asked=Asked(report=False))
    assert "precision bf16: a pass of 4 views takes 2 s in fp32 and 1 s in bf16 here" in told.getvalue()
    assert torch.bfloat16 in dtypes, "the network really computed in it"
    assert load_recipe(folder / "recipe.yaml").engine.precision == "bf16"
    config = json.loads((folder / "export" / "config.json").read_text())
    assert config["provenance"]["recipe"]["engine"]["precision"] == "bf16"
    # The machine is busy when the run goes on: it stays what it was, and may be resumed.
    for state in (folder / "checkpoints").glob("step-0000000[34].pt"):
        state.unlink()
    (folder / "outcome.json").unlink(missing_ok=True)
    monkeypatch.setattr(module, "seconds_of_a_step", _timer(1.0, 2.0))
    outcome = pretrain(recipe, source, RandomBoxes(), folder, resume=True, asked=Asked(report=False))
    assert outcome.steps == 4
    assert load_recipe(folder / "recipe.yaml").engine.precision == "bf16"


def test_both_are_really_timed() -> None:
    recipe: Recipe = tiny("engine.precision=auto", "views.sizes=[32,32,32]")
    torch.manual_seed(0)
    assert 0 < seconds_of_a_step(recipe, half=False) < 60
    assert 0 < seconds_of_a_step(recipe, half=True) < 60


def test_waiting_for_a_busy_machine_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """bf16 was once timed at three times its cost since other work had the core just then."""
    real, threads = DetectorParts.pyramid, torch.get_num_threads()

    def interrupted(self: DetectorParts, views: torch.Tensor) -> list[torch.Tensor]:
        assert torch.get_num_threads() == 1
        time.sleep(1)
        return real(self, views)

    monkeypatch.setattr(DetectorParts, "pyramid", interrupted)
    monkeypatch.setattr(module, "_SECONDS", 0)
    assert 0 < seconds_of_a_step(tiny("views.sizes=[32,32,32]"), half=True) < 1
    assert torch.get_num_threads() == threads


def test_the_paper_s_recipes_name_theirs() -> None:
    named = {name: load_recipe(name).engine.precision for name in recipe_names()}
    for name, precision in named.items():
        if name.startswith("table4") or name.endswith("_100ep"):
            assert precision == ("fp16" if name.startswith("soco") else "bf16"), name
    auto = {name for name, precision in named.items() if precision == "auto"}
    own = {f"own_photos_{name}" for name in ("backbone", "cpu", "detection", "teacher")}
    assert auto == {*own, "two_minutes"}
