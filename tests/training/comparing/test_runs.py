"""Cells of a plan: their order, and what of a folder's runs belongs to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from adept_hub.spec import DetectorSpec
from adept_training.comparing import runs
from adept_training.comparing.runs import Cell, ComparisonPlan, RunResult, run_plan
from adept_training.finetuning.recipe import FinetuneRecipe
from adept_training.labels.datasets import open_data
from adept_training.labels.subsets import Budget


def _plan(seeds: int) -> ComparisonPlan:
    sources = {"plain": "scratch", "other": "scratch"}
    return ComparisonPlan(sources, ("2img",), seeds, {"": FinetuneRecipe()}, DetectorSpec())


def test_cells_are_complete_pairs_seed_by_seed() -> None:
    two = Budget(2, "img")
    expected = [Cell(source, two, seed, "") for seed in (0, 1) for source in ("plain", "other")]
    assert list(_plan(2).cells()) == expected


def test_a_smaller_plan_in_the_same_folder_returns_its_own_cells_only(
    voc: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[Cell] = []

    def cell_without_training(cell: Cell, *rest: Any, **options: Any) -> RunResult:
        ran.append(cell)
        return RunResult(*cell.key, 2, 7, 0.5, {"AP": 10.0 * cell.seed + 3, "AP50": None})

    monkeypatch.setattr(runs, "run_cell", cell_without_training)
    data, out = open_data(f"voc:{voc}"), tmp_path / "out"
    assert len(run_plan(_plan(3), data, out)) == len(ran) == 6
    assert {result.seed for result in run_plan(_plan(1), data, out)} == {0}
    assert len(ran) == 6
    assert sorted(path.name for path in (out / "subsets").iterdir()) == [f"2img-seed{seed}.json" for seed in range(3)]
