"""Checkpoints: what kill -9 leaves, the loss scale of fp16, and a run that is killed while it trains."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.precision import MixedPrecision
from torch import nn

import adept_training.pretraining.pretrain as module
from adept_hub.errors import RecipeError, ResumeError, TrainingDivergedError
from adept_training.images import open_images
from adept_training.pretraining.pretrain import pretrain
from adept_training.runtime.state import TrainingProgress, load_state, save_state, saved_states
from tests.hostile.kills import kill_before
from tests.training.support import RandomBoxes, tiny, write_photographs


def train(images: str, folder: str, *settings: str) -> None:
    pretrain(tiny(*settings), open_images(images), RandomBoxes(), Path(folder))


def test_half_written_checkpoints_are_cleared_away(tmp_path: Path) -> None:
    model = nn.Linear(2, 2)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    (tmp_path / ".step-00000007.pt.x1y2z3").write_bytes(b"half")
    for step in (8, 9, 10):
        progress = TrainingProgress(step, 1.5, {"scale": 2.0}, 0.25)
        save_state(tmp_path, model, optimizer, progress, {"recipe": "a"}, keep=2)
    kept = [f"step-{step:08d}.pt{end}" for step in (9, 10) for end in ("", ".sha256")]
    assert sorted(p.name for p in tmp_path.iterdir()) == kept
    assert load_state(tmp_path, model, optimizer, {"recipe": "a"}) == TrainingProgress(10, 1.5, {"scale": 2.0}, 0.25)


def test_fp16_is_refused_on_a_cpu_instead_of_becoming_bfloat16(tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    source = write_photographs(tmp_path / "p", 4)
    with pytest.raises(RecipeError, match=r"fp16 needs a GPU(.|\n)*engine.precision=bf16"):
        pretrain(tiny("engine.precision=fp16"), source, RandomBoxes(), tmp_path / "r")


def test_the_loss_scale_of_fp16_continues(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a scaler on the CPU, which Fabric grants when it is handed one; in fp16 a step would take ten seconds."""
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**127)
    used: list[float] = []

    def fabric(*_: object) -> Fabric:
        plugin = MixedPrecision("16-mixed", "cpu", scaler)
        monkeypatch.setattr(plugin, "forward_context", nullcontext)
        return Fabric(accelerator="cpu", devices=1, plugins=plugin)

    monkeypatch.setattr(module, "make_fabric", fabric)
    source, recipe = write_photographs(tmp_path / "p", 4), tiny()
    pretrain(recipe, source, RandomBoxes(), tmp_path / "r")
    saved = torch.load(saved_states(tmp_path / "r" / "checkpoints")[-1], weights_only=True)["scaler"]
    assert saved["scale"] < 2.0**127, "overflows lowered it"
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**127)
    real = scaler.load_state_dict
    monkeypatch.setattr(scaler, "load_state_dict", lambda state: used.append(state["scale"]) or real(state))
    (tmp_path / "r" / "run.json").unlink()  # as if it had been killed before its end
    pretrain(recipe, source, RandomBoxes(), tmp_path / "r", resume=True)
    assert used == [saved["scale"]]


@pytest.mark.slow
def test_a_killed_run_resumes_bit_for_bit(tmp_path: Path) -> None:
    settings = ("engine.checkpoint_minutes=0", "schedule.epochs=6")
    source = write_photographs(tmp_path / "photographs", 4)
    folder = tmp_path / "killed"
    photographs = str(tmp_path / "photographs")
    kill_before(train, photographs, str(folder), *settings, into=folder / "checkpoints", count=5)
    assert saved_states(folder / "checkpoints")[-1].stem == "step-00000002"
    for out, resume in ((folder, True), (tmp_path / "whole", False)):
        assert pretrain(tiny(*settings), source, RandomBoxes(), out, resume=resume).steps == 6
    one, two = (
        torch.load(saved_states(out / "checkpoints")[-1], weights_only=True) for out in (folder, tmp_path / "whole")
    )
    assert all(torch.equal(value, two["model"][key]) for key, value in one["model"].items())
    momenta = (state["optimizer"]["state"] for state in (one, two))
    for mine, theirs in zip(*(m.values() for m in momenta), strict=True):
        assert torch.equal(mine["momentum_buffer"], theirs["momentum_buffer"])


def test_nothing_to_resume_is_an_error_that_names_the_folder(tmp_path: Path) -> None:
    model = nn.Linear(2, 2)
    with pytest.raises(ResumeError, match=rf"no checkpoint in {tmp_path} .*\n.*without --resume"):
        load_state(tmp_path, model, torch.optim.SGD(model.parameters(), 0.1), {})


def test_parameters_that_are_not_finite_are_never_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint is due in the very step that spoils the weights, before their loss is logged."""
    update = module.set_lr

    def spoil(optimizer: torch.optim.Optimizer, place: int, *rest: float) -> float:
        if place == 2:
            optimizer.param_groups[0]["params"][0].data.fill_(float("nan"))
        return update(optimizer, place, *rest)

    monkeypatch.setattr(module, "set_lr", spoil)
    recipe = tiny("engine.checkpoint_minutes=1e-9", "engine.log_every=100", "schedule.epochs=3")
    source = write_photographs(tmp_path / "p", 8)
    with pytest.raises(
        TrainingDivergedError, match=r"no longer finite at step 3\.\n.*step-00000002\.pt.*optimizer\.lr"
    ):
        pretrain(recipe, source, RandomBoxes(), tmp_path / "r")
    assert [path.name for path in saved_states(tmp_path / "r" / "checkpoints")][-1] == "step-00000002.pt"
    end = json.loads((tmp_path / "r" / "log.jsonl").read_text().splitlines()[-1])
    assert (end["kind"], end["step"], end["interrupted"]) == ("end", 3, False)
    assert "no longer finite" in end["error"]
