"""Fields of recipes and of other dataclasses: defaults, bounds and comments, read from the source.

``adept pretrain --list-settings``, ``adept finetune --list-settings``, ``adept recipe`` and docs/reference/ print them.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import json
import textwrap
import types
import typing
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import yaml

from adept_hub.checkpoint.validate_config import MAX_CHANNELS
from adept_hub.io.schema import Length, Range, to_dict
from adept_hub.spec import AnchorSpec, DetectorSpec, LevelSpec


@dataclass(frozen=True)
class Setting:
    """One field of a recipe: where it is, what it is without being stated, what it may be, and what it does."""

    path: str
    default: str
    allowed: str
    text: str


def settings_of(cls: type[Any], default: Any = None, prefix: str = "") -> list[Setting]:
    """Return the settings of a recipe's dataclass in their order, sections within sections as ``section.field``."""
    default = cls() if default is None else default
    comments, settings = _comments(cls), []
    for name, hint in typing.get_type_hints(cls, include_extras=True).items():
        value = getattr(default, name)
        if dataclasses.is_dataclass(hint):
            settings += settings_of(typing.cast("type[Any]", hint), value, f"{prefix}{name}.")
        elif typing.get_origin(hint) is not typing.ClassVar:
            allowed = _within(cls, name) or _allowed(hint)
            settings.append(Setting(f"{prefix}{name}", _yaml(value), allowed, comments.get(name, "")))
    return settings


def fields_of(cls: type[Any]) -> list[Setting]:
    """Return the fields of any dataclass, nested ones left whole; ``allowed`` is the type as written."""
    comments = _comments(cls)
    return [
        Setting(field.name, _default(field), str(field.type), comments.get(field.name, ""))
        for field in dataclasses.fields(cls)
    ]


def _default(field: dataclasses.Field[Any]) -> str:
    if field.default is not dataclasses.MISSING:
        return json.dumps(to_dict(field.default))
    if field.default_factory is dataclasses.MISSING:
        return ""
    value = field.default_factory()
    return "" if dataclasses.is_dataclass(value) else json.dumps(to_dict(value))


def annotated_yaml(recipe: Any, indent: str = "") -> str:
    """Return a recipe as YAML, each field below its comment and its bounds."""
    fields = {one.path: one for one in settings_of(type(recipe), recipe)}
    text = ""
    for name in (field.name for field in dataclasses.fields(recipe)):
        value = getattr(recipe, name)
        if name in fields:
            bounds = f" ({fields[name].allowed})" if fields[name].allowed else ""
            for line in textwrap.wrap(f"{fields[name].text}{bounds}".strip(), 100):
                text += f"{indent}# {line}\n"
            plain = yaml.safe_dump([value], width=1 << 20)[2:] if isinstance(value, str) else json.dumps(to_dict(value))
            text += f"{indent}{name}: {plain.strip()}\n"
        else:
            text += f"{indent}{name}:\n{annotated_yaml(value, f'{indent}  ')}"
    return text


def _allowed(hint: Any) -> str:
    """Describe the allowed values in words."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        bounds = [bound for bound in args[1:] if isinstance(bound, (Range, Length))]
        if bounds and isinstance(bounds[0], Length):
            return f"{_allowed(args[0])}; {bounds[0].low} to {bounds[0].high} of them"
        null = " or null" if type(None) in typing.get_args(args[0]) else ""
        return f"{bounds[0]}{null}" if bounds else _allowed(args[0])
    if origin is Literal:
        return ", ".join(map(str, args))
    if origin in (typing.Union, types.UnionType):
        return " or ".join("null" if arg is type(None) else _allowed(arg) for arg in args)
    if origin is tuple:
        return f"each {_allowed(args[0])}" if len(set(args)) == 1 or args[-1] is Ellipsis else "a list"
    return {bool: "true, false", str: "text"}.get(hint, "")


def _within(cls: type[Any], name: str) -> str:
    """Return the bounds of the architecture that `adept_hub.checkpoint.validate_config.check_config` enforces."""
    if cls is DetectorSpec and name.endswith("channels"):
        return f"1..{MAX_CHANNELS}"
    four = {(AnchorSpec, "sizes"), (LevelSpec, "upper")}
    if cls in (AnchorSpec, LevelSpec) and typing.get_origin(typing.get_type_hints(cls)[name]) is tuple:
        return f"{'four' if (cls, name) in four else '1 to 16'} numbers, each in (0, 1e+06)"
    return ""


def _yaml(value: Any) -> str:
    """Format a value as for ``--set``, with fractions rounded to four digits."""

    def rounded(item: Any) -> Any:
        if isinstance(item, list):
            return [rounded(each) for each in item]
        return float(f"{item:.4g}") if isinstance(item, float) else item

    plain = rounded(to_dict(value))
    return plain if isinstance(plain, str) else json.dumps(plain)


def _comments(cls: type[Any]) -> dict[str, str]:
    """Return the comments ``#:`` above the fields of a dataclass, as plain text."""
    source = textwrap.dedent(inspect.getsource(cls))
    written, (node,) = source.splitlines(), ast.parse(source).body
    found: dict[str, str] = {}
    for field in typing.cast("ast.ClassDef", node).body:
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            above: list[str] = []
            for line in reversed(written[: field.lineno - 1]):
                if not line.strip().startswith("#:"):
                    break
                above.insert(0, line.strip().removeprefix("#:").strip())
            found[field.target.id] = " ".join(above).replace("``", "`")
    return found
