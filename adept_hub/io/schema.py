"""Convert plain JSON or YAML values to frozen dataclasses and back, strictly: an unknown or missing field raises."""

from __future__ import annotations

import dataclasses
import functools
import math
import reprlib
import types
import typing
from typing import Annotated, Any, Literal, TypeVar

from adept_hub.errors import AdeptError, CheckpointError
from adept_hub.words.spelling import did_you_mean, in_words, nearest

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Range:
    """The range of a number, declared with its field: ``seed: Annotated[int, Range(0, 2**63 - 1)] = 0``.

    Attributes:
        low: minimum.
        high: maximum.
        above: ``low`` itself is excluded.
        below: ``high`` itself is excluded.
    """

    low: float
    high: float
    above: bool = False
    below: bool = False

    def holds(self, value: float) -> bool:
        """Check whether a value is within the range; NaN is not."""
        return (self.low < value if self.above else self.low <= value) and (
            value < self.high if self.below else value <= self.high
        )

    def __str__(self) -> str:
        if isinstance(self.low, int) and isinstance(self.high, int) and not (self.above or self.below):
            return f"{self.low}..{_power(self.high)}"
        return f"in {'(' if self.above else '['}{self.low:g}, {self.high:g}{')' if self.below else ']'}"


@dataclasses.dataclass(frozen=True)
class Length:
    """The length of a list: ``sides: Annotated[tuple[int, ...], Length(1, 100)]``."""

    low: int
    high: int


def _power(value: int) -> str:
    large = value >= 1 << 20
    for text, power in (("", value), (" - 1", value + 1)) if large else ():
        if power & (power - 1) == 0:
            return f"2**{power.bit_length() - 1}{text}"
    return str(value)


