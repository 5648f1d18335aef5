"""Did you mean: the one place that compares a mistyped word with the words that exist; imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterable

#: Beyond this a word is not a typing mistake, and comparing it costs time.
_LONGEST = 100


def nearest(word: str, known: Iterable[str], count: int = 3, cutoff: float = 0.6) -> list[str]:
    """Return the known words most like ``word``, best first; ``-`` and ``_`` are the same, as are cases."""
    import difflib  # not at the top: a listing does without

    plain: dict[str, str] = {}
    for candidate in known:
        plain.setdefault(_plain(candidate), candidate)
    matches = difflib.get_close_matches(_plain(word[:_LONGEST]), list(plain), n=count, cutoff=cutoff)
    return [plain[match] for match in matches]


def did_you_mean(word: object, known: Iterable[str], *, cutoff: float = 0.6) -> str:
    """Return ``" Did you mean 'a' or 'b'?"``, or nothing where no known word is like ``word``."""
    matches = nearest(word, known, cutoff=cutoff) if isinstance(word, str) else []
    if not matches:
        return ""
    *others, last = map(repr, matches)
    return f" Did you mean {', '.join(others)} or {last}?" if others else f" Did you mean {last}?"


def _plain(word: str) -> str:
    return word.lower().replace("-", "_")
