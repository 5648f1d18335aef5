"""JSON as its standard has it: UTF-8, no NaN, no infinity and, where asked, no name twice in one object."""

from __future__ import annotations

import codecs
import json
import re
from typing import Any, NoReturn

#: Half of a character outside the basic plane, written as an escape; with its other half it is sound.
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")

#: Python's parser follows a thousand levels, and `copy`, `dataclasses` and `json.dumps` a few hundred.
_MAX_DEPTH = 100


def loads(content: bytes | str, *, unique: bool = True, surrogates: bool = False) -> Any:
    """Return the values in a JSON text.

    Args:
        content: text, or UTF-8 with or without its byte order mark.
        unique: refuse an object that says one name twice, of which Python would keep the last and others the first,
            numbers beyond a float, which Python would make infinite, and values that are nested more deeply than what
            reads them can follow. It takes twice the time, which shows in files of megabytes.
        surrogates: accept lone surrogates, which cannot be written as UTF-8 again.

    Raises:
        ValueError: not UTF-8, not JSON, NaN or infinity, a name twice, a lone surrogate, or a number that is too large.
        RecursionError: nested too deeply.
    """
    text = content if isinstance(content, str) else content.removeprefix(codecs.BOM_UTF8).decode()
    if unique:
        values = json.loads(text, parse_constant=_refuse, parse_float=_float, parse_int=_int, object_pairs_hook=_object)
        if text.count("[") + text.count("{") > _MAX_DEPTH:
            _check_depth(values)
    else:
        values = json.loads(text, parse_constant=_refuse)
    if not surrogates and _SURROGATE.search(text):
        _check_unicode(values)
    return values


def loads_leniently(content: bytes) -> Any:
    """Return the values in a JSON text as Python reads it: NaN is a number, and the last of a name counts.

    Raises:
        ValueError: not JSON.
        RecursionError: nested too deeply.
    """
    return json.loads(content)


def _check_depth(values: Any) -> None:
    level = [values]
    for _ in range(_MAX_DEPTH):
        level = [
            item
            for value in level
            if isinstance(value, (dict, list))
            for item in (value.values() if isinstance(value, dict) else value)
        ]
        if not level:
            return
    raise RecursionError(f"nested more than {_MAX_DEPTH} levels deep")


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


def _float(digits: str) -> float:
    value = float(digits)
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"the number {digits[:40]} is too large")
    return value


def _int(digits: str) -> int:
    value = int(digits)
    if len(digits) > 300:
        _float(digits)
    return value


def _check_unicode(values: Any) -> None:
    try:
        json.dumps(values, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ValueError("a text holds a lone surrogate") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the name {twice[:80]!r} stands twice in one object")
    return values