def to_dict(value: Any, *, complete: bool = False) -> Any:
    """Convert a dataclass to plain JSON values (tuples become lists).

    A field with `adept_hub.spec.OPTIONAL` as metadata is omitted if it has its default, unless ``complete``.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            f.name: to_dict(getattr(value, f.name), complete=complete)
            for f in dataclasses.fields(value)
            if complete or not (f.metadata.get("omit_default") and getattr(value, f.name) == f.default)
        }
    if isinstance(value, (tuple, list)):
        return [to_dict(item, complete=complete) for item in value]
    if isinstance(value, dict):
        return {str(key): to_dict(item, complete=complete) for key, item in value.items()}
    return value


def from_dict(cls: type[T], data: object, where: str = "config", error: type[AdeptError] = CheckpointError) -> T:
    """Build the dataclass ``cls`` from plain JSON values; the exact inverse of `to_dict`.

    Args:
        cls: a frozen dataclass, nested to any depth.
        data: the mapping.
        where: the name of the mapping in messages, such as a file's path.
        error: the class of the error.

    Raises:
        error: a field is unknown, missing, of the wrong type or outside its `Range` or `Length`, or a number is not
            finite; the message has the path of the field.
    """
    try:
        return _build(cls, data, where)
    except _Bounds as bounds:
        path, why = bounds.args
        raise error(f"{path.removeprefix(f'{where}.')} {why} ({where}).") from None
    except _Mismatch as mismatch:
        raise error(str(mismatch)) from None


def field_paths(cls: type[Any]) -> list[str]:
    """Return every field of nested dataclasses as ``section.field``."""
    return list(_paths(cls))  # type: ignore[arg-type]  # mypy does not treat a class as hashable


@functools.cache  # each value of a recipe asks for them, and they take 20 ms
def _paths(cls: type[Any], prefix: str = "") -> tuple[str, ...]:
    paths: list[str] = []
    for name, inner in typing.get_type_hints(cls).items():
        if dataclasses.is_dataclass(inner):
            paths += _paths(typing.cast("type[Any]", inner), f"{prefix}{name}.")  # type: ignore[arg-type]
        elif typing.get_origin(inner) is not typing.ClassVar:
            paths.append(f"{prefix}{name}")
    return tuple(paths)


def check_path(cls: type[Any], path: str, where: str, error: type[AdeptError]) -> None:
    """Refuse a ``section.field`` that nested dataclasses do not have.

    Raises:
        error: the message begins with ``where`` and suggests the closest fields.
    """
    paths = field_paths(cls)
    if any(path == field or field.startswith(f"{path}.") or path.startswith(f"{field}.") for field in paths):
        return
    section, _, name = path.rpartition(".")
    here = [field.rpartition(".")[2] for field in paths if field.rpartition(".")[0] == section]
    elsewhere = [field for field in paths if field.rpartition(".")[2] == name]
    meant = elsewhere or [f"{section}.{other}" for other in nearest(name, here)] or nearest(path, paths)
    names = ", ".join(here or (f.name for f in dataclasses.fields(cls)))
    raise error(
        f"{where}: unknown field {(f'{name[:100]!r} in {section!r}' if here else repr(path[:100]))}.{in_words(meant)}\n"
        f"{f'Fields of {section}' if here else 'Sections'}: {names}."
    )


class _Mismatch(Exception):  # noqa: N818  # never leaves this module
    pass


class _Bounds(_Mismatch):
    """A value of the right type that is out of range: its path and the reason."""


def _build(cls: type[T], data: object, where: str) -> T:
    if not isinstance(data, dict):
        raise _Mismatch(f"{where}: expected a mapping, found {type(data).__name__}.")
    hints, fields = _declared(cls)  # type: ignore[arg-type]  # mypy does not treat a class as hashable
    if unknown := sorted(map(str, set(data) - set(fields))):
        hint = did_you_mean(unknown[0], fields)
        raise _Mismatch(f"{where}: unknown field {reprlib.repr(unknown[0])}. Known: {', '.join(fields)}.{hint}")
    values: dict[str, Any] = {}
    for name, spec in fields.items():
        if name in data:
            values[name] = _coerce(hints[name], data[name], f"{where}.{name}")
        elif spec.default is dataclasses.MISSING and spec.default_factory is dataclasses.MISSING:
            raise _Mismatch(f"{where}: the field {name!r} is missing.")
    return cls(**values)


@functools.cache
def _declared(cls: type[Any]) -> tuple[dict[str, Any], dict[str, dataclasses.Field[Any]]]:
    return typing.get_type_hints(cls, include_extras=True), {f.name: f for f in dataclasses.fields(cls)}


def _coerce(hint: Any, value: Any, where: str) -> Any:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return value
    if origin is Annotated:
        return _bounded(_coerce(args[0], value, where), args[1:], where)
    if dataclasses.is_dataclass(hint):
        return _build(typing.cast("type[Any]", hint), value, where)
    if origin is Literal:
        if value not in args or isinstance(value, bool) != isinstance(args[0], bool):
            meant = did_you_mean(value, [arg for arg in args if isinstance(arg, str)])
            raise _Mismatch(f"{where}: {reprlib.repr(value)} is not one of {', '.join(map(repr, args))}.{meant}")
        return args[args.index(value)]  # 18.0 becomes 18
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in args:
            return None
        return _coerce(next(a for a in args if a is not type(None)), value, where)
    if origin is tuple:
        return _coerce_tuple(args, value, where)
    if origin is dict:
        if not isinstance(value, dict):
            raise _Mismatch(f"{where}: expected a mapping, found {reprlib.repr(value)}.")
        if args[1] is Any:
            return {str(key): item for key, item in value.items()}
        return {str(key): _coerce(args[1], item, f"{where}.{str(key)[:80]!r}") for key, item in value.items()}
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        if abs(value) > 1 << 64:
            raise _Mismatch(f"{where}: {reprlib.repr(value)} is too large.")
        return float(value)
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        raise _Mismatch(f"{where}: expected {hint.__name__}, found {reprlib.repr(value)}.")
    if isinstance(value, float) and not math.isfinite(value):
        raise _Bounds(where, f"is {value}; it must be finite")
    return value


def _bounded(value: Any, bounds: tuple[Any, ...], where: str) -> Any:
    """Return the value if it is within the field's bounds, or an allowed null."""
    for bound in bounds:
        if isinstance(bound, Range) and value is not None and not bound.holds(value):
            raise _Bounds(where, f"is {reprlib.repr(value)}; it must be {bound}")
        if isinstance(bound, Length) and not bound.low <= len(value) <= bound.high:
            number = f"{bound.low}" if bound.low == bound.high else f"{bound.low} to {bound.high}"
            raise _Bounds(where, f"has {len(value)} values; it must have {number}")
    return value


def _coerce_tuple(args: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    if not isinstance(value, (list, tuple)):
        raise _Mismatch(f"{where}: expected a list, found {reprlib.repr(value)}.")
    if len(args) == 2 and args[1] is Ellipsis:
        return tuple(_coerce(args[0], item, f"{where}[{i}]") for i, item in enumerate(value))
    if len(args) != len(value):
        raise _Mismatch(f"{where}: expected {len(args)} values, found {len(value)}.")
    return tuple(_coerce(arg, item, f"{where}[{i}]") for i, (arg, item) in enumerate(zip(args, value, strict=True)))
