"""The page of a comparison: every metric with its paired difference, and pairs as lines."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from adept_hub.spec import DetectorSpec
from adept_training.comparing.page import write_page
from adept_training.comparing.plots import pairs_plot
from adept_training.comparing.result import digest
from adept_training.comparing.runs import ComparisonPlan, RunResult
from adept_training.comparing.tables import all_metrics, tabulate
from adept_training.finetuning.recipe import load_finetune_recipe
from adept_training.labels.records import Data
from tests.training.made import crowded
from tests.training.pages.browser import look

#: By seed. Differences of AP are 4, 5 and 6: ± 4.303 / sqrt(3); of AP50 -0.02, 0, -0.04; of AP75 20, -20 and 3; of
#: Loc -1, -1 and -3.
VALUES = {
    "scratch": {
        "AP": [10.0, 12.0, 11.0], "AP50": [5.0, 6.0, 7.0], "AP75": [3.0, 30.0, 1.0], "TIDE_Loc": [5.0, 6.0, 7.0],
    },
    "a_rather_long_name_of_a_source": {
        "AP": [14.0, 17.0, 17.0], "AP50": [4.98, 6.0, 6.96], "AP75": [23.0, 10.0, 4.0], "TIDE_Loc": [4.0, 5.0, 4.0],
    },
}  # fmt: skip
SOURCES = list(VALUES)


def cells(*budgets: str, seeds: int = 3) -> list[RunResult]:
    return [
        RunResult(source, budget, seed, "recipe", 1, 25, 1.0, {name: row[seed] for name, row in metrics.items()})
        for budget in budgets
        for source, metrics in VALUES.items()
        for seed in range(seeds)
    ]


def page_of(tmp_path: Path, *budgets: str) -> Path:
    split = crowded(4)
    recipes = {"recipe": load_finetune_recipe()}
    plan = ComparisonPlan(dict.fromkeys(SOURCES, "x"), budgets, 3, recipes, DetectorSpec())
    write_page(digest(cells(*budgets), plan, "AP"), plan, Data("made up", split, split, None), tmp_path / "p.html", "x")
    return tmp_path / "p.html"


def test_differences_of_all_metrics() -> None:
    found = [
        tabulate(cells("10%"), SOURCES, ["10%"], metric, "recipe") for metric in ("AP", "AP50", "AP75", "TIDE_Loc")
    ]
    head, rows = all_metrics(found, "10%")
    assert head == ["metric", *SOURCES]
    assert rows == [
        ("AP", "", ["11.0", "16.0 (+5.0 ± 2.5, better)"]),
        ("AP50", "", ["6.0", "6.0 (+0.0 ± 0.0)"]),
        ("AP75", "", ["11.3", "12.3 (+1.0 ± 49.9)"]),
        ("TIDE Loc", "points of AP50 lost (lower is better)", ["6.0", "4.3 (-1.7 ± 2.9)"]),
    ]
    assert all_metrics(found, "50%")[1][0] == ("AP", "", ["-", "-"])
    two = tabulate(cells("10%", seeds=2), SOURCES, ["10%"], "AP", "recipe")
    assert all_metrics([two], "10%")[1] == [("AP", "", ["11.0", "15.5 (+4.5)"])]


def test_a_line_connects_the_runs_of_a_seed() -> None:
    """The second seed of the second source is missing: its line stops."""
    some = [cell for cell in cells("10%") if (cell.source, cell.seed) != (SOURCES[1], 1)]
    svg = pairs_plot(tabulate(some, SOURCES, ["10%"], "AP", "recipe"))
    whole = pairs_plot(tabulate(cells("10%"), SOURCES, ["10%"], "AP", "recipe"))
    lines = [
        len(re.findall(r'<path d="M [\d.]+ [\d.]+ \nL [\d.]+ [\d.]+ \n"[^>]*opacity: 0.55', one))
        for one in (svg, whole)
    ]
    assert lines == [2, 3]
    assert ">11.0<" in whole
    assert ">16.0<" in whole


@pytest.mark.parametrize("budgets", [["10%"], ["10%", "50%"]])
def test_the_page(tmp_path: Path, budgets: list[str]) -> None:
    path = page_of(tmp_path, *budgets)
    text = path.read_text()
    assert ("a line per seed" in text) == (len(budgets) == 1)
    assert ("11.0 ± 2.5" in text) == (len(budgets) == 2), "means over the budgets have their own table"
    for budget in budgets:
        assert f"All metrics with {budget}" in text
    assert text.count("16.0 (+5.0 ± 2.5, better)") == len(budgets)
    for seen in look([path], [1280, 390], tmp_path):
        assert seen == {"wide": [], "cut": [], "covered": []}
