"""Cells of a plan: their order, and what of a folder's runs belongs to it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from adept_hub.spec import DetectorSpec, Preprocessing
from adept_training.comparing import runs
from adept_training.comparing.runs import Cell, ComparisonPlan, RunResult, run_plan
from adept_training.finetuning.recipe import FinetuneRecipe, load_finetune_recipe
from adept_training.labels.datasets import open_data
from adept_training.labels.subsets import Budget
from tests.house import SPEC, TUNE, House, HouseData


def _plan(seeds: int) -> ComparisonPlan:
    sources = {"plain": "scratch", "other": "scratch"}
    return ComparisonPlan(sources, ("2img",), seeds, {"": FinetuneRecipe()}, DetectorSpec())


def test_cells_are_complete_pairs_seed_by_seed() -> None:
    two = Budget(2, "img")
    expected = [Cell(source, two, seed, "") for seed in (0, 1) for source in ("plain", "other")]
    assert list(_plan(2).cells()) == expected
    several = replace(_plan(2), budgets=("1img", "50%"), variants={"one": FinetuneRecipe(), "two": FinetuneRecipe()})
    order = [
        (seed, word, variant, source)
        for seed in (0, 1)
        for word in ("1img", "50%")
        for variant in ("one", "two")
        for source in ("plain", "other")
    ]
    assert [(c.seed, str(c.budget), c.variant, c.source) for c in several.cells()] == order


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


def test_runs_of_another_recipe_of_other_labels_or_other_test_images_do_not_count(voc: Path) -> None:
    plan, data = _plan(2), open_data(f"voc:{voc}")
    assert data.val is not None
    fewer = data.train.subset([image.key for image in data.train.images[1:]])
    test = data.val.subset([image.key for image in data.val.images[1:]])
    renamed = tuple(reversed(data.classes))
    recipe = FinetuneRecipe(optimizer=replace(FinetuneRecipe().optimizer, lr=0.5))
    digests = [
        plan.digest(data),
        replace(plan, variants={"": recipe}).digest(data),
        replace(plan, variants={"other": FinetuneRecipe()}).digest(data),
        plan.digest(replace(data, train=fewer)),
        plan.digest(replace(data, val=test)),
        plan.digest(replace(data, test=test)),
        plan.digest(replace(data, train=replace(data.train, classes=renamed))),
    ]
    assert len(set(digests)) == len(digests)
    assert replace(plan, seeds=9, budgets=("1img",), sources={"a": "b"}).digest(data) == digests[0], "more cells, same"


def test_budgets_are_drawn_from_the_pool_that_is_given(
    voc: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[tuple[Any, ...]] = []

    def cell(cell: Cell, plan: ComparisonPlan, data: Any, subset: Any, *, accelerator: str, **_: Any) -> RunResult:
        given.append((cell.source, cell.seed, {image.key for image in subset.images}, accelerator))
        return RunResult(*cell.key, len(subset), 7, 0.5, {"AP": 3.0, "AP50": None})

    monkeypatch.setattr(runs, "run_cell", cell)
    data = open_data(f"voc:{voc}")
    assert data.val is not None
    run_plan(_plan(2), data, tmp_path / "out", pool=data.val, accelerator="cpu")
    validation = {image.key for image in data.val.images}
    assert [(source, seed, accelerator) for source, seed, _, accelerator in given] == [
        (source, seed, "cpu") for seed in (0, 1) for source in ("plain", "other")
    ]
    for _, _, keys, _ in given:
        assert len(keys) == 2
        assert keys <= validation
    run_plan(_plan(1), data, tmp_path / "other")
    assert given[-1][2] <= {image.key for image in data.train.images}


@pytest.mark.parametrize("detector", ["faster_rcnn", "mask_rcnn"])
def test_a_cell_hands_every_choice_on(
    detector: str, house: House, house_data: HouseData, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each seed, source, recipe and split, in the calls that a run is made of."""
    data = open_data(house_data.words(house_data.train, house_data.val, house_data.other))
    assert data.test is not None
    settings = [f"detector.detector={detector}", "engine.flip=0.25", "engine.augment=strong"]
    recipe = load_finetune_recipe(None, [*TUNE, *settings])
    pixels = Preprocessing(mean=(0.3, 0.2, 0.1))
    plan = ComparisonPlan({"a": "x", "b": house.source}, ("1img",), 9, {"one": recipe, "two": recipe}, SPEC, pixels)
    seen: dict[str, tuple[Any, ...]] = {}
    fabric = SimpleNamespace(device=SimpleNamespace(type="cpu"))
    fit = SimpleNamespace(model="trained", precise=nullcontext)

    def recorded(name: str, result: Any) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            seen[name] = (*args, *kwargs.values())
            return result

        return call

    monkeypatch.setattr(runs, "make_fabric", recorded("fabric", fabric))
    monkeypatch.setattr(runs, "build_detector", recorded("build", "model"))
    monkeypatch.setattr(runs, "prepare", recorded("prepare", fit))
    monkeypatch.setattr(runs, "train", recorded("train", None))
    report = SimpleNamespace(flat=lambda: {"AP": 12.5})
    monkeypatch.setattr(runs, "evaluate", recorded("evaluate", report))
    subset = data.train.subset([data.train.images[0].key])
    found = runs.run_cell(Cell("b", Budget(1, "img"), 7, "two"), plan, data, subset, accelerator="cpu")
    assert (found.source, found.budget, found.seed, found.variant) == ("b", "1img", 7, "two")
    assert (found.images, found.iterations, found.metrics) == (1, 4, {"AP": 12.5})
    assert found.weights == house.config.sha256[:16]
    assert found.seconds >= 0
    own, accelerator = seen["fabric"]
    assert (own.engine.seed, accelerator) == (7, "cpu")
    assert seen["build"] == (house.source, 3, recipe.detector, 7, SPEC, pixels)
    model, samples, resolved, same = seen["prepare"]
    assert (model, same) == ("model", fabric)
    assert (samples.masks, samples.flip, samples.seed, len(samples)) == (detector == "mask_rcnn", 0.25, 7, 1)
    assert samples.augment == "strong"
    assert (resolved.engine.seed, resolved.schedule.iterations) == (7, 4)
    assert seen["train"][0] is fit
    assert seen["evaluate"] == ("trained", data.test)
