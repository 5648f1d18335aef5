"""Common style of the pages' plots: distinguishable colors, and SVG that is the same every time."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Literal

import matplotlib as mpl
import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import LogLocator

from adept_hub.words.text import one_line

#: Okabe and Ito's palette, which is safe for color blindness.
COLORS = ("#555555", "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#b3a400")


#: Of lines in one plot: they differ without color, too.
_DASHES = ("-", "--", "-.", ":")
_INK, _GRID = "#1f2328", "#d9dce1"


def lines_plot(
    lines: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    *,
    smooth: int = 0,
    marks: Mapping[str, float] | None = None,
    zero: bool = False,
    log: bool = False,
) -> str:
    """Plot named lines, each with its x and y, in a small figure.

    Args:
        smooth: half-width of a moving average, drawn over the faint points.
        marks: y of dotted horizontal lines, by the words on them.
        zero: start the y axis at 0.
        log: scale the y axis by powers of ten.
    """
    # Fixed margins: a layout solver would take most of the time of a page with many plots.
    with canvas(4, 2.5, layout=None) as (figure, axes):
        figure.subplots_adjust(left=0.13, right=0.97, bottom=0.17, top=0.9 if len(lines) > 1 else 0.95)
        for i, (name, (x, y)) in enumerate(lines.items()):
            color = COLORS[(i + 1) % len(COLORS)]
            if smooth:
                axes.plot(x, y, color=color, linewidth=0.7, alpha=0.3)
            marker = "." if len(x) < 30 else None
            dashes = _DASHES[i % len(_DASHES)]
            axes.plot(x, smoothed(y, smooth), dashes, label=named(name), color=color, linewidth=1.6, marker=marker)
        for words, level in (marks or {}).items():
            axes.axhline(level, color=COLORS[0], linewidth=1, linestyle=":")
            axes.annotate(words, (1, level), (0, 2), ("axes fraction", "data"), textcoords="offset points", ha="right",
                          fontsize=8, color=COLORS[0])  # fmt: skip
        if zero:
            axes.set_ylim(bottom=0)
        if log and all(value > 0 for _, y in lines.values() for value in y):
            axes.set_yscale("log")
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.yaxis.set_major_formatter("{x:g}")
            axes.minorticks_off()
        axes.set_xlabel("step", fontsize=8, labelpad=1)
        axes.tick_params(labelsize=8)
        if len(lines) > 1:  # above the axes, where it covers no curve
            axes.legend(frameon=False, fontsize=8, loc="lower left", bbox_to_anchor=(-0.02, 0.97), ncols=4,
                        borderaxespad=0, columnspacing=1.2, handlelength=2.2)  # fmt: skip
        return svg(figure)


def named(name: str) -> str:
    """Return a name (of a run, a source, a class) as matplotlib draws it, bytes that are not UTF-8 escaped.

    A legend leaves out what begins with an underscore: a hair space stands before it.
    """
    shown = one_line(name)
    return f"\u200a{shown}" if shown.startswith("_") else shown


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


@contextmanager
def canvas(
    width: float, height: float, layout: Literal["constrained"] | None = "constrained"
) -> Iterator[tuple[Figure, Axes]]:
    """Create an empty figure of this size in inches, with light grid lines behind the curves.

    Within the context matplotlib has its own defaults: a ``matplotlibrc`` or a library that sets a style for the whole
    process, as seaborn does, would bring colors and fonts that the pages cannot change.
    """
    with mpl.style.context("default"):
        figure = Figure(figsize=(width, height), layout=layout)
        axes = figure.subplots()
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", color=_GRID, linewidth=0.8)
        axes.set_axisbelow(True)
        yield figure, axes


def svg(figure: Figure) -> str:
    """Return the figure as an SVG element, within its :func:`canvas`; dollar signs in names are not formulas.

    Its colors are CSS variables, which a page may set for dark mode; alone it is light.
    """
    buffer = io.StringIO()
    for label in figure.findobj(Text):
        label.set_parse_math(False)
    # Without a fixed salt and date, the same figure would give another file each time.
    with mpl.rc_context({"svg.hashsalt": "adept", "svg.fonttype": "none", "font.family": "sans-serif"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None}, transparent=True)
    text = buffer.getvalue()
    text = text[text.index("<svg") :].replace("<svg", f'<svg style="background: {_css("paper", "#ffffff")}"', 1)
    return _VARIABLE.sub(_variable, text)


_NAMES = {"#000000": "ink", _INK: "ink", _GRID: "line", **{color: f"series-{i}" for i, color in enumerate(COLORS)}}
_VARIABLE = re.compile(r"(?<=(?:fill|roke): )(?:" + "|".join(_NAMES) + r")\b")


def _variable(color: re.Match[str]) -> str:
    return _css(_NAMES[color[0]], color[0])


def _css(name: str, color: str) -> str:
    return f"var(--{name}, {color})"
