"""Checks of choices that several calls share, so that all of them raise the same error."""

from __future__ import annotations

from collections.abc import Iterable

from adept_hub.errors import AdeptError, OptionValueError, UnknownPartError, UnsupportedDetectorError
from adept_hub.spec import PARTS
from adept_hub.words.spelling import did_you_mean


def check_choice(name: str, value: object, choices: Iterable[str], error: type[AdeptError] = OptionValueError) -> None:
    """Refuse a value that is not one of ``choices``.

    Raises:
        OptionValueError: or ``error``; the message suggests the closest value, then lists all of them.
    """
    choices = tuple(choices)
    if value not in choices:
        hint = did_you_mean(value, choices)
        raise error(f"{name}={value!r} is not valid.{hint}\nChoose from: {', '.join(choices)}.")


def check_num_classes(num_classes: int) -> None:
    """Refuse too few classes.

    Raises:
        UnsupportedDetectorError: fewer than two.
    """
    if num_classes < 2:
        raise UnsupportedDetectorError(
            f"num_classes={num_classes} has no class besides the background, which is included in the count.\n"
            "Add one to the number of your classes: num_classes=2 for a single class."
        )


def chosen_parts(parts: str | Iterable[str]) -> tuple[str, ...]:
    """Return the parts in the order of the network; a single part may be given as a string.

    Raises:
        UnknownPartError: a part that does not exist, or no parts at all.
    """
    words = (parts,) if isinstance(parts, str) else tuple(parts)
    if not words:
        raise UnknownPartError(f"parts is empty: nothing would be loaded.\nSpecify some of {PARTS!r}.")
    if unknown := [word for word in words if word not in PARTS]:
        hint = did_you_mean(unknown[0], PARTS)
        raise UnknownPartError(f"There is no part {unknown[0]!r}.{hint}\nParts are: {', '.join(PARTS)}.")
    return tuple(part for part in PARTS if part in words)
