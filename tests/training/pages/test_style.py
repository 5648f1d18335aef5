"""Pages look the same whatever style of matplotlib a process has."""

from __future__ import annotations

from collections.abc import Callable

import matplotlib as mpl
import numpy as np
import pytest

from adept_training.metrics.report.plots import bars_plot, curves_plot
from adept_training.pages.plotting import lines_plot
from adept_training.proposals.report import _histogram

#: Like ``seaborn.set(style="whitegrid")``, and what a user's matplotlibrc may hold.
STYLE = {
    "axes.edgecolor": ".8", "axes.facecolor": "#eaeaf2", "axes.labelcolor": ".15", "axes.grid": True,
    "axes.prop_cycle": mpl.cycler(color=["#4c72b0"]), "font.size": 17, "font.family": "serif", "grid.linestyle": "--",
    "legend.facecolor": "#ff0000", "lines.linewidth": 9, "svg.fonttype": "path", "text.color": "#123456",
    "xtick.color": ".15", "ytick.color": ".15",
}  # fmt: skip
PLOTS = {
    "lines": lambda: lines_plot({str(i): ([0, 1], [i, i + 1]) for i in range(4)}, marks={"alarm": 0.5}),
    "bars": lambda: bars_plot([{"a": 1.0, "b": 2.0}, {"c": 3.0}], "AP"),
    "curves": lambda: curves_plot(np.linspace(1, 0, 202).reshape(2, 101), ["cat", "dog"], {"cat": 3.0, "dog": 4.0}),
    "histogram": lambda: _histogram("boxes", np.arange(9.0), np.arange(10.0), marks=[3.0]),
}


@pytest.mark.parametrize("plot", PLOTS.values(), ids=PLOTS)
def test_a_style_of_the_process_reaches_no_page(plot: Callable[[], str]) -> None:
    expected = plot()
    with mpl.rc_context(STYLE):
        assert plot() == expected
        assert mpl.rcParams["font.size"] == 17, "drawing changed the process's style"
