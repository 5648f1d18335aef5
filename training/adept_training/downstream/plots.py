"""Drawings for the pages, as SVG: gains over label budgets, precision over recall, the cost of errors."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from adept_training.downstream.tables import Comparison

#: Okabe and Ito's palette, which the colour-blind can tell apart.
_COLOURS = ("#555555", "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#b3a400")


def budget_plot(comparison: Comparison) -> str:
    """Means and 95% intervals of every source over the budgets."""
    figure, axes = _canvas(8, 4.2)
    count = len(comparison.sources)
    for i, source in enumerate(comparison.sources):
        known = [(b, comparison.means[source, budget]) for b, budget in enumerate(comparison.budgets)
                 if (source, budget) in comparison.means]  # fmt: skip
        if not known:
            continue
        # Side by side within a budget, so that intervals can be told apart.
        places = [b + (i - (count - 1) / 2) * 0.08 for b, _ in known]
        halves = [0.0 if math.isnan(mean.half) else mean.half for _, mean in known]
        axes.errorbar(
            places, [mean.mean for _, mean in known], halves, label=source, color=_COLOURS[i % len(_COLOURS)],
            marker="o", markersize=4.5, linewidth=1.4, capsize=3,
        )  # fmt: skip
    axes.set_xticks(range(len(comparison.budgets)), comparison.budgets)
    axes.set_xlabel("labels")
    axes.set_ylabel(comparison.metric)
    axes.legend(frameon=False)
    return _svg(figure)


def curves_plot(curves_KR: npt.NDArray[np.float64], classes: Sequence[str], ap: Mapping[str, float]) -> str:
    """Precision over recall at IoU 0.5: the mean in bold, and the eight classes that occur with the lowest AP50."""
    figure, axes = _canvas(5.6, 4.2)
    recall = np.linspace(0, 1, curves_KR.shape[1])
    known = [k for k in range(len(classes)) if not np.isnan(curves_KR[k]).any()]
    for i, k in enumerate(sorted(known, key=lambda k: ap[classes[k]])[:8]):
        label = f"{classes[k]} {ap[classes[k]]:.0f}"
        axes.plot(recall, curves_KR[k], color=_COLOURS[(i + 1) % len(_COLOURS)], linewidth=1, label=label)
    if known:
        axes.plot(recall, curves_KR[known].mean(axis=0), color="black", linewidth=2.2, label="mean")
    axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="recall", ylabel="precision")
    axes.legend(frameon=False, fontsize=8)
    return _svg(figure)


def bars_plot(values: Mapping[str, float], label: str) -> str:
    """One bar each."""
    figure, axes = _canvas(5.6, 3.2)
    axes.bar(list(values), list(values.values()), color=_COLOURS[1], width=0.62)
    axes.set_ylabel(label)
    return _svg(figure)


def _canvas(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#e4e4e0", linewidth=0.8)
    axes.set_axisbelow(True)
    return figure, axes


def _svg(figure: Figure) -> str:
    buffer = io.StringIO()
    # Without a fixed salt and date, the same figures would give another file each time.
    with mpl.rc_context({"svg.hashsalt": "adept", "svg.fonttype": "none", "font.family": "sans-serif"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]
