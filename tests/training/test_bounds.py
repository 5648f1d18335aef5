"""Every number of a recipe has bounds, and what is outside is refused before any work, by the name of the setting."""

from __future__ import annotations

import dataclasses
import math
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest

from adept_hub.errors import RecipeError
from adept_hub.io.schema import Length, Range, from_dict
from adept_hub.spec import DetectorSpec
from adept_training.comparing.runs import check_seeds
from adept_training.finetuning.loop import iteration_seed
from adept_training.finetuning.recipe import FinetuneRecipe, load_finetune_recipe, protocol_names
from adept_training.pretraining.recipe import Recipe, load_recipe, recipe_names


def numbers(cls: type[Any], path: str = "") -> Iterator[tuple[str, Any, Range | None]]:
    """Path, type and range of every number among the settings, those within lists too."""
    for name, hint in typing.get_type_hints(cls, include_extras=True).items():
        if hint is not DetectorSpec and typing.get_origin(hint) is not typing.ClassVar:
            yield from _numbers(hint, f"{path}{name}", None)


def _numbers(hint: Any, path: str, found: Range | None) -> Iterator[tuple[str, Any, Range | None]]:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint):
        yield from numbers(typing.cast("type[Any]", hint), f"{path}.")
    elif origin is Annotated:
        yield from _numbers(args[0], path, next((a for a in args[1:] if isinstance(a, Range)), found))
    elif origin is tuple:
        for i, inner in enumerate(args[:1] if args[-1] is Ellipsis else args):
            yield from _numbers(inner, f"{path}[{i}]", None)
    elif hint in (int, float) or (args and {int, float} & set(args)):
        yield path, int if hint is int or int in args else float, found


ALL = [(cls, *row) for cls in (Recipe, FinetuneRecipe) for row in numbers(cls)]


def test_the_walk_finds_what_there_is() -> None:
    paths = {(cls.__name__, path) for cls, path, _, _ in ALL}
    assert {("Recipe", "views.sizes[2]"), ("Recipe", "method.rpn.weight"), ("FinetuneRecipe", "schedule.steps[0]"),
            ("Recipe", "engine.max_minutes"), ("FinetuneRecipe", "schedule.warmup")} <= paths  # fmt: skip
    assert len(ALL) > 80


