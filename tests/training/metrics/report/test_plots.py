"""Names of classes, sources and runs in drawings: no formulas, not left out of legends, and always text."""

from __future__ import annotations

import html
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from adept_training.comparing.plots import budget_plot, pairs_plot
from adept_training.comparing.runs import RunResult
from adept_training.comparing.tables import tabulate
from adept_training.metrics.evaluate import evaluate_detections
from adept_training.metrics.report.page import write_report
from adept_training.metrics.report.plots import bars_plot, curves_plot
from adept_training.pages.plotting import canvas, lines_plot, svg
from tests.training.made import crowded, imperfect

NAMES = [r"$\frac{$", "a$b_{c$", "$5 to $10", "x_1^2 & <b>"]


@pytest.mark.parametrize("name", NAMES)
def test_every_place_of_a_name(name: str) -> None:
    drawn = [curves_plot(np.ones((1, 101)), [name], {name: 50.0}), bars_plot([{name: 1.0}], name)]
    with canvas(3, 2) as (figure, axes):
        axes.plot([0, 1], [0, 1], label=name)
        axes.set_title(name)
        axes.set_xticks([0, 1], [name, "other"])
        axes.legend()
        drawn.append(svg(figure))
    for text in drawn:
        assert name in html.unescape(text), "as it is written"


@pytest.mark.parametrize("name", ["_mine", "caf\udce9", "_caf\udce9"])
def test_names_that_a_legend_or_a_file_cannot_have(name: str) -> None:
    cells = [RunResult(name, "5img", seed, "recipe", 1, 2, 1.0, {"AP": 3.0}) for seed in range(2)]
    comparison = tabulate(cells, [name], ["5img"], "AP", "recipe")
    drawn = {
        "lines": lines_plot({name: ([0, 1], [0, 1]), "other": ([0, 1], [1, 0])}),
        "curves": curves_plot(np.ones((1, 101)), [name], {name: 50.0}),
        "bars": bars_plot([{name: 1.0}], "AP"),
        "budgets": budget_plot(comparison),
        "pairs": pairs_plot(comparison),
    }
    for plot, text in drawn.items():
        assert name.replace("\udce9", r"\udce9") in text, plot
        assert text.encode()


@pytest.mark.parametrize("name", NAMES)
def test_a_report_of_such_classes(name: str, tmp_path: Path) -> None:
    truth = replace(crowded(8), classes=(name, "b", "c"))
    write_report(evaluate_detections(truth, imperfect(truth)), tmp_path / "report.html", name)
    assert name in html.unescape((tmp_path / "report.html").read_text(encoding="utf-8"))
