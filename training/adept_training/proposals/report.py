"""The report of ``adept proposals show``: one HTML file that needs nothing else, with its charts as inline SVG."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from string import Template

import numpy as np
import numpy.typing as npt
from PIL import Image

from adept_training.proposals.measure import ANCHOR_SIZES, BOXES_DRAWN, VIEW, Floats, Statistics
from adept_training.proposals.pictures import LEVEL_COLORS

_SCARCE = 0.05  # positives an image below which a level is called untrained
_INK, _BAR, _MARK = "#5b6875", "#4186e0", "#e8384f"


def render(
    title: str,
    statistics: Statistics,
    made: dict[str, str],
    unreadable: int,
    samples: Iterable[tuple[str, Image.Image]],
) -> str:
    """The whole page. ``made``: how the table was made; ``samples``: captions and pictures."""
    s = statistics
    facts = {
        "images": f"{s.images:,}",
        "boxes an image": f"{s.counts.mean():.1f}",
        "different boxes an image": f"{s.unique_counts.mean():.1f}",
        "images by fallback": f"{100 * s.fallbacks / s.images:.1f}%",
        "boxes with an anchor of IoU 0.7": f"{100 * s.matched:.0f}%",
        "unreadable images": f"{unreadable:,}",
    }
    charts = [
        bars("Boxes an image", s.counts.astype(np.float64), _count_edges(s.counts)),
        bars("Size: sqrt(w h) / sqrt(W H)", s.scales, np.linspace(0, 1, 41)),
        bars("Shape: w / h", s.ratios, np.geomspace(1 / 8, 8, 37), ticks=(0.125, 0.25, 0.5, 1, 2, 4, 8), log=True),
        bars(
            "Size on the 224 x 224 view, in pixels; red: sizes of the anchors",
            s.view_sizes, np.linspace(0, 224, 57), ticks=(0, 24, 48, 96, 192, 224), marks=ANCHOR_SIZES,
        ),
    ]  # fmt: skip
    page = Template((Path(__file__).parent / "report.html").read_text(encoding="utf-8"))
    return page.substitute(
        title=html.escape(title),
        subtitle=html.escape(f"preset {made.get('preset', '?')}, {made.get('engine', '?')}"),
        facts="".join(f"<div><b>{value}</b>{name}</div>" for name, value in facts.items()),
        verdict=verdict(s),
        levels=_levels(s),
        sizes=", ".join(map(str, ANCHOR_SIZES)),
        drawn=BOXES_DRAWN,
        charts="".join(charts),
        legend="".join(
            f'<span class="swatch" style="background:{color}"></span>P{level}'
            for level, color in enumerate(LEVEL_COLORS, 2)
        ),
        samples="".join(_sample(caption, picture) for caption, picture in samples),
        made="".join(f"<tr><td>{html.escape(k)}</td><td>{html.escape(v)}</td></tr>" for k, v in made.items()),
    )


def verdict(statistics: Statistics) -> str:
    """The warning about levels without positives, as HTML, or the all-clear."""
    scarce = [level for level in statistics.levels if level.positives < _SCARCE]
    if not scarce:
        return '<p class="fine">Every level gets positive anchors.</p>'
    names = ", ".join(level.name for level in scarce)
    smallest = np.percentile(statistics.view_sizes, 1) if len(statistics.view_sizes) else VIEW
    return (
        f'<p class="warning"><b>{names} would get almost no positive anchors</b> '
        f"({', '.join(f'{level.positives:.3f} an image' for level in scarce)}). "
        f"99% of the boxes are larger than {smallest:.0f} pixels on the view, the anchors of P2 measure "
        f"{ANCHOR_SIZES[0]} pixels. To train the RPN on small objects too, keep smaller boxes: make the proposals with "
        "<code>--min-scale 0.08</code>.</p>"
    )


def _levels(statistics: Statistics) -> str:
    head = "<tr><th>level</th><th>anchors</th><th>positive an image</th><th>best an image</th></tr>"
    rows = "".join(
        f'<tr class="{"none" if level.positives < _SCARCE else ""}"><td>{level.name}</td><td>{level.anchors:,}</td>'
        f"<td>{level.positives:.3f}</td><td>{level.best:.3f}</td></tr>"
        for level in statistics.levels
    )
    return f"<table>{head}{rows}</table>"


def _count_edges(counts: npt.NDArray[np.int64]) -> Floats:
    top = max(10, int(np.percentile(counts, 99)) + 1)
    return np.arange(0, top + 1, max(1, -(-top // 40)), dtype=np.float64)


def bars(
    title: str,
    values: Floats,
    edges: Floats,
    *,
    ticks: Sequence[float] | None = None,
    marks: Sequence[float] = (),
    log: bool = False,
) -> str:
    """A histogram as an SVG figure; values beyond the edges are counted in the outermost bars."""
    width, height, foot, side = 420, 170, 24, 18
    heights, _ = np.histogram(np.clip(values, edges[0], edges[-1]), edges)
    tallest = max(1, heights.max())

    def place(x: float) -> float:
        low, high, at = (np.log(v) if log else v for v in (edges[0], edges[-1], x))
        return float(side + (width - 2 * side) * (at - low) / (high - low))

    parts = []
    for i, count in enumerate(heights):
        x, up = place(edges[i]), (height - foot - 8) * count / tallest
        w = max(0.5, place(edges[i + 1]) - x - 1)
        share = f"{edges[i]:.3g} to {edges[i + 1]:.3g}: {count:,} ({100 * count / max(1, len(values)):.1f}%)"
        parts.append(
            f'<rect x="{x:.1f}" y="{height - foot - up:.1f}" width="{w:.1f}" height="{up:.1f}" fill="{_BAR}">'
            f"<title>{share}</title></rect>"
        )
    for mark in marks:
        x = place(mark)
        parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="4" y2="{height - foot}" stroke="{_MARK}"/>')
    parts.append(f'<line x1="{side}" x2="{width - side}" y1="{height - foot}" y2="{height - foot}" stroke="{_INK}"/>')
    for tick in ticks if ticks is not None else np.linspace(edges[0], edges[-1], 6).tolist():
        parts.append(
            f'<text x="{place(tick):.1f}" y="{height - 8}" font-size="11" fill="{_INK}" text-anchor="middle">'
            f"{tick:.3g}</text>"
        )
    return (
        f"<figure><figcaption>{html.escape(title)}</figcaption>"
        f'<svg viewBox="0 0 {width} {height}" role="img">{"".join(parts)}</svg></figure>'
    )


def _sample(caption: str, picture: Image.Image) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=88)
    data = base64.b64encode(buffer.getvalue()).decode()
    text = html.escape(caption)
    image = f'<img alt="{text}" src="data:image/jpeg;base64,{data}">'
    return f'<figure class="sample">{image}<figcaption>{text}</figcaption></figure>'
