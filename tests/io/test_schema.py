"""Dataclasses from JSON values: strict, and the exact inverse of the way there."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adept_hub.errors import CheckpointError, RecipeError
from adept_hub.io.schema import from_dict, to_dict
from adept_hub.spec import AnchorSpec, DetectorSpec


@dataclass(frozen=True)
class Inner:
    ratio: float
    sizes: tuple[int, ...] = (1, 2)


@dataclass(frozen=True)
class Outer:
    name: str
    mode: Literal["a", "b"]
    depth: Literal[18, 50]
    inner: Inner
    flag: bool = False
    limit: int | None = None
    pair: tuple[float, float] = (0.0, 1.0)
    free: dict[str, Any] = field(default_factory=dict)
    many: tuple[Inner, ...] = ()


GOOD = {"name": "x", "mode": "a", "depth": 18, "inner": {"ratio": 1}}


def test_defaults_and_conversions() -> None:
    built = from_dict(Outer, GOOD | {"pair": [1, 2.5], "many": [{"ratio": 2.0, "sizes": [3]}]})
    assert built == Outer("x", "a", 18, Inner(1.0), pair=(1.0, 2.5), many=(Inner(2.0, (3,)),))
    assert isinstance(built.inner.ratio, float)


def test_a_float_that_equals_a_literal_becomes_it() -> None:
    assert isinstance(from_dict(Outer, GOOD | {"depth": 18.0}).depth, int)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": 3}, "config.name: expected str, found 3"),
        ({"mode": "c"}, "config.mode: 'c' is not one of 'a', 'b'"),
        ({"depth": True}, "config.depth: True"),
        ({"flag": 1}, "config.flag: expected bool, found 1"),
        ({"limit": True}, "config.limit: expected int"),
        ({"limit": 1.5}, "config.limit: expected int"),
        ({"inner": {"ratio": "1"}}, "config.inner.ratio: expected float"),
        ({"inner": {"ratio": True}}, "config.inner.ratio: expected float"),
        ({"inner": {"ratio": 10**400}}, "config.inner.ratio: .* is too large"),
        ({"inner": {}}, "config.inner: the field 'ratio' is missing"),
        ({"inner": {"ratio": 1, "rato": 2}}, "config.inner: unknown field 'rato'. Known: ratio, sizes"),
        ({"inner": [1]}, "config.inner: expected a mapping, found list"),
        ({"pair": [1]}, "config.pair: expected 2 values, found 1"),
        ({"pair": "ab"}, "config.pair: expected a list"),
        ({"free": []}, "config.free: expected a mapping"),
        ({"many": [{"ratio": None}]}, r"config.many\[0\].ratio"),
    ],
)
def test_mistakes_are_named_with_their_path(change: dict[str, Any], message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        from_dict(Outer, GOOD | change)


def test_the_callers_error_class_and_name_are_used() -> None:
    with pytest.raises(RecipeError, match=r"^recipe\.yaml: unknown field 'x'"):
        from_dict(Outer, GOOD | {"x": 1}, "recipe.yaml", RecipeError)


def test_a_huge_value_does_not_make_a_huge_message() -> None:
    with pytest.raises(CheckpointError) as caught:
        from_dict(Outer, GOOD | {"mode": "z" * 10**6})
    assert len(str(caught.value)) < 300


@given(
    st.builds(
        DetectorSpec,
        depth=st.sampled_from([18, 34, 50, 101]),
        fpn_channels=st.integers(1, 512),
        anchors=st.builds(AnchorSpec, sizes=st.lists(st.floats(1, 1e4), min_size=1, max_size=5).map(tuple)),
    )
)
def test_there_and_back_through_json(spec: DetectorSpec) -> None:
    assert from_dict(DetectorSpec, json.loads(json.dumps(to_dict(spec)))) == spec
