"""Whole runs in small: they resume bit for bit, stop when told, notice when they fail, and leave what loads."""

from __future__ import annotations

import itertools
import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

import adept_training.pretraining.pretrain as module
from adept_hub.checkpoint.folder import read_config, read_tensors
from adept_hub.errors import OutputExistsError, RecipeError, ResumeError, TrainingDivergedError
from adept_training.images import ImageSource
from adept_training.pretraining.asked import Asked
from adept_training.pretraining.pretrain import PretrainResult, pretrain
from adept_training.pretraining.recipe import Recipe
from adept_training.runtime.state import saved_states
from tests.training.support import RandomBoxes, tiny, write_photographs

IMAGES = 12


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> ImageSource:
    return write_photographs(tmp_path_factory.mktemp("photographs"), IMAGES)


def _run(source: ImageSource, folder: Path, *settings: str, **options: Any) -> PretrainResult:
    options.setdefault("asked", Asked(report=False))
    return pretrain(tiny(*settings), source, RandomBoxes(), folder, **options)


def _state(folder: Path) -> dict[str, Any]:
    return torch.load(saved_states(folder / "checkpoints")[-1], weights_only=True)


def _log(folder: Path, kind: str) -> list[dict[str, Any]]:
    records = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [record for record in records if record["kind"] == kind]


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_same(a[k], b[k]) for k in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(_same(x, y) for x, y in zip(a, b, strict=True))
    return bool(a == b)


@pytest.fixture(scope="module")
def whole(source: ImageSource, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An uninterrupted run of six steps."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    outcome = _run(source, folder)
    assert (outcome.steps, outcome.planned_steps, outcome.interrupted) == (6, 6, False)
    return folder


def _kill_at(monkeypatch: pytest.MonkeyPatch, step: int, number: int) -> None:
    """Send the signal to this very process once ``step`` updates of the target have begun."""
    real, count = module.update_target, itertools.count(1)

    def update(*arguments: Any) -> None:
        real(*arguments)
        if next(count) == step:
            os.kill(os.getpid(), number)

    monkeypatch.setattr(module, "update_target", update)


def test_it_leaves_a_log_a_recipe_a_state_and_a_checkpoint_folder(whole: Path, source: ImageSource) -> None:
    lines = _log(whole, "train")
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 5, 6]
    wanted = {"loss", "contrast_12", "contrast_13", "rpn_objectness", "rpn_box", "images_per_s", "data_wait", "lr",
              "momentum", "spread_target", "retrieval", "positives_p2", "positives_p5", "epoch"}  # fmt: skip
    assert wanted <= lines[0].keys()
    assert lines[0]["momentum"] == pytest.approx(0.99)
    assert lines[3]["momentum"] == pytest.approx(0.995), "step 3 of 6: half-way"
    config = read_config(whole / "export")
    assert config.parts == ("backbone", "fpn", "rpn", "head")
    assert (config.provenance.method, config.provenance.images, config.provenance.epochs) == (
        "adept_joint",
        IMAGES,
        2.0,
    )
    assert config.provenance.exported_network == "target"
    tensors, state = read_tensors(whole / "export", config), _state(whole)["model"]
    for key, value in tensors.items():
        network = "online" if key.startswith("rpn.") else "target"
        assert torch.equal(value, state[f"{network}.parts.{key}"]), key


def test_online_export_and_soco_without_an_rpn(source: ImageSource, tmp_path: Path) -> None:
    _run(source, tmp_path / "r", "method.name=soco", "export.network=online", "schedule.epochs=1", "export.half=true")
    config = read_config(tmp_path / "r" / "export")
    assert config.parts == ("backbone", "fpn", "head")
    assert (config.provenance.exported_network, config.stored_dtype) == ("online", "float16")
    tensors, state = read_tensors(tmp_path / "r" / "export", config), _state(tmp_path / "r")["model"]
    key = "backbone.layer1.0.conv1.weight"
    assert torch.equal(tensors[key], state[f"online.parts.{key}"].half().float())


