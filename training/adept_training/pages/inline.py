"""Results as a notebook shows them: small HTML without scripts, style sheets or external resources.

All text is escaped and takes the colors of the notebook, light or dark.
"""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from adept_hub.errors import AdeptError, DataError
from adept_hub.io.read import BoundedReader
from adept_hub.words.sanitize import printable
from adept_training.pages.page import Tone

#: Of the bar to the left of a conclusion; all four are visible on white and on black.
_TONES: Mapping[Tone, str] = {"good": "#1d9a78", "neutral": "#808890", "caution": "#c08000", "bad": "#d1521f"}
_CELL = "padding: .15em .8em; text-align: {}; color: inherit; background: transparent"
_MAX_DRAWING = 4 << 20


def inline(title: str, *parts: str) -> str:
    """Return a title and the parts below it, made by the functions of this module; empty parts are left out."""
    return f'<div style="color: inherit"><p><b>{_text(title)}</b></p>{"".join(parts)}</div>'


def paragraphs(texts: Sequence[str], tone: Tone | None = None) -> str:
    """Return a paragraph per text; with a tone it is a conclusion."""
    style = "" if tone is None else f' style="border-left: 4px solid {_TONES[tone]}; padding-left: .6em"'
    return "".join(f"<p{style}>{_text(text)}</p>" for text in texts)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table with its first column aligned left; empty without rows."""
    if not rows:
        return ""

    def line(tag: str, row: Sequence[str]) -> str:
        aligned = zip(("left", *["right"] * len(row)), row, strict=False)
        cells = (f'<{tag} style="{_CELL.format(side)}">{_text(cell)}</{tag}>' for side, cell in aligned)
        return f"<tr>{''.join(cells)}</tr>"

    body = "".join(line("td", row) for row in rows)
    return f'<table style="color: inherit"><thead>{line("th", head)}</thead><tbody>{body}</tbody></table>'


def files(paths: Mapping[str, Path | None]) -> str:
    """Return a line per path that exists, after what it is."""
    return "".join(
        f"<p>{_text(what)}: <code>{_text(str(path))}</code></p>"
        for what, path in paths.items()
        if path is not None and path.exists()
    )


def drawing(path: Path | None, caption: str) -> str:
    """Return an SVG file as a picture, in which nothing runs; empty if there is none that can be read."""
    content = b""
    if path is not None:
        with suppress(AdeptError):
            content = BoundedReader(DataError, _MAX_DRAWING).read(path)
    data = base64.b64encode(content).decode()
    picture = f'<img alt="{_text(caption)}" style="max-width: 100%" src="data:image/svg+xml;base64,{data}"/>'
    return picture if content else ""


def _text(text: str) -> str:
    """Escape a text, without characters that UTF-8 or XML cannot express, such as in names of files."""
    return html.escape(printable(text))


def number(value: float | None, places: int = 2) -> str:
    """Format a number; ``-`` if there is none."""
    return "-" if value is None or value != value else f"{value:.{places}f}"
