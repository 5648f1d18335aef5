"""Text of unknown origin (file names, ids, class names): check whether it can be stored, and display it."""

from __future__ import annotations

_SHOWN = 120


def is_utf8(text: str) -> bool:
    """Check whether ``text`` can be written as UTF-8: lone surrogates, which stand for undecodable bytes, cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def one_line(text: str, most: int = _SHOWN) -> str:
    """Return ``text`` on one line, control characters and lone surrogates escaped, shortened to ``most`` characters.

    Example:
        >>> one_line("caf\\udce9.jpg")
        'caf\\\\udce9.jpg'
    """
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text[: most + 1])
    return shown if len(shown) <= most else f"{shown[: most - 3]}..."
