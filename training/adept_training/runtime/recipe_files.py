"""Recipes as files: bundled ones by name, ``extends``, single values by ``--set``, and back to YAML."""

from __future__ import annotations

import os
import re
import reprlib
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from adept_hub.errors import RecipeError
from adept_hub.io.paths import is_file, not_a, resolved
from adept_hub.io.read import BoundedReader, parse_yaml
from adept_hub.io.schema import check_path, field_paths, to_dict
from adept_hub.words.spelling import did_you_mean, in_words

_FLOAT = re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+", re.ASCII)


def recipe_folder() -> Path:
    """Return the folder of the bundled recipes: inside the installed package, or next to it in a checkout."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "recipes"
    return installed if installed.is_dir() else package.parent / "recipes"


def shipped(folder: Path) -> list[str]:
    """Return the names of the recipes in a folder."""
    return sorted(path.stem for path in folder.glob("*.yaml"))


def read_recipe(
    cls: type[Any], source: str | Path | None, settings: Iterable[str], folder: Path, kind: str, example: str
) -> tuple[str, dict[str, Any]]:
    """Read a recipe with single values changed; return its source, for messages, and its content.

    Args:
        cls: dataclass of the content.
        source: a YAML file, a name in ``folder``, or None for the defaults. A recipe may begin with
            ``extends: <another>`` and contain only the differences.
        settings: ``section.field=value``, the value in YAML.
        kind: the kind of recipe, for messages.
        example: an example of a valid setting.

    Raises:
        RecipeError: the recipe does not exist or is not YAML, or a setting is invalid.
    """
    where, data = _read(source, folder, kind)
    _refuse_renamed(cls, data, where)
    for setting in settings:
        _change(cls, data, setting, example)
    return where, data


def recipe_yaml(recipe: object) -> str:
    """Return the complete recipe, defaults included."""
    text: str = yaml.safe_dump(to_dict(recipe), sort_keys=False)
    return text


def flatten(data: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten nested sections to ``section.field``, as in ``--set``."""
    flat: dict[str, Any] = {}
    for key, value in data.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def sections_as_settings(sections: Mapping[str, Any]) -> list[str]:
    """Return the fields of sections, such as ``{"engine": {"seed": 1}}``, as settings of `read_recipe`.

    Raises:
        RecipeError: a section is not a mapping.
    """
    for name, section in sections.items():
        if not isinstance(section, Mapping):
            raise RecipeError(
                f"{name} takes fields of the recipe, not {reprlib.repr(section)}.\n"
                f'Give them by name: {name}={{"FIELD": VALUE}}; adept recipe lists them.'
            )
    pairs = [(f"{name}.{key}", value) for name, section in sections.items() for key, value in section.items()]
    return [f"{path}={yaml.safe_dump(_plain(value), default_flow_style=True)}" for path, value in pairs]


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _read(
    source: str | Path | None, folder: Path, kind: str, above: tuple[Path, ...] = ()
) -> tuple[str, dict[str, Any]]:  # fmt: skip
    """Read one recipe and those it extends; ``above`` are the files that extend it."""
    if source is None:
        return f"the default {kind}", {}
    path = Path(source)
    if not is_file(path):
        path = folder / f"{source}.yaml"
    if not is_file(path):
        names = shipped(folder)
        if os.path.lexists(source):
            raise RecipeError(f"{not_a('a recipe', Path(source))}\nBundled: {', '.join(names)}")
        hint = did_you_mean(str(source), names)
        raise RecipeError(
            f"There is no {kind} {str(source)!r}, neither a file nor a bundled one.{hint}\nBundled: {', '.join(names)}"
        )
    data = BoundedReader(RecipeError).yaml(path)
    if data is None:
        data = {}
    if isinstance(data, dict) and "extends" in data:
        base = data.pop("extends")
        if not isinstance(base, str):
            raise RecipeError(f"{path}: extends takes one {kind}, a name or a file, not {reprlib.repr(base)}.")
        chain = (*above, resolved(path))
        if any(file == resolved(path) for file in above):
            raise RecipeError(f"{path} extends itself through {' and '.join(file.name for file in above)}.")
        data = _merge(_read(base, folder, kind, chain)[1], data)
    if not isinstance(data, dict):
        raise RecipeError(f"{path}: expected sections such as 'schedule:', found {type(data).__name__}.")
    return str(path), _with_floats(data)


def _with_floats(value: Any) -> Any:
    """Convert 1e-3 to a number: YAML 1.1, which PyYAML reads, needs a dot and parses it as a string."""
    if isinstance(value, dict):
        return {key: _with_floats(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_floats(item) for item in value]
    return float(value) if isinstance(value, str) and _FLOAT.fullmatch(value) else value


def _merge(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Return ``base`` updated with the values of ``changes``, section by section."""
    merged = dict(base)
    for key, value in changes.items():
        below = merged.get(key)
        merged[key] = _merge(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged


def _refuse_renamed(cls: type[Any], data: dict[str, Any], where: str) -> None:
    """Refuse settings that ``cls.RENAMED`` lists, naming those that replace them, with the given value."""
    sections: Mapping[str, Mapping[str, tuple[str, ...]]] = getattr(cls, "RENAMED", {})
    renamed = {
        f"{section}.{old}": [f"{section}.{name}" for name in present]
        for section, fields in sections.items()
        for old, present in fields.items()
    }
    found = {path: value for path, value in flatten(data).items() if path in renamed}
    if found:
        values = {path: value for old, value in found.items() for path in renamed[old]}
        raise RecipeError(
            f"{where}: {' and '.join(found)} {'is' if len(found) == 1 else 'are'} now {', '.join(values)}.\n"
            f"Leave {'it' if len(found) == 1 else 'them'} out, and give: "
            f"{shlex.join(word for path, value in values.items() for word in ('--set', f'{path}={value}'))}"
        )


def _change(cls: type[Any], data: dict[str, Any], setting: str, example: str) -> None:
    path, sign, text = setting.partition("=")
    if not sign or "." not in path:
        meant = [f"{name_path}={text}" for name_path in field_paths(cls) if name_path.rpartition(".")[2] == path]
        raise RecipeError(f"--set takes section.field=value, such as {example}, not {setting!r}.{in_words(meant)}")
    _refuse_renamed(cls, {path: text}, f"--set {setting}")
    check_path(cls, path, f"--set {setting}", RecipeError)
    *sections, name = path.split(".")
    place = data
    for section in sections:
        place = place.setdefault(section, {})
        if not isinstance(place, dict):
            raise RecipeError(f"--set {setting}: {section!r} is not a section.")
    place[name] = _with_floats(parse_yaml(text, f"--set {setting}: {text!r}", RecipeError))
