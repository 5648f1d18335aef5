"""Split the fields of ``DATA`` at colons, but not behind the letter of a drive on Windows."""

from __future__ import annotations

import re


def split_fields(text: str) -> list[str]:
    """Return the fields of a text.

    Example:
        >>> split_fields(r"C:\\voc:train:val")
        ['C:\\\\voc', 'train', 'val']
    """
    fields: list[str] = []
    for piece in text.split(":"):
        if fields and re.fullmatch("[A-Za-z]", fields[-1]) and piece[:1] in ("\\", "/"):
            fields[-1] += f":{piece}"
        else:
            fields.append(piece)
    return fields


def split_last(text: str) -> tuple[str, str, str]:
    """Return as ``str.rpartition(":")`` does all fields but the last, a colon if there are any, and the last."""
    *before, last = split_fields(text)
    return ":".join(before), ":" if before else "", last
