"""Plot a comparison as SVG: means of every source over the label budgets."""

from __future__ import annotations

import math

from adept_training.comparing.tables import Comparison
from adept_training.pages.plotting import COLORS, canvas, svg


def budget_plot(comparison: Comparison) -> str:
    """Plot means and 95% intervals of every source over the budgets."""
    figure, axes = canvas(8, 4.2)
    count = len(comparison.sources)
    for i, source in enumerate(comparison.sources):
        measured = [(b, comparison.means[source, budget]) for b, budget in enumerate(comparison.budgets)
                 if (source, budget) in comparison.means]  # fmt: skip
        if not measured:
            continue
        # Side by side within a budget, so that the intervals do not overlap.
        places = [b + (i - (count - 1) / 2) * 0.08 for b, _ in measured]
        color = COLORS[i % len(COLORS)]
        halves = [mean.half for _, mean in measured]  # NaN draws no bar
        axes.errorbar(
            places, [mean.mean for _, mean in measured], halves, label=source, color=color,
            marker="o", markersize=4.5, linewidth=1.4, capsize=3,
        )  # fmt: skip
        few = [
            (x, v) for x, (_, mean) in zip(places, measured, strict=True) if math.isnan(mean.half) for v in mean.values
        ]
        axes.plot([x for x, _ in few], [v for _, v in few], ".", color=color)
    axes.set_xticks(range(len(comparison.budgets)), comparison.head()[1:])
    axes.set_xlim(-0.5, len(comparison.budgets) - 0.5)
    axes.set_xlabel("labels")
    judged = not all(math.isnan(mean.half) for mean in comparison.means.values())
    axes.set_ylabel(f"{comparison.metric}, mean and {'95% interval' if judged else 'the value of each seed'}")
    axes.legend(frameon=False)
    return svg(figure)
