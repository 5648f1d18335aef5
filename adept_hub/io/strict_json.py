"""JSON as its standard has it: UTF-8, no NaN, no infinity and, where asked, no name twice in one object."""

from __future__ import annotations

import codecs
import json
from typing import Any, NoReturn


def loads(content: bytes | str, *, unique: bool = True) -> Any:
    """The values in a JSON text.

    Args:
        content: text, or UTF-8 with or without its byte order mark.
        unique: refuse an object that says one name twice, of which Python would keep the last and others the first.
            It takes twice the time, which shows in files of megabytes.

    Raises:
        ValueError: not UTF-8, not JSON, NaN or infinity, a name twice, or an integer of more than 4,300 digits.
        RecursionError: nested too deeply.
    """
    text = content if isinstance(content, str) else content.removeprefix(codecs.BOM_UTF8).decode()
    return json.loads(text, parse_constant=_refuse, object_pairs_hook=_object if unique else None)


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the name {twice[:80]!r} stands twice in one object")
    return values
