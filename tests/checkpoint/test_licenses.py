"""Which license may follow which: the order is partial, and what is not known is more permissive."""

from __future__ import annotations

import itertools

import pytest

from adept_hub.checkpoint.licenses import CONDITIONS, as_restrictive, inherit
from adept_hub.errors import LicenseError
from adept_hub.spec import Start

NC = Start("mine", "ab" * 32, "cc-by-nc-4.0")


@pytest.mark.parametrize(
    ("later", "earlier"),
    [
        ("mit", "cc0-1.0"), ("apache-2.0", "mit"), ("cc-by-4.0", "mit"), ("cc-by-nc-4.0", "cc-by-4.0"),
        ("cc-by-nc-nd-4.0", "cc-by-nc-4.0"), ("cc-by-sa-4.0", "cc-by-4.0"), ("gpl-3.0", "apache-2.0"),
        ("agpl-3.0", "gpl-3.0"), ("gpl-3.0", "lgpl-3.0"), ("CC-BY-NC-4.0", "cc-by-nc-4.0"),
        ("my-lab-1.0", "my-lab-1.0"),
    ],
)  # fmt: skip
def test_known_to_be_as_restrictive(later: str, earlier: str) -> None:
    assert as_restrictive(later, earlier)
    assert later.lower() == earlier or not as_restrictive(earlier, later)


@pytest.mark.parametrize(
    ("later", "earlier"),
    [
        ("apache-2.0", "cc-by-nc-4.0"), ("cc-by-4.0", "apache-2.0"), ("apache-2.0", "cc-by-4.0"),
        ("cc-by-nc-sa-4.0", "cc-by-sa-4.0"), ("gpl-3.0", "cc-by-sa-4.0"), ("mit", "unstated"), ("mit", ""),
        ("mit", "my-lab-1.0"), ("my-lab-1.0", "mit"), ("unstated", "mit"), ("cc-by-nc-4.0", "agpl-3.0"),
    ],
)  # fmt: skip
def test_not_known_to_be(later: str, earlier: str) -> None:
    assert not as_restrictive(later, earlier)


#: License -> every license that it follows, by the texts of both; by hand. What asks for nothing is followed by all.
FREE = {"cc0-1.0", "unlicense", "pddl", "wtfpl", "0bsd"}
NOTICE = {"mit", "isc", "bsd-2-clause"}
FOLLOWS = {
    **{name: set[str]() for name in FREE},
    **dict.fromkeys(NOTICE, NOTICE),
    "bsd-3-clause": NOTICE,
    "apache-2.0": NOTICE,
    "cc-by-4.0": NOTICE,
    "cc-by-nc-4.0": NOTICE | {"cc-by-4.0"},
    "cc-by-nd-4.0": NOTICE | {"cc-by-4.0"},
    "cc-by-nc-nd-4.0": NOTICE | {"cc-by-4.0", "cc-by-nc-4.0", "cc-by-nd-4.0"},
    "cc-by-sa-4.0": NOTICE | {"cc-by-4.0"},
    "cc-by-nc-sa-4.0": NOTICE | {"cc-by-4.0", "cc-by-nc-4.0"},
    "mpl-2.0": NOTICE | {"apache-2.0"},
    "lgpl-3.0": NOTICE | {"apache-2.0"},
    "gpl-3.0": NOTICE | {"apache-2.0", "lgpl-3.0"},
    "agpl-3.0": NOTICE | {"apache-2.0", "lgpl-3.0", "gpl-3.0"},
}


def test_the_whole_table_by_hand() -> None:
    assert set(FOLLOWS) == set(CONDITIONS)
    for later, earlier in itertools.product(CONDITIONS, repeat=2):
        expected = earlier in FREE or earlier == later or earlier in FOLLOWS[later]
        assert as_restrictive(later, earlier) is expected, (later, earlier)


def test_it_is_an_order() -> None:
    for a, b, c in itertools.product(CONDITIONS, repeat=3):
        if as_restrictive(a, b) and as_restrictive(b, c):
            assert as_restrictive(a, c)
    for name, conditions in CONDITIONS.items():
        own = {condition for condition in conditions if condition.startswith("the same: ")}
        followers = {other for other in CONDITIONS if as_restrictive(other, name)} - {name}
        assert not own or all(CONDITIONS[other] >= own for other in followers)


def test_weights_inherit_unless_something_as_restrictive_is_asked_for() -> None:
    assert inherit(None, "mit") == ("mit", False)
    assert inherit(NC, "unstated") == ("cc-by-nc-4.0", False)
    assert inherit(NC, "cc-by-nc-sa-4.0") == ("cc-by-nc-sa-4.0", False)
    with pytest.raises(
        LicenseError, match=r"cc-by-nc-4.0; apache-2.0 is not known .*\n.*--license apache-2.0 --relicense"
    ):
        inherit(NC, "apache-2.0")
    assert inherit(NC, "apache-2.0", relicense=True) == ("apache-2.0", True)
    # A claim that is not needed is not made.
    for start, asked in ((None, "mit"), (NC, "cc-by-nc-sa-4.0"), (NC, NC.license), (NC, "unstated")):
        assert inherit(start, asked, relicense=True) == (asked if asked != "unstated" else NC.license, False)
    with pytest.raises(LicenseError, match="not stated"):
        inherit(Start("mine", "ab" * 32, "unstated"), "mit")


@pytest.mark.parametrize("start", [None, NC])
@pytest.mark.parametrize("asked", ["no license!", "my license", "mit\n", "x" * 10_000])
def test_what_is_no_identifier_is_refused_with_and_without_a_start(asked: str, start: Start | None) -> None:
    with pytest.raises(LicenseError, match="is not a license identifier"):
        inherit(start, asked, relicense=True)
