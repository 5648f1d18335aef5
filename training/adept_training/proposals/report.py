"""The page of ``adept proposals show``: what the boxes of a table would train."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image

from adept_training.pages.page import Page
from adept_training.pages.plotting import COLORS, canvas, svg
from adept_training.proposals.measure import ANCHOR_SIZES, BOXES_DRAWN, VIEW, Floats, Statistics

#: Positive anchors per image below which a level is reported as untrained.
_SCARCE = 0.05


def proposals_page(
    title: str,
    statistics: Statistics,
    made: dict[str, str],
    unreadable: int,
    samples: Iterable[tuple[str, Image.Image]],
) -> Page:
    """Return the page.

    Args:
        title: the table's name.
        statistics: of the table.
        made: how the table was made, by field.
        unreadable: number of images that could not be read.
        samples: captions and pictures.
    """
    s = statistics
    page = Page(f"Proposals in {title}", f"preset {made.get('preset', '?')}, {made.get('engine', '?')}")
    page.table(
        ("images", "boxes per image", "distinct", "by fallback", "boxes with an anchor of IoU 0.7", "unreadable"),
        [(f"{s.images:,}", f"{s.counts.mean():.1f}", f"{s.unique_counts.mean():.1f}",
          f"{100 * s.fallbacks / s.images:.1f}%", f"{100 * s.matched:.0f}%", f"{unreadable:,}")],
    )  # fmt: skip
    page.heading("What the RPN would learn from them")
    _verdict(page, s)
    page.table(
        ("level", "anchors", "positive per image", "best per image"),
        [(one.name, f"{one.anchors:,}", f"{one.positives:.3f}", f"{one.best:.3f}") for one in s.levels],
    )
    page.text(
        f"Anchors of {', '.join(map(str, ANCHOR_SIZES))} pixels on P2, P3, P4, P5, three ratios, on the image squashed "
        f"to {VIEW} x {VIEW}. Positive: IoU of at least 0.7 with one of {BOXES_DRAWN} boxes drawn at random from an "
        "image, as pre-training draws them. Best: an anchor below that which is the best that a box has. One "
        "convolution serves all levels: where a level has no positives, it learns that everything is background.",
        "dim",
    )
    page.heading("The boxes")
    page.text("Without the images whose boxes are a fallback, except in the first chart.", "dim")
    page.drawing(_histogram("Boxes per image", s.counts.astype(np.float64), _count_edges(s.counts)))
    page.drawing(_histogram("Size: sqrt(w h) / sqrt(W H)", s.scales, np.linspace(0, 1, 41)))
    page.drawing(_histogram("Shape: w / h", s.ratios, np.geomspace(1 / 8, 8, 37), log=True))
    page.drawing(_histogram(f"Pixels on the {VIEW} x {VIEW} view; lines: anchors", s.view_sizes,
                            np.linspace(0, VIEW, 57), marks=ANCHOR_SIZES))  # fmt: skip
    page.heading("Samples")
    page.text(
        "Left: boxes kept, colored by the level that the contrastive loss gives them (P2 red, P3 orange, P4 green, "
        "P5 blue). Right: boxes that the filter dropped.",
        "dim",
    )
    for caption, picture in samples:
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=88)
        page.picture(buffer.getvalue(), caption)
    page.folded("How they were made", "\n".join(f"{name}: {value}" for name, value in made.items()))
    return page


def _verdict(page: Page, statistics: Statistics) -> None:
    """Warn about levels without positives."""
    scarce = [level for level in statistics.levels if level.positives < _SCARCE]
    if not scarce:
        page.verdict("Every level gets positive anchors.", "good")
        return
    smallest = np.percentile(statistics.view_sizes, 1) if len(statistics.view_sizes) else VIEW
    page.verdict(
        f"{', '.join(level.name for level in scarce)} would get almost no positive anchors "
        f"({', '.join(f'{level.positives:.3f}' for level in scarce)} per image). 99% of the boxes are larger than "
        f"{smallest:.0f} pixels on the view, the anchors of P2 measure {ANCHOR_SIZES[0]} pixels. To train the RPN on "
        "small objects too, keep smaller boxes: make the proposals with --min-scale 0.08.",
        "caution",
    )


def _count_edges(counts: npt.NDArray[np.int64]) -> Floats:
    top = max(10, int(np.percentile(counts, 99)) + 1)
    return np.arange(0, top + 1, max(1, -(-top // 40)), dtype=np.float64)


def _histogram(title: str, values: Floats, edges: Floats, *, marks: Sequence[float] = (), log: bool = False) -> str:
    """Draw a histogram as SVG; values beyond the edges are counted in the outermost bars."""
    with canvas(4.2, 2.3) as (figure, axes):
        axes.hist(np.clip(values, edges[0], edges[-1]), edges.tolist(), color=COLORS[1], rwidth=0.9)
        for mark in marks:
            axes.axvline(mark, color=COLORS[5], linewidth=1)
        if log:
            axes.set_xscale("log", base=2)
            axes.xaxis.set_major_formatter("{x:g}")
        axes.set_title(title, fontsize=10, loc="left")
        axes.tick_params(labelsize=8)
        return svg(figure)
