"""Parse JSON by its standard: UTF-8, no NaN, no infinity and, if requested, no duplicate names in an object."""

from __future__ import annotations

import codecs
import json
import re
from typing import Any, NoReturn

#: An escaped surrogate, which is valid only as half of a pair.
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")

#: Python's parser handles a thousand levels, but `copy`, `dataclasses` and `json.dumps` only a few hundred.
_MAX_DEPTH = 100


def loads(content: bytes | str, *, unique: bool = True, surrogates: bool = False) -> Any:
    """Return the values in a JSON text.

    Args:
        content: text, or UTF-8 with or without a byte order mark.
        unique: also refuse duplicate names in an object, of which Python would keep the last and other parsers the
            first, numbers beyond the range of a float, which Python would make infinite, and nesting that is too deep
            for later steps. It doubles the time, which matters for files of megabytes.
        surrogates: accept lone surrogates, which cannot be written as UTF-8 again.

    Raises:
        ValueError: not UTF-8, not JSON, NaN or infinity, a duplicate name, a lone surrogate, or a number that is too
            large.
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
    """Return the values in a JSON text as Python's parser does: NaN is a number, and the last duplicate name counts.

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
    raise ValueError(f"{name} is not a valid number")


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
        raise ValueError("a string contains a lone surrogate") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the name {twice[:80]!r} is repeated in an object")
    return values
