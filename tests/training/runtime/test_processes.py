"""How many processes there are, what each of them does, and on what device: by the launcher's variables."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from adept_hub.errors import RecipeError
from adept_training.runtime import first_process, launch
from adept_training.runtime.first_process import launched, own_run
from adept_training.runtime.launch import make_fabric, processes

VARIABLES = ("WORLD_SIZE", "RANK", "LOCAL_WORLD_SIZE", "SLURM_NTASKS", "SLURM_PROCID", "SLURM_NTASKS_PER_NODE")
#: Variables; processes in all, on this node, nodes, and this process's rank.
LAUNCHERS = [
    ({}, 1, 1, 1, 0),
    ({"WORLD_SIZE": "1", "RANK": "0", "LOCAL_WORLD_SIZE": "1"}, 1, 1, 1, 0),
    ({"WORLD_SIZE": "2", "RANK": "1", "LOCAL_WORLD_SIZE": "2"}, 2, 2, 1, 1),
    ({"WORLD_SIZE": "8", "RANK": "5", "LOCAL_WORLD_SIZE": "4"}, 8, 4, 2, 5),
    ({"WORLD_SIZE": "3", "RANK": "2"}, 3, 3, 1, 2),
    ({"SLURM_NTASKS": "6", "SLURM_PROCID": "4", "SLURM_NTASKS_PER_NODE": "2"}, 6, 2, 3, 4),
    # torchrun inside a SLURM job of one task per node: torchrun's are the processes.
    ({"WORLD_SIZE": "4", "RANK": "3", "LOCAL_WORLD_SIZE": "2", "SLURM_NTASKS": "2", "SLURM_PROCID": "1"}, 4, 2, 2, 3),
]


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


class Made:
    """In place of Fabric."""

    def __init__(self, **options: Any) -> None:
        self.options, self.launched = options, 0

    def launch(self) -> None:
        self.launched += 1


@pytest.mark.parametrize(("variables", "world", "local", "nodes", "rank"), LAUNCHERS)
@pytest.mark.parametrize("cuda", [False, True])
def test_fabric_gets_the_launcher_s_processes(
    cuda: bool, variables: dict[str, str], world: int, local: int, nodes: int, rank: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(launch, "Fabric", Made)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    assert processes() == world
    assert launched() == (rank, world)
    fabric: Any = make_fabric("bf16")
    assert fabric.launched == 1
    assert fabric.options == {
        "accelerator": "cuda" if cuda else "cpu", "devices": local, "num_nodes": nodes,
        "strategy": "ddp" if world > 1 else "auto", "precision": "bf16-mixed",
    }  # fmt: skip
    monkeypatch.setattr(launch, "find_device", lambda name: name)
    for accelerator in ("cpu", "cuda"):
        alone: Any = make_fabric("fp32", accelerator)
        assert alone.launched == 1
        assert alone.options == {"accelerator": accelerator, "devices": 1, "precision": "32-true"}


@pytest.mark.parametrize(
    ("precision", "name"),
    [("fp64", "64-true"), ("fp32", "32-true"), ("bf16", "bf16-mixed"), ("fp16", "16-mixed")],
)
def test_precisions_in_fabric_s_words(precision: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "Fabric", Made)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    fabric: Any = make_fabric(precision)
    assert fabric.options["precision"] == name
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    if precision == "fp16":
        with pytest.raises(RecipeError, match="needs a GPU"):
            make_fabric(precision)


@pytest.mark.parametrize("wait", [False, True])
@pytest.mark.parametrize("rank", [0, 1])
def test_the_first_process_owns_the_folder_and_clears_it(
    rank: int, wait: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[Any] = []

    @contextlib.contextmanager
    def own_folder(folder: Path, *, wait: bool) -> Iterator[None]:
        held.append((folder, wait))
        yield

    monkeypatch.setattr(first_process, "own_folder", own_folder)
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", str(rank))
    left = [tmp_path / name for name in (".best.x1", ".last.x2", ".export.x3")]
    for folder in (*left, tmp_path / "best", tmp_path / ".git"):
        folder.mkdir()
    with own_run(tmp_path, wait=wait):
        assert [folder.exists() for folder in left] == [rank > 0] * 3
        assert (tmp_path / "best").exists()
        assert (tmp_path / ".git").exists()
        assert held == ([(tmp_path, wait)] if rank == 0 else [])
