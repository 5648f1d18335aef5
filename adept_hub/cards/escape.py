"""Text and tables of a card in Markdown, with everything that a config could smuggle in escaped."""

from __future__ import annotations

import re
from collections.abc import Sequence

Row = Sequence[str]


def plain(text: str) -> str:
    """Escape text of a config for a card: one line, no markup, and no active links or pictures.

    Backslashes are escaped first, then brackets, ``!`` and backticks, and the text that GitHub's Markdown turns into
    links by itself: ``://``, ``www.`` and ``@``.
    """
    text = re.sub(r"([\\`\[\]!|@])", r"\\\1", " ".join(text.split()).replace("<", "&lt;"))
    return re.sub(r"(?i)\b(www)\.", r"\1\\.", text.replace("://", ":\\//"))


class Code(str):
    """A cell that is formatted as code."""


def _cell(text: str) -> str:
    if isinstance(text, Code):
        return "`" + " ".join(text.split()).replace("`", "'").replace("|", "\\|") + "`"
    return plain(text)


def table(head: Row, rows: Sequence[Row]) -> str:
    """Return a table in Markdown; the cells are escaped."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(map(_cell, row)) + " |" for row in rows])
