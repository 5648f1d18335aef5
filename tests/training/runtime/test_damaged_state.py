"""A checkpoint vouches for itself: a damaged one is passed over with the reason, and the one before it is taken."""

from __future__ import annotations

import copy
import math
import os
import random
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from adept_hub.errors import DiskFullError, ResumeError
from adept_hub.io.digest import sha256_file
from adept_training.pretraining.optim import LARS
from adept_training.runtime.state import TrainingProgress, load_state, save_state, saved_states

IDENTITY = {"recipe": "a", "photographs": "b"}


def make() -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(3)
    model = nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5), nn.Linear(5, 2))
    groups = [{"params": list(model[0].parameters())}, {"params": [*model[1].parameters(), *model[2].parameters()]}]
    return model, LARS(groups, 0.3, 0.7, 1e-3)


def train(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad()
    model(torch.randn(7, 3)).square().sum().backward()
    optimizer.step()


@pytest.fixture
def states(tmp_path: Path) -> Path:
    """Three checkpoints, of steps 10, 20 and 30."""
    model, optimizer = make()
    for step in (10, 20, 30):
        train(model, optimizer)
        save_state(tmp_path / "states", model, optimizer, TrainingProgress(step, step / 4), IDENTITY, keep=3)
    return tmp_path / "states"


def resume(states: Path) -> tuple[TrainingProgress, nn.Module]:
    model, optimizer = make()
    return load_state(states, model, optimizer, IDENTITY), model


def rewrite(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change the content of a checkpoint and let its digest agree, as a program with a fault might."""
    content = torch.load(path, weights_only=True)
    changed = change(content)
    torch.save(content if changed is None else changed, path)
    path.with_name(f"{path.name}.sha256").write_text(f"{sha256_file(path)}  {path.name}\n")


def test_the_newest_is_taken_and_nothing_is_reported(states: Path) -> None:
    progress, model = resume(states)
    assert progress == TrainingProgress(30, 7.5)
    saved = torch.load(saved_states(states)[-1], weights_only=True)["model"]
    assert all(torch.equal(value, saved[key]) for key, value in model.state_dict().items())


@pytest.mark.parametrize("seed", range(8))
def test_flipped_bits_anywhere_are_noticed(states: Path, seed: int) -> None:
    newest, rng = saved_states(states)[-1], random.Random(seed)
    content = bytearray(newest.read_bytes())
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    newest.write_bytes(content)
    progress, _ = resume(states)
    assert progress.step == 20
    assert len(progress.passed_over) == 1
    assert "SHA-256" in progress.passed_over[0]


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])


def as_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize(
    "damage",
    [
        truncate,
        as_pipe,
        lambda path: path.write_bytes(b""),
        lambda path: (path.unlink(), path.mkdir()),
        lambda path: path.with_name(f"{path.name}.sha256").unlink(),
        lambda path: path.with_name(f"{path.name}.sha256").write_bytes(b"\xff" * 90),
        lambda path: path.with_name(f"{path.name}.sha256").write_text("0" * 10_000),
        lambda path: path.with_name(f"{path.name}.sha256").write_text(f"{'0' * 64}  step-00000020.pt\n"),
    ],
    ids=["truncated", "pipe", "empty", "folder", "no digest", "noise", "long digest", "another's digest"],
)
def test_files_that_are_damaged_are_passed_over(states: Path, damage: Callable[[Path], object]) -> None:
    damage(saved_states(states)[-1])
    progress, _ = resume(states)
    assert progress.step == 20
    assert "step-00000030.pt is passed over" in progress.passed_over[0]


def change(*path: Any, to: Any) -> Callable[[dict[str, Any]], None]:
    def apply(content: dict[str, Any]) -> None:
        place: Any = content
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = to

    return apply


def drop(*path: Any) -> Callable[[dict[str, Any]], None]:
    def apply(content: dict[str, Any]) -> None:
        place: Any = content
        for key in path[:-1]:
            place = place[key]
        del place[path[-1]]

    return apply


@pytest.mark.parametrize(
    "edit",
    [
        lambda _: [1, 2],
        lambda _: {},
        *(drop(name) for name in ("model", "optimizer", "step", "seconds", "scaler", "identity")),
        *(change(name, to=None) for name in ("model", "optimizer", "step", "seconds", "scaler", "identity")),
        *(change("step", to=value) for value in (-30, 30.0, 2.5, True, "30", 31)),
        *(change("seconds", to=value) for value in (math.nan, math.inf, -1.0, "7")),
        change("identity", "recipe", to=1),
        drop("model", "0.weight"),
        change("model", "more", to=torch.zeros(1)),
        change("model", "0.weight", to=torch.zeros(5, 4)),
        change("model", "0.weight", to=torch.zeros(5, 3, dtype=torch.float64)),
        change("model", "0.weight", to=[0.0]),
        change("model", "0.weight", to=torch.full((5, 3), math.nan)),
        change("model", "1.running_var", to=torch.tensor([1.0, 2.0, -math.inf, 4.0, 5.0])),
        drop("optimizer", "state"),
        drop("optimizer", "param_groups"),
        drop("optimizer", "param_groups", 0, "lr"),
        change("optimizer", "param_groups", to=[]),
        change("optimizer", "param_groups", 1, to=3),
        change("optimizer", "param_groups", 0, "params", to=[0]),
        change("optimizer", "param_groups", 0, "lr", to=math.nan),
        change("optimizer", "param_groups", 0, "lr", to="fast"),
        change("optimizer", "state", 0, "momentum_buffer", to=torch.zeros(2, 2)),
        change("optimizer", "state", 0, "momentum_buffer", to=torch.full((5, 3), math.inf)),
        change("optimizer", "state", 99, to={}),
        change("optimizer", "state", 0, to=None),
    ],
)
def test_content_of_another_shape_is_passed_over(states: Path, edit: Callable[[dict[str, Any]], Any]) -> None:
    rewrite(saved_states(states)[-1], edit)
    progress, model = resume(states)
    assert progress.step == 20
    assert progress.passed_over
    saved = torch.load(states / "step-00000020.pt", weights_only=True)["model"]
    assert all(torch.equal(value, saved[key]) for key, value in model.state_dict().items())


def test_a_state_that_does_not_fit_leaves_those_that_are_there(states: Path) -> None:
    """The kernel refuses to let a file grow beyond 4 kB, as a quota does."""
    before = {path.name: path.read_bytes() for path in states.iterdir()}
    model, optimizer = make()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(DiskFullError, match=r"No space left while writing .*step-00000040\.pt"):
            save_state(states, model, optimizer, TrainingProgress(40), IDENTITY, keep=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert {path.name: path.read_bytes() for path in states.iterdir()} == before


def test_none_that_is_whole_is_an_error_with_the_reason(states: Path) -> None:
    for path in saved_states(states):
        truncate(path)
    with pytest.raises(ResumeError, match=r"None of the 3 checkpoints(.|\n)*SHA-256(.|\n)*without --resume"):
        resume(states)


def test_another_recipe_is_an_error_and_no_damage(states: Path) -> None:
    rewrite(saved_states(states)[-1], change("identity", "recipe", to="other"))
    with pytest.raises(ResumeError, match="other recipe"):
        resume(states)


def test_a_damaged_later_checkpoint_never_pushes_out_a_good_one(states: Path) -> None:
    truncate(saved_states(states)[-1])
    model, optimizer = make()
    assert load_state(states, model, optimizer, IDENTITY).step == 20
    save_state(states, model, optimizer, TrainingProgress(25), IDENTITY, keep=1)
    assert sorted(path.name for path in states.iterdir()) == ["step-00000025.pt", "step-00000025.pt.sha256"]
    assert resume(states)[0].step == 25


def test_a_loaded_optimizer_is_the_one_that_was_saved(states: Path) -> None:
    model, optimizer = make()
    load_state(states, model, optimizer, IDENTITY)
    saved = torch.load(saved_states(states)[-1], weights_only=True)["optimizer"]
    mine = copy.deepcopy(optimizer.state_dict())
    assert mine["param_groups"] == saved["param_groups"]
    assert all(
        torch.equal(v["momentum_buffer"], mine["state"][i]["momentum_buffer"]) for i, v in saved["state"].items()
    )


def test_whatever_torch_raises_is_damage(states: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise AssertionError("saved_id must be a tuple, got int")  # of a flipped bit whose digest was made to agree

    monkeypatch.setattr(torch, "load", fail)
    with pytest.raises(ResumeError, match=r"it cannot be read \(AssertionError\)"):
        load_state(states, *make(), IDENTITY)
