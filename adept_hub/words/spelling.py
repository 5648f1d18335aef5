"""Did you mean: the one place that compares a mistyped word with the words that exist; imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

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
    """Return `in_words` of the known words most like ``word``."""
    return in_words(nearest(word, known, cutoff=cutoff)) if isinstance(word, str) else ""


def in_words(meant: Sequence[str]) -> str:
    """Return ``" Did you mean 'a' or 'b'?"``; nothing where there is nothing to suggest."""
    if not meant:
        return ""
    *others, last = map(repr, meant)
    return f" Did you mean {', '.join(others)} or {last}?" if others else f" Did you mean {last}?"


def _plain(word: str) -> str:
    return word.lower().replace("-", "_")
