"""Names of classes, sources and runs in drawings: dollar signs are no formulas, whole or broken."""

from __future__ import annotations

import html
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from adept_training.metrics.evaluate import evaluate_detections
from adept_training.metrics.report.page import write_report
from adept_training.metrics.report.plots import bars_plot, curves_plot
from adept_training.pages.plotting import canvas, svg
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


@pytest.mark.parametrize("name", NAMES)
def test_a_report_of_such_classes(name: str, tmp_path: Path) -> None:
    truth = replace(crowded(8), classes=(name, "b", "c"))
    write_report(evaluate_detections(truth, imperfect(truth)), tmp_path / "report.html", name)
    assert name in html.unescape((tmp_path / "report.html").read_text(encoding="utf-8"))
