"""Plot an evaluation as SVG: precision over recall, and the cost of errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from adept_training.pages.plotting import COLORS, canvas, named, svg


def curves_plot(curves_KR: npt.NDArray[np.float64], classes: Sequence[str], ap: Mapping[str, float]) -> str:
    """Plot precision over recall at IoU 0.5: the mean in bold, and the eight classes with the lowest AP50."""
    with canvas(5.6, 4.2) as (figure, axes):
        recall = np.linspace(0, 1, curves_KR.shape[1])
        occurring = [k for k in range(len(classes)) if not np.isnan(curves_KR[k]).any()]
        for i, k in enumerate(sorted(occurring, key=lambda k: ap[classes[k]])[:8]):
            label = f"{named(classes[k])} {ap[classes[k]]:.0f}"
            axes.plot(recall, curves_KR[k], color=COLORS[(i + 1) % len(COLORS)], linewidth=1, label=label)
        if occurring:
            axes.plot(recall, curves_KR[occurring].mean(axis=0), color="black", linewidth=2.2, label="mean")
        axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="recall", ylabel="precision")
        axes.legend(frameon=False, fontsize=8, title="class and its AP50", title_fontsize=8)
        return svg(figure)


def bars_plot(groups: Sequence[Mapping[str, float]], label: str) -> str:
    """Plot a bar per value, with a color per group."""
    with canvas(6.4, 3.2) as (figure, axes):
        for i, values in enumerate(groups, start=1):
            bars = axes.bar(
                [named(name) for name in values], list(values.values()), color=COLORS[i % len(COLORS)], width=0.62
            )
            axes.bar_label(bars, fmt="%.1f", fontsize=8)
        axes.tick_params(axis="x", labelsize=9)
        axes.set_ylabel(label)
        return svg(figure)
