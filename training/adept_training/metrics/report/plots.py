"""Drawings for the pages, as SVG: gains over label budgets, precision over recall, the cost of errors."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from adept_training.comparing.tables import Comparison
from adept_training.pages.plotting import COLOURS, canvas, svg


def budget_plot(comparison: Comparison) -> str:
    """Means and 95% intervals of every source over the budgets."""
    figure, axes = canvas(8, 4.2)
    count = len(comparison.sources)
    for i, source in enumerate(comparison.sources):
        known = [(b, comparison.means[source, budget]) for b, budget in enumerate(comparison.budgets)
                 if (source, budget) in comparison.means]  # fmt: skip
        if not known:
            continue
        # Side by side within a budget, so that intervals can be told apart.
        places = [b + (i - (count - 1) / 2) * 0.08 for b, _ in known]
        colour = COLOURS[i % len(COLOURS)]
        halves = [mean.half for _, mean in known]  # NaN draws no bar
        axes.errorbar(
            places, [mean.mean for _, mean in known], halves, label=source, color=colour,
            marker="o", markersize=4.5, linewidth=1.4, capsize=3,
        )  # fmt: skip
        few = [(x, v) for x, (_, mean) in zip(places, known, strict=True) if math.isnan(mean.half) for v in mean.values]
        axes.plot([x for x, _ in few], [v for _, v in few], ".", color=colour)
    axes.set_xticks(range(len(comparison.budgets)), comparison.head()[1:])
    axes.set_xlim(-0.5, len(comparison.budgets) - 0.5)
    axes.set_xlabel("labels")
    judged = not all(math.isnan(mean.half) for mean in comparison.means.values())
    axes.set_ylabel(f"{comparison.metric}, mean and {'95% interval' if judged else 'the value of each seed'}")
    axes.legend(frameon=False)
    return svg(figure)


def curves_plot(curves_KR: npt.NDArray[np.float64], classes: Sequence[str], ap: Mapping[str, float]) -> str:
    """Precision over recall at IoU 0.5: the mean in bold, and the eight classes that occur with the lowest AP50."""
    figure, axes = canvas(5.6, 4.2)
    recall = np.linspace(0, 1, curves_KR.shape[1])
    known = [k for k in range(len(classes)) if not np.isnan(curves_KR[k]).any()]
    for i, k in enumerate(sorted(known, key=lambda k: ap[classes[k]])[:8]):
        label = f"{classes[k]} {ap[classes[k]]:.0f}"
        axes.plot(recall, curves_KR[k], color=COLOURS[(i + 1) % len(COLOURS)], linewidth=1, label=label)
    if known:
        axes.plot(recall, curves_KR[known].mean(axis=0), color="black", linewidth=2.2, label="mean")
    axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="recall", ylabel="precision")
    axes.legend(frameon=False, fontsize=8, title="class and its AP50", title_fontsize=8)
    return svg(figure)


def bars_plot(groups: Sequence[Mapping[str, float]], label: str) -> str:
    """One bar each, a colour for each group."""
    figure, axes = canvas(6.4, 3.2)
    for i, values in enumerate(groups, start=1):
        bars = axes.bar(list(values), list(values.values()), color=COLOURS[i % len(COLOURS)], width=0.62)
        axes.bar_label(bars, fmt="%.1f", fontsize=8)
    axes.tick_params(axis="x", labelsize=9)
    axes.set_ylabel(label)
    return svg(figure)
