"""Spelling suggestions ("Did you mean ...?"), used by every check of names; imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

#: A longer word is not a typo, and comparing it takes time.
_LONGEST = 100


def nearest(word: str, known: Iterable[str], count: int = 3, cutoff: float = 0.6) -> list[str]:
    """Return the known words closest to ``word``, best first; case, leading dashes and ``-`` for ``_`` are ignored."""
    import difflib  # not at the top: `adept list` does not need it

    plain: dict[str, str] = {}
    for candidate in known:
        plain.setdefault(_plain(candidate), candidate)
    matches = difflib.get_close_matches(_plain(word[:_LONGEST]), list(plain), n=count, cutoff=cutoff)
    return [plain[match] for match in matches]


def did_you_mean(word: object, known: Iterable[str], *, cutoff: float = 0.6) -> str:
    """Return `in_words` of the known words closest to ``word``."""
    return in_words(nearest(word, known, cutoff=cutoff)) if isinstance(word, str) else ""


def in_words(meant: Sequence[str]) -> str:
    """Return ``" Did you mean 'a' or 'b'?"``, or an empty string without suggestions."""
    if not meant:
        return ""
    *others, last = map(repr, meant)
    return f" Did you mean {', '.join(others)} or {last}?" if others else f" Did you mean {last}?"


def _plain(word: str) -> str:
    return word.lower().lstrip("-").replace("-", "_")
