"""Large registries as JSON Lines: the file without its checkpoints, then one checkpoint a line, parsed when it is used.

A line begins with its name, as ``json.dumps`` writes it, so that ten thousand are listed without parsing one; a line of
another form is parsed at once.
"""

from __future__ import annotations

import re
from typing import Any

from adept_hub.errors import RegistryError
from adept_hub.io.read import parse_json

_NAME = re.compile(r'\{"name": ?"([a-z0-9_.]+)",')
#: A key: within a string the quotes would be escaped.
_LOCATION = re.compile(r'"location"\s*:\s*\{')


def read_lines(content: bytes, where: str) -> dict[str, Any]:
    """Return a registry's JSON values, each of its checkpoints the line itself where its name could be read alone.

    Args:
        content: of the file.
        where: what it is called in messages.

    Raises:
        RegistryError: it is not UTF-8, a line that had to be parsed is not JSON or has no name, or a name stands twice.
    """
    try:
        first, *lines = content.decode().removesuffix("\n").split("\n")
    except UnicodeDecodeError as error:
        raise RegistryError(f"{where} is not UTF-8 text (byte {error.start}).") from error
    head = parse_json(first, f"{where}, line 1,", RegistryError)
    if not isinstance(head, dict) or "checkpoints" in head:
        raise RegistryError(f"{where}: its first line is no registry without checkpoints.")
    match = _NAME.match
    pairs = [(found[1], line) if (found := match(line)) else _parsed(line, where) for line in lines]
    checkpoints = dict(pairs)
    if len(checkpoints) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise RegistryError(f"{where}: the name {twice[:200]!r} stands twice.")
    return head | {"checkpoints": checkpoints}


def parse_line(line: str, where: str) -> Any:
    """Return the entry in a line, without its name; ``where`` is what it is called in messages.

    Raises:
        RegistryError: it is not JSON.
    """
    entry = parse_json(line, where, RegistryError)
    return {key: value for key, value in entry.items() if key != "name"} if isinstance(entry, dict) else entry


def is_published_line(line: str) -> bool:
    """Whether the entry in a line has a location, without parsing it."""
    return _LOCATION.search(line) is not None


def _parsed(line: str, where: str) -> tuple[str, Any]:
    entry = parse_json(line, f"{where}, line {line[:60]!r},", RegistryError)
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
        raise RegistryError(f"{where}: the line {line[:60]!r} has no name.")
    return entry.pop("name"), entry
