"""Compare licenses: weights trained from others inherit their license, or get one that is at least as restrictive.

A license is modeled as the set of conditions for anyone who receives the weights. One license is *at least as
restrictive* as another if it has all of the other's conditions. This is a partial order: it does not hold between CC BY
4.0 and Apache 2.0 in either direction. A share-alike or copyleft license is itself a condition, so that only the same
license (or one that is known to be compatible) satisfies it. **A license that is not in the table, or not specified, is
comparable only with itself**: any other one counts as more permissive. This is bookkeeping, not legal advice:
`relicense` records that the user claims the right to decide otherwise.
"""

from __future__ import annotations

import reprlib
from collections.abc import Mapping

from adept_hub.checkpoint.validate_config import LICENSE
from adept_hub.errors import LicenseError
from adept_hub.spec import Start

UNSTATED = frozenset({"", "unstated", "unknown", "none"})

_PERMISSIVE = frozenset({"credit"})
_CC_BY = _PERMISSIVE | {"state changes", "no technical measures"}
_APACHE = _PERMISSIVE | {"state changes", "patents"}
_NC, _ND = frozenset({"non-commercial"}), frozenset({"no derivatives"})

#: License identifier of the Hub -> conditions.
CONDITIONS: Mapping[str, frozenset[str]] = {
    **dict.fromkeys(("cc0-1.0", "unlicense", "pddl", "wtfpl", "0bsd"), frozenset()),
    **dict.fromkeys(("mit", "isc", "bsd-2-clause"), _PERMISSIVE),
    "bsd-3-clause": _PERMISSIVE | {"no endorsement"},
    "apache-2.0": _APACHE,
    "cc-by-4.0": _CC_BY,
    "cc-by-nc-4.0": _CC_BY | _NC,
    "cc-by-nd-4.0": _CC_BY | _ND,
    "cc-by-nc-nd-4.0": _CC_BY | _NC | _ND,
    "cc-by-sa-4.0": _CC_BY | {"the same: cc-by-sa-4.0"},
    "cc-by-nc-sa-4.0": _CC_BY | _NC | {"the same: cc-by-nc-sa-4.0"},
    "mpl-2.0": _APACHE | {"the same: mpl-2.0"},
    "lgpl-3.0": _APACHE | {"the same: lgpl-3.0"},
    "gpl-3.0": _APACHE | {"the same: lgpl-3.0", "the same: gpl-3.0"},
    "agpl-3.0": _APACHE | {"the same: lgpl-3.0", "the same: gpl-3.0", "the same: agpl-3.0"},
}


def is_stated(license: str) -> bool:  # its name everywhere
    """Check whether a license is specified."""
    return license.strip().lower() not in UNSTATED


def as_restrictive(license: str, other: str) -> bool:
    """Check whether ``license`` is known to have all conditions of ``other``."""
    one, two = license.strip().lower(), other.strip().lower()
    if one == two:
        return True
    return one in CONDITIONS and two in CONDITIONS and CONDITIONS[one] >= CONDITIONS[two]


def inherit(start: Start | None, asked: str, *, relicense: bool = False) -> tuple[str, bool]:
    """Return the license of weights trained from ``start``, and whether it depends on a claim of the right to grant it.

    Args:
        start: the checkpoint that training starts from; None for random values.
        asked: the requested license; empty or unknown to inherit the start's.
        relicense: the user claims the right to grant ``asked``.

    Raises:
        LicenseError: ``asked`` is not a license identifier, or not known to be at least as restrictive as the start's
            license.
    """
    if not LICENSE.fullmatch(asked) or " " in asked:  # a stored name may have spaces, an identifier of the Hub not
        raise LicenseError(
            f"{reprlib.repr(asked)} is not a license identifier.\n"
            "Use an identifier of the Hub (apache-2.0, cc-by-4.0, ...), or omit it: --license apache-2.0"
        )
    if start is None:
        return asked, False
    if not is_stated(asked):
        return start.license, False
    if as_restrictive(asked, start.license):
        return asked, False
    if relicense:
        return asked, True
    stated = f"under {start.license}" if is_stated(start.license) else "under a license that is not stated"
    raise LicenseError(
        f"The start, {start.name}, is {stated}; {asked} is not known to be at least as restrictive.\n"
        f"Omit the license to inherit it. If you have the right to grant another: --license {asked} --relicense"
    )