@pytest.mark.parametrize(("cls", "path", "kind", "found"), ALL, ids=[f"{c.__name__}.{p}" for c, p, _, _ in ALL])
def test_every_number_has_bounds_that_hold(cls: type[Any], path: str, kind: type, found: Range | None) -> None:
    assert found is not None, "declare a Range"
    step = 1 if kind is int else 1e-3
    outside = [found.low - step, found.high * 2 + step, *([found.low] if found.above else [])]
    outside += [found.high] if found.below else []
    for value in [kind(v) for v in outside] + ([math.nan, math.inf, -math.inf] if kind is float else []):
        with pytest.raises(RecipeError) as caught:
            from_dict(cls, nested(cls, path, value), "mine.yaml", RecipeError)
        text = str(caught.value)
        assert text.startswith(f"{path} is "), text
        assert text.endswith("(mine.yaml).")
    inside = kind((found.low + found.high) // 2 if kind is int else (found.low + found.high) / 2)
    from_dict(cls, nested(cls, path, inside), "mine.yaml", RecipeError)


def nested(cls: type[Any], path: str, value: object) -> dict[str, Any]:
    """A recipe that states one value; its list has the others as they are by default."""
    *sections, name = path.split(".")
    default: Any = cls()
    for section in sections:
        default = getattr(default, section)
    name, _, index = name.partition("[")
    if index:
        listed = list(getattr(default, name)) or [24.0]
        listed[int(index[:-1])] = value
        value = listed
    content: dict[str, Any] = {name: value}
    for section in reversed(sections):
        content = {section: content}
    return content


@dataclasses.dataclass(frozen=True)
class Few:
    values: Annotated[tuple[int, ...], Length(1, 3)] = (1,)
    pair: Annotated[tuple[int, ...], Length(2, 2)] = (1, 2)
    share: Annotated[float | None, Range(0.0, 1.0)] = None


def test_lists_have_lengths_and_null_has_no_bounds() -> None:
    assert from_dict(Few, {"values": [1, 2, 3], "share": None}) == Few((1, 2, 3))
    for content, words in (({"values": []}, "values has 0 values; it must have 1 to 3"),
                           ({"values": [1] * 4}, "has 4 values"), ({"pair": [1]}, "it must have 2 (x)"),
                           ({"share": 2}, r"share is 2.0; it must be in [0, 1]")):  # fmt: skip
        with pytest.raises(RecipeError) as caught:
            from_dict(Few, content, "x", RecipeError)
        assert words in str(caught.value)


def test_ranges_are_written_as_one_writes_them() -> None:
    written = [Range(0, 2**63 - 1), Range(1, 100_000), Range(0.0, 1.0, below=True), Range(0.0, 1e-4, above=True)]
    assert list(map(str, written)) == ["0..2**63 - 1", "1..100000", "in [0, 1)", "in (0, 0.0001]"]


def test_shipped_recipes_are_within() -> None:
    for name in recipe_names():
        load_recipe(name)
    for name in protocol_names():
        load_finetune_recipe(name)


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("model.fpn_channels=0", "spec.fpn_channels 0 is not between"),
        ("model.head_fc_channels=1000000000", "is not between"),
        ("model.anchors.sizes=[-1,2,3,4]", "spec.anchors.sizes"),
        ('export.data="a\\u0001b"', "control characters"),
        (f"export.data={'x' * 30_000}", "is too long"),
        ("views.crop_scale=[0.9,0.4]", "views.crop_scale: 0.9 is more than 0.4"),
        ("colors.cutout_ratio=[0.3,0.1]", "colors.cutout_ratio"),
    ],
)  # fmt: skip
def test_what_the_export_would_refuse_is_refused_at_the_start(setting: str, words: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe(None, [setting])
    assert words in str(caught.value)
    assert len(str(caught.value).splitlines()) <= 3


@pytest.mark.parametrize(
    ("text", "words"),
    [("extends: a.yaml", "a.yaml extends itself"), ("extends: b.yaml", "extends itself through a.yaml and b.yaml"),
     ("extends: [a, b]", "extends takes one recipe, a name or a file, not ['a', 'b']"),
     ("extends: {a: b}", "extends takes one"), ("extends: 3", "not 3"), ("extends:", "not None")],
)  # fmt: skip
def test_what_a_recipe_extends(text: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.yaml").write_text(text)
    Path("b.yaml").write_text("extends: a.yaml")
    with pytest.raises(RecipeError) as caught:
        load_recipe("a.yaml")
    assert words in str(caught.value)


@pytest.mark.parametrize("value", ["[" * 5000, "9" * 5000, "{a: 1, a: 2}"])
def test_a_setting_of_any_depth_and_length_is_a_recipe_error(value: str) -> None:
    with pytest.raises(RecipeError):
        load_recipe(None, [f"schedule.epochs={value}"])


def test_a_seed_of_any_size_is_one_of_torch() -> None:
    assert iteration_seed(5, 7, 1) == (5 << 40) + (7 << 10) + 1
    assert iteration_seed(2**23 - 1, 2**29, 1023) < 2**63
    large = {iteration_seed(seed, 3, 0) for seed in (2**23, 2**24, 2**40, 2**63 - 1)}
    assert len(large) == 4
    assert max(large) < 2**63


@pytest.mark.parametrize("seeds", [0, -1, 10**9])
def test_seeds_of_a_comparison_have_bounds(seeds: int) -> None:
    with pytest.raises(RecipeError, match=r"--seeds is -?\d+; it must be 1\.\.10000"):
        check_seeds(seeds)
