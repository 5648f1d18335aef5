"""Large registries as JSON Lines: the file without its checkpoints, then one checkpoint a line, parsed when it is used.

A line begins with its name, as ``json.dumps`` writes it, so that ten thousand are listed without parsing one; a line of
another form is parsed at once.
"""

from __future__ import annotations

import re
from typing import Any

from adept_hub.io import strict_json

_NAME = re.compile(r'\{"name": ?"([a-z0-9_.]+)",')
#: A key: within a string the quotes would be escaped.
_LOCATION = re.compile(r'"location"\s*:\s*\{')


def read_lines(content: bytes) -> dict[str, Any]:
    """A registry's JSON values, each of its checkpoints the line itself where its name could be read alone.

    Raises:
        ValueError, RecursionError: a line that had to be parsed is not JSON or has no name, or a name stands twice.
    """
    first, *lines = content.decode().removesuffix("\n").split("\n")
    head = strict_json.loads(first)
    if not isinstance(head, dict) or "checkpoints" in head:
        raise ValueError("its first line is no registry without checkpoints")
    match = _NAME.match
    pairs = [(found[1], line) if (found := match(line)) else _parsed(line) for line in lines]
    checkpoints = dict(pairs)
    if len(checkpoints) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the name {next(name for name in names if names.count(name) > 1)[:200]!r} stands twice")
    return head | {"checkpoints": checkpoints}


def parse_line(line: str) -> Any:
    """The entry in a line, without its name.

    Raises:
        ValueError, RecursionError: it is not JSON.
    """
    entry = strict_json.loads(line)
    return {key: value for key, value in entry.items() if key != "name"} if isinstance(entry, dict) else entry


def is_published_line(line: str) -> bool:
    """Whether the entry in a line has a location, without parsing it."""
    return _LOCATION.search(line) is not None


def _parsed(line: str) -> tuple[str, Any]:
    entry = strict_json.loads(line)
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
        raise ValueError(f"the line {line[:60]!r} has no name")
    return entry.pop("name"), entry
