"""A name twice in a mapping is refused; what PyYAML tells apart stays apart."""

from __future__ import annotations

import pytest
import yaml

from adept_hub.io.strict_yaml import loads


@pytest.mark.parametrize("text", ["a: 1\na: 2\n", "x: {b: 1, c: 2, b: 1}\n", "a: 1\n'a': 2\n", "- {1: 2, 1: 3}\n"])
def test_a_name_twice(text: str) -> None:
    with pytest.raises(yaml.YAMLError, match="is repeated"):
        loads(text)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("1: a\n'1': b\n", {1: "a", "1": "b"}),
        ("base: &b {a: 1, c: 2}\nmine: {<<: *b, a: 3}\n", {"base": {"a": 1, "c": 2}, "mine": {"a": 3, "c": 2}}),
        ("- a\n- a\n", ["a", "a"]),
        ("", None),
    ],
)
def test_what_is_told_apart(text: str, values) -> None:
    assert loads(text) == values


def test_objects_are_not_made() -> None:
    with pytest.raises(yaml.YAMLError):
        loads("!!python/object/apply:os.getcwd []")


@pytest.mark.parametrize("text", ["&a [*a]", "&a {b: *a}", "a: &a [1, {b: [*a]}]", "&a {? [*a] : 1}"])
def test_values_that_contain_themselves(text: str) -> None:
    with pytest.raises(yaml.YAMLError, match="contain themselves"):
        loads(text)


def test_a_billion_values_by_aliases() -> None:
    lines = ["a0: &a0 [x, x]", *(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, 40))]
    with pytest.raises(yaml.YAMLError, match="too many values behind aliases"):
        loads("\n".join(lines))
    assert loads("\n".join(lines[:4]))["a3"] == [[[["x"] * 2] * 2] * 2] * 2


@pytest.mark.parametrize(
    "text",
    ["0x" + "f" * 5000, "0b" + "1" * 5000, "9" * 5000, "1" + ":00" * 5000, "1" + ":00" * 1000 + ".5", "!!bool x",
     "!!timestamp x", "!!int x", "!!int ''", "2001-99-99"],
)  # fmt: skip
def test_numbers_beyond_all_bounds_and_tags_that_do_not_fit(text: str) -> None:
    with pytest.raises(ValueError):
        loads(f"a: {text}")