@pytest.mark.parametrize("step", [1, 4])
def test_a_signal_saves_and_the_run_resumes_bit_for_bit(
    step: int, source: ImageSource, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "r"
    with monkeypatch.context() as patch:
        _kill_at(patch, step, signal.SIGTERM)
        outcome = _run(source, folder)
    assert outcome.interrupted
    assert outcome.steps == step, "the step in progress is finished, no other begun"
    assert not (folder / "export").exists()
    with pytest.raises(OutputExistsError, match="--resume"):
        _run(source, folder)
    outcome = _run(source, folder, resume=True)
    assert (outcome.steps, outcome.interrupted) == (6, False)
    resumed, straight = _state(folder), _state(whole)
    assert _same(resumed["model"], straight["model"])
    assert _same(resumed["optimizer"], straight["optimizer"])


def test_workers_do_not_change_the_weights(source: ImageSource, whole: Path, tmp_path: Path) -> None:
    _run(source, tmp_path / "r", "data.workers=1")
    assert _same(_state(tmp_path / "r")["model"], _state(whole)["model"])


def test_being_seen_does_not_change_the_weights(source: ImageSource, whole: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    _run(source, tmp_path / "r", asked=Asked(preview=True, trackers=("tensorboard",)))
    assert _same(_state(tmp_path / "r")["model"], _state(whole)["model"])
    assert {"preview.png", "report.html", "tensorboard"} <= {path.name for path in (tmp_path / "r").iterdir()}


def test_a_torn_last_checkpoint_falls_back_to_the_one_before(source: ImageSource, whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "r"
    _run(source, folder, "engine.checkpoint_minutes=0", "engine.keep=3")
    states = saved_states(folder / "checkpoints")
    assert [path.name for path in states] == [f"step-0000000{i}.pt" for i in (4, 5, 6)], "the last three are kept"
    states[-1].write_bytes(states[-1].read_bytes()[:1000])
    (folder / "run.json").unlink()  # as if it had been killed before its end
    outcome = _run(source, folder, resume=True)
    assert outcome.steps == 6
    assert _same(_state(folder)["model"], _state(whole)["model"])


def test_resuming_something_else_is_refused(source: ImageSource, whole: Path, tmp_path: Path) -> None:
    for setting in ("optimizer.lr=2.0", "engine.seed=5", "engine.batch_size=2"):
        with pytest.raises(ResumeError, match="other recipe"):
            _run(source, whole, setting, resume=True)
    with pytest.raises(ResumeError, match="other photographs"):
        pretrain(tiny(), write_photographs(tmp_path / "p", IMAGES + 1), RandomBoxes(), whole, resume=True)
    with pytest.raises(ResumeError, match="no checkpoint"):
        _run(source, tmp_path / "nothing", resume=True)


def test_a_loss_that_is_not_finite_stops_and_names_the_last_good_checkpoint(
    source: ImageSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, count = module.update_target, itertools.count(1)

    def poison(target: Any, online: Any, momentum: float) -> None:
        real(target, online, momentum)
        if next(count) == 4:
            online.projector[0].weight.data[0, 0] = float("nan")

    monkeypatch.setattr(module, "update_target", poison)
    with pytest.raises(TrainingDivergedError, match=r"step 4.*\n.*step-00000003\.pt"):
        _run(source, tmp_path / "r", "engine.checkpoint_minutes=0", asked=Asked())
    assert "Stopped after 4 of 6 steps" in (tmp_path / "r" / "report.html").read_text()
    good = _state(tmp_path / "r")["model"]
    assert all(torch.isfinite(v).all() for v in good.values())
    assert not (tmp_path / "r" / "export").exists()


def test_a_collapse_is_noticed(source: ImageSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = module.update_target

    def collapse(target: Any, online: Any, momentum: float) -> None:
        real(target, online, momentum)
        target.projector[-1].weight.data.zero_()
        target.projector[-1].bias.data.fill_(1.0)

    settings = ("engine.collapse_spread=0.02", "engine.collapse_after=3")
    monkeypatch.setattr(module, "update_target", collapse)
    with pytest.raises(TrainingDivergedError, match="step 3 every box has the same feature"):
        _run(source, tmp_path / "r", *settings)
    monkeypatch.setattr(module, "update_target", real)
    _run(source, tmp_path / "fine", *settings)


def test_separate_training_starts_from_a_checkpoint_and_keeps_it(
    source: ImageSource, whole: Path, tmp_path: Path
) -> None:
    with pytest.raises(RecipeError, match="--init"):
        _run(source, tmp_path / "r", "method.name=adept_separate")
    _run(source, tmp_path / "r", "method.name=adept_separate", init=whole / "export")
    before = read_tensors(whole / "export", read_config(whole / "export"))
    config = read_config(tmp_path / "r" / "export")
    after = read_tensors(tmp_path / "r" / "export", config)
    assert config.provenance.method == "adept_separate"
    for key, value in after.items():
        assert torch.equal(value, before[key]) == (not key.startswith("rpn.")), key


def test_joint_training_can_start_from_weights(source: ImageSource, whole: Path, tmp_path: Path) -> None:
    _run(source, tmp_path / "r", "optimizer.lr=0.0", "optimizer.rpn_lr=0.0", "schedule.epochs=1", init=whole / "export")
    before = read_tensors(whole / "export", read_config(whole / "export"))
    after = read_tensors(tmp_path / "r" / "export", read_config(tmp_path / "r" / "export"))
    assert torch.equal(after["head.5.weight"], before["head.5.weight"])
    assert torch.equal(after["rpn.bbox_pred.weight"], before["rpn.bbox_pred.weight"])


def test_a_time_limit_completes_the_schedule(source: ImageSource, tmp_path: Path) -> None:
    """By the clock of the machine; `test_time_limit.py` has the rates by a clock of its own."""
    outcome = _run(source, tmp_path / "r", "engine.max_minutes=0.05", "schedule.epochs=10000")
    assert 0 < outcome.steps < 30_000
    assert not outcome.interrupted
    config = read_config(tmp_path / "r" / "export")
    assert config.provenance.epochs == pytest.approx(outcome.steps / 3, abs=1e-3), "epochs as seen, not as planned"


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [(("engine.batch_size=100",), RecipeError, "--recipe own_photos_cpu --set engine.batch_size=3$")],
)
def test_too_few_photographs(
    source: ImageSource, tmp_path: Path, settings: tuple[str, ...], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        _run(source, tmp_path / "r", *settings)


def test_recipe_written_beside_the_run_is_the_run(whole: Path) -> None:
    from adept_training.pretraining.recipe import load_recipe

    recipe = load_recipe(whole / "recipe.yaml")
    assert isinstance(recipe, Recipe)
    assert recipe == tiny()


@pytest.mark.parametrize("workers", [0, 1])
def test_half_precision_leaves_boxes_and_losses_exact(
    workers: int, source: ImageSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fabric's plugin rounds every floating-point input to bfloat16; a box at 60.3 px would become 60.25."""
    from adept_training.method import adept

    seen: list[torch.Tensor] = []
    real = adept.pair_loss

    def spy(prediction: torch.Tensor, target: torch.Tensor, match: torch.Tensor) -> torch.Tensor:
        loss = real(prediction, target, match)
        seen.append(loss)
        return loss

    pooled: list[torch.Tensor] = []
    levels = adept.assign_levels
    monkeypatch.setattr(adept, "pair_loss", spy)
    monkeypatch.setattr(adept, "assign_levels", lambda boxes, spec: pooled.append(boxes) or levels(boxes, spec))
    _run(source, tmp_path / "r", "engine.precision=bf16", "schedule.epochs=1", f"data.workers={workers}")
    assert {loss.dtype for loss in seen} == {torch.float32}
    assert {boxes.dtype for boxes in pooled} == {torch.float32}
    assert any((boxes != boxes.bfloat16().float()).any() for boxes in pooled)


def test_an_error_leaves_no_worker_behind(source: ImageSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import multiprocessing

    def fail(*_: Any) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(module, "update_target", fail)
    with pytest.raises(RuntimeError, match="broken"):
        _run(source, tmp_path / "r", "data.workers=1")
    assert not multiprocessing.active_children()
