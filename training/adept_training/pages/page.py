"""A web page in one file: tables, plots and pictures, without scripts or external resources."""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from adept_hub.io.write import atomic_file

#: Green, gray, amber and red.
Tone = Literal["good", "neutral", "caution", "bad"]

_STYLE = """
:root { color-scheme: light dark; --ink: #1f2328; --dim: #667085; --paper: #fcfcfa; --line: #d9dce1; --wash: #f1f3f0; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8e6e1; --dim: #9aa1ab; --paper: #17191c; --line: #363b42; --wash: #202429; }
  svg { background: #fcfcfa; border-radius: 6px; }
}
body { font: 15px/1.55 system-ui, sans-serif; color: var(--ink); background: var(--paper);
       max-width: 68rem; margin: 2rem auto; padding: 0 1.2rem; }
h1 { font-size: 1.6rem; margin-bottom: .2rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
p.dim, figcaption { color: var(--dim); }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; display: block; overflow-x: auto; }
th, td { padding: .3rem .8rem; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:first-child, td:first-child, .words { text-align: left; } th { color: var(--dim); font-weight: 600; }
figure { display: inline-block; margin: .4rem .8rem .8rem 0; max-width: 100%; vertical-align: top; }
figure img, svg { max-width: 100%; height: auto; } figcaption { font-size: .85rem; max-width: 24rem; }
.verdict { background: var(--wash); border-left: 4px solid #8a94a3; padding: .7rem 1rem; }
.verdict.good { border-color: #2f7d5b; } .verdict.caution { border-color: #c98a1b; background: #c98a1b1f; }
.verdict.bad { border-color: #c0392b; background: #c0392b1f; }
pre { background: var(--wash); padding: .7rem 1rem; overflow-x: auto; }
"""

_WORD = re.compile(r"[^\W\d_]{3}")


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

    def verdict(self, text: str, tone: Tone = "neutral") -> None:
        """Add a box with the conclusion of the page; only ``good`` is green."""
        self._parts.append(f'<p class="verdict {tone}">{html.escape(text)}</p>')

    def items(self, texts: Sequence[str]) -> None:
        """Add a list."""
        self._parts.append("<ul>" + "".join(f"<li>{html.escape(text)}</li>" for text in texts) + "</ul>")

    def code(self, text: str) -> None:
        """Add a command to copy."""
        self._parts.append(f"<pre>{html.escape(text)}</pre>")

    def folded(self, title: str, text: str) -> None:
        """Add a long text that opens when its title is clicked."""
        self._parts.append(f"<details><summary>{html.escape(title)}</summary><pre>{html.escape(text)}</pre></details>")

    def table(self, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Add a table: numbers aligned right, columns of words left."""
        words = [all(_WORD.search(cell) for cell in column) for column in zip(*rows, strict=True)] or [False] * len(
            head
        )

        def line(tag: str, row: Sequence[str]) -> str:
            marks = (' class="words"' if word else "" for word in words)
            return "".join(f"<{tag}{mark}>{html.escape(cell)}</{tag}>" for cell, mark in zip(row, marks, strict=True))

        cells = line("th", head)
        body = "".join(f"<tr>{line('td', row)}</tr>" for row in rows)
        self._parts.append(f"<table><thead><tr>{cells}</tr></thead><tbody>{body}</tbody></table>")

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
            f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head>\n<body>\n'
            + "\n".join(self._parts)
            + "\n</body></html>\n"
        )
        with atomic_file(path) as temporary:
            temporary.write_text(content, encoding="utf-8")
