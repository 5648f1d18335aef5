"""Common style of the pages' plots: distinguishable colors, and SVG that is the same every time."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Literal

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

#: Okabe and Ito's palette, which is safe for color blindness.
COLORS = ("#555555", "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#b3a400")


def lines_plot(
    lines: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    title: str,
    *,
    smooth: int = 0,
    level: float | None = None,
    zero: bool = False,
) -> str:
    """Plot named lines, each with its x and y, in a small figure.

    Args:
        smooth: half-width of a moving average, drawn over the faint points.
        level: y of a dotted horizontal line.
        zero: start the y axis at 0.
    """
    # Fixed margins: a layout solver would take most of the time of a page with many plots.
    figure, axes = canvas(3.5, 2.5, layout=None)
    figure.subplots_adjust(left=0.14, right=0.95, bottom=0.1, top=0.89)
    for i, (name, (x, y)) in enumerate(lines.items()):
        color = COLORS[(i + 1) % len(COLORS)]
        if smooth:
            axes.plot(x, y, color=color, linewidth=0.7, alpha=0.3)
        marker = "." if len(x) < 30 else None
        axes.plot(x, smoothed(y, smooth), label=name, color=color, linewidth=1.4, marker=marker)
    if level is not None:
        axes.axhline(level, color=COLORS[0], linewidth=1, linestyle=":")
    if zero:
        axes.set_ylim(bottom=0)
    axes.set_title(title, fontsize=10, loc="left")
    axes.tick_params(labelsize=8)
    if len(lines) > 1:
        axes.legend(frameon=False, fontsize=8)
    return svg(figure)


def smoothed(values: Sequence[float], reach: int) -> list[float]:
    """Average each value with the ``reach`` values on either side.

    Near the start, which is steep, use as many after a value as there are before it; near the end, those that exist.
    """
    means = []
    for i in range(len(values)):
        near = min(reach, i)
        part = values[i - near : i + near + 1]
        means.append(sum(part) / len(part))
    return means


def canvas(width: float, height: float, layout: Literal["constrained"] | None = "constrained") -> tuple[Figure, Axes]:
    """Create an empty figure of this size in inches, with light grid lines behind the curves."""
    figure = Figure(figsize=(width, height), layout=layout)
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#e4e4e0", linewidth=0.8)
    axes.set_axisbelow(True)
    return figure, axes


def svg(figure: Figure) -> str:
    """Return the figure as an SVG element; dollar signs in names are not formulas."""
    buffer = io.StringIO()
    for label in figure.findobj(Text):
        label.set_parse_math(False)
    # Without a fixed salt and date, the same figure would give another file each time.
    with mpl.rc_context({"svg.hashsalt": "adept", "svg.fonttype": "none", "font.family": "sans-serif"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]
