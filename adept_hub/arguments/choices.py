"""Values that several calls take from the same few words: refused in the same way everywhere."""

from __future__ import annotations

from collections.abc import Iterable

from adept_hub.errors import AdeptError, OptionValueError, UnknownPartError, UnsupportedDetectorError
from adept_hub.spec import PARTS
from adept_hub.words.spelling import did_you_mean


def check_choice(name: str, value: object, known: Iterable[str], error: type[AdeptError] = OptionValueError) -> None:
    """Refuse a value that is not one of ``known``.

    Raises:
        OptionValueError: or ``error``; the nearest known value is named, then all of them.
    """
    known = tuple(known)
    if value not in known:
        hint = did_you_mean(value, known)
        raise error(f"{name}={value!r} is not valid.{hint}\nChoose from: {', '.join(known)}.")


def check_num_classes(num_classes: int) -> None:
    """Refuse fewer classes than a detector can have.

    Raises:
        UnsupportedDetectorError: fewer than two.
    """
    if num_classes < 2:
        raise UnsupportedDetectorError(
            f"num_classes={num_classes} leaves no class besides the background, which counts as one.\n"
            "Add one to the number of your classes: num_classes=2 for a single class."
        )


def chosen_parts(parts: str | Iterable[str]) -> tuple[str, ...]:
    """Return the parts in the order of the network; one may be given as a string, several as any iterable.

    Raises:
        UnknownPartError: a word that is no part; or none at all, which would load nothing.
    """
    words = (parts,) if isinstance(parts, str) else tuple(parts)
    if not words:
        raise UnknownPartError(f"parts is empty: nothing would be loaded.\nGive some of {PARTS!r}.")
    if unknown := [word for word in words if word not in PARTS]:
        hint = did_you_mean(unknown[0], PARTS)
        raise UnknownPartError(f"There is no part {unknown[0]!r}.{hint}\nParts are: {', '.join(PARTS)}.")
    return tuple(part for part in PARTS if part in words)
