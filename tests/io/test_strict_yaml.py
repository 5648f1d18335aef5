"""A name twice in a mapping is refused; what PyYAML tells apart stays apart."""

from __future__ import annotations

import pytest
import yaml

from adept_hub.io.strict_yaml import loads


@pytest.mark.parametrize("text", ["a: 1\na: 2\n", "x: {b: 1, c: 2, b: 1}\n", "a: 1\n'a': 2\n", "- {1: 2, 1: 3}\n"])
def test_a_name_twice(text: str) -> None:
    with pytest.raises(yaml.YAMLError, match="stands twice"):
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
