"""A web page in one file: tables, plots and pictures, without scripts or external resources."""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from adept_hub.io.write import atomic_file
from adept_training.pages.style import STYLE

#: Green, gray, amber and red.
Tone = Literal["good", "neutral", "caution", "bad"]

_WORD = re.compile(r"[^\W\d_]{3}")


@dataclass(frozen=True)
class Chart:
    """A plot with its explanation.

    Attributes:
        unit: of the y axis, in words.
        good: a sentence on what a good curve looks like.
        svg: an SVG element of `adept_training.pages.plotting`.
    """

    title: str
    unit: str
    good: str
    svg: str


class Page:
    """A page built from top to bottom; all text is escaped."""

    def __init__(self, title: str, subtitle: str = "") -> None:
        self._title = title
        self._parts = [f"<h1>{html.escape(title)}</h1>"]
        if subtitle:
            self.text(subtitle, "dim")

    def heading(self, text: str) -> None:
        """Add a second-level heading."""
        self._parts.append(f"<h2>{html.escape(text)}</h2>")

    def text(self, text: str, kind: str = "") -> None:
        """Add a paragraph; ``kind`` is ``dim`` or empty."""
        mark = f' class="{kind}"' if kind else ""
        self._parts.append(f"<p{mark}>{html.escape(text)}</p>")

    def verdict(self, text: str, tone: Tone = "neutral", title: str = "") -> None:
        """Add a box with the conclusion of the page, under a title of a few words; only ``good`` is green."""
        if title:
            self._parts.append(f'<p class="headline {tone}">{html.escape(title)}</p>')
        self._parts.append(f'<p class="verdict {tone}">{html.escape(text)}</p>')

    def items(self, texts: Sequence[str]) -> None:
        """Add a list."""
        self._parts.append("<ul>" + "".join(f"<li>{html.escape(text)}</li>" for text in texts) + "</ul>")

    def code(self, text: str) -> None:
        """Add a command to copy."""
        self._parts.append(f"<pre>{html.escape(text)}</pre>")

    def folded(self, title: str, text: str) -> None:
        """Add a long text that opens when its title is clicked."""
        with self.fold(title):
            self.code(text)

    @contextmanager
    def fold(self, title: str) -> Iterator[None]:
        """Fold what is added inside; it opens when the title is clicked."""
        self._parts.append(f"<details><summary>{html.escape(title)}</summary>")
        yield
        self._parts.append("</details>")

    def table(self, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Add a table: numbers aligned right, columns of words left. On narrow screens it scrolls sideways."""
        words = [all(_WORD.search(cell) for cell in column) for column in zip(*rows, strict=True)] or [False] * len(
            head
        )

        def line(tag: str, row: Sequence[str]) -> str:
            marks = (' class="words"' if word else "" for word in words)
            return "".join(f"<{tag}{mark}>{html.escape(cell)}</{tag}>" for cell, mark in zip(row, marks, strict=True))

        cells = line("th", head)
        body = "".join(f"<tr>{line('td', row)}</tr>" for row in rows)
        self._parts.append(f"<table><thead><tr>{cells}</tr></thead><tbody>{body}</tbody></table>")

    def cards(self, head: Sequence[str], rows: Sequence[tuple[str, str, Sequence[str]]]) -> None:
        """Add a table whose rows become cards on narrow screens.

        Args:
            head: name of the first column, and of the others.
            rows: name and explanation of each row, and its cells.
        """
        lines = []
        for name, meaning, cells in rows:
            first = f'<th scope="row">{html.escape(name)}<span>{html.escape(meaning)}</span></th>'
            lines.append(first + "".join(
                f'<td data-head="{html.escape(title)}">{html.escape(cell)}</td>'
                for title, cell in zip(head[1:], cells, strict=True)
            ))  # fmt: skip
        heads = "".join(f"<th>{html.escape(title)}</th>" for title in head)
        body = "".join(f"<tr>{line}</tr>" for line in lines)
        self._parts.append(f'<table class="cards"><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>')

    def charts(self, charts: Sequence[Chart]) -> None:
        """Add plots in a grid of as many columns as fit."""
        figures = []
        for chart in charts:
            title = html.escape(chart.title)
            svg = chart.svg.replace("<svg", f'<svg role="img" aria-label="{title}"', 1)
            words = f"<b>{title}</b> <i>{html.escape(chart.unit)}</i><br>{html.escape(chart.good)}"
            figures.append(f'<figure class="chart"><figcaption>{words}</figcaption>{svg}</figure>')
        self._parts.append(f'<div class="charts">{"".join(figures)}</div>')

    def drawing(self, svg: str) -> None:
        """Add an SVG element of `adept_training.pages.plotting`."""
        self._parts.append(svg)

    def picture(self, jpeg: bytes, caption: str) -> None:
        """Add an embedded picture."""
        data = base64.b64encode(jpeg).decode()
        text = html.escape(caption)
        self._parts.append(
            f'<figure><img alt="{text}" src="data:image/jpeg;base64,{data}"><figcaption>{text}</figcaption></figure>'
        )

    def write(self, path: Path) -> None:
        """Write the page.

        Raises:
            DiskFullError: the file cannot be written.
        """
        content = (
            f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(self._title)}</title>'
            f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head>\n<body>\n'
            + "\n".join(self._parts)
            + "\n</body></html>\n"
        )
        with atomic_file(path) as temporary:
            temporary.write_text(content, encoding="utf-8")
