"""Plot a comparison as SVG: means of every source over the label budgets, or pairs of runs."""

from __future__ import annotations

import math
import textwrap

from adept_training.comparing.tables import Comparison
from adept_training.pages.plotting import COLORS, canvas, named, svg


def budget_plot(comparison: Comparison) -> str:
    """Plot means and 95% intervals of every source over the budgets."""
    with canvas(8, 4.2) as (figure, axes):
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
                places, [mean.mean for _, mean in measured], halves, label=named(source), color=color,
                marker="o", markersize=4.5, linewidth=1.4, capsize=3,
            )  # fmt: skip
            few = [
                (x, v)
                for x, (_, mean) in zip(places, measured, strict=True)
                if math.isnan(mean.half)
                for v in mean.values
            ]
            axes.plot([x for x, _ in few], [v for _, v in few], ".", color=color)
        axes.set_xticks(range(len(comparison.budgets)), comparison.head()[1:])
        axes.set_xlim(-0.5, len(comparison.budgets) - 0.5)
        axes.set_xlabel("labels")
        judged = not all(math.isnan(mean.half) for mean in comparison.means.values())
        axes.set_ylabel(f"{comparison.metric}, mean and {'95% interval' if judged else 'the value of each seed'}")
        axes.legend(frameon=False)
        return svg(figure)


def pairs_plot(comparison: Comparison) -> str:
    """Plot every run of the first budget: a line per seed from source to source, and the mean of each source.

    Intervals of the means would overlap although every pair differs.
    """
    (budget, *_) = comparison.budgets
    sources = [source for source in comparison.sources if (source, budget) in comparison.values]
    rows = [comparison.values[source, budget] for source in sources]
    with canvas(max(3.2, 1.3 * len(sources) + 1), 3) as (figure, axes):
        for seed in sorted({seed for row in rows for seed in row}):
            values = [row.get(seed, math.nan) for row in rows]
            axes.plot(range(len(rows)), values, color=COLORS[0], linewidth=1, alpha=0.55, marker=".", markersize=5)
        means = [comparison.means[source, budget].mean for source in sources]
        axes.scatter(range(len(rows)), means, color=COLORS[1], marker="_", s=420, linewidths=2.5, zorder=3)
        for place, mean in enumerate(means):
            side, align = (-14, "right") if place == 0 else (14, "left")  # lines start and end elsewhere
            axes.annotate(f"{mean:.1f}", (place, mean), (side, 0), textcoords="offset points", va="center", ha=align)
        axes.set_xticks(range(len(rows)), [textwrap.fill(named(source), 14) for source in sources])
        axes.set_xlim(-0.5, len(rows) - 0.5)
        axes.set_ylabel(f"{comparison.metric}: a line per seed, means")
        return svg(figure)
