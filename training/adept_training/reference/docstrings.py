"""Google-style docstrings as Markdown."""

from __future__ import annotations

import inspect
import re
from typing import Any

_SECTION = re.compile(r"(Args|Attributes|Returns|Yields|Raises|Example|Examples|Note):")
_ITEM = re.compile(r"(\*{0,2}[\w, .*]+?): (.*)")


def markdown(thing: Any) -> str:
    """Return the docstring of a function or class as Markdown, examples as Python blocks."""
    lines = (inspect.getdoc(thing) or "").splitlines()
    out: list[str] = []
    section = ""
    for line in lines:
        if found := _SECTION.fullmatch(line):
            _close(out, section)
            section = found[1]
            out += [f"**{section}**", ""] if not section.startswith("Example") else ["**Example**", "", "```python"]
            continue
        if section and line and not line.startswith(" "):
            _close(out, section)
            section = ""
        if section.startswith("Example"):
            out.append(line[4:])
        elif section and (item := _ITEM.fullmatch(line[4:])) and section not in ("Returns", "Yields", "Note"):
            out.append(f"- `{item[1]}`: {_code(item[2])}")
        else:
            out.append(_code(f"  {line.strip()}" if section and line else line).rstrip())
    _close(out, section)
    return "\n".join(out).strip() + "\n"


def _close(out: list[str], section: str) -> None:
    if section.startswith("Example"):
        while not out[-1]:
            out.pop()
        out += ["```", ""]


def _code(text: str) -> str:
    """Convert code in reStructuredText to Markdown."""
    return text.replace("``", "`")
