"""Read config files of other frameworks as plain values, without executing anything in them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from adept_hub.errors import CheckpointError, MissingExtraError
from adept_hub.io.paths import expanded, is_file, resolved, what_is
from adept_hub.io.read import BoundedReader

_READER = BoundedReader(CheckpointError)

#: A longer chain of bases is a loop, or not a config that a person wrote.
_MAX_BASES = 50


def read_plain_config(path: Path, base_key: str, run_python: Callable[[Path], Mapping[str, Any]]) -> dict[str, Any]:
    """Read a YAML or JSON config with all of its bases.

    Args:
        path: the file. YAML tags that would build Python objects are refused.
        base_key: the field with the path of one base or a list of paths, relative to the file.
        run_python: called with the path of each base that is a Python file.

    Returns:
        The merged values, without ``base_key``. A mapping with ``_delete_: true`` replaces its base.

    Raises:
        CheckpointError: a file is missing, malformed or based on itself.
        MissingExtraError: PyYAML is not installed.
    """
    return _read(path, base_key, run_python, ())


def _read(
    path: Path, base_key: str, run_python: Callable[[Path], Mapping[str, Any]], above: tuple[Path, ...]
) -> dict[str, Any]:
    if path.suffix == ".py":
        return dict(run_python(path))
    if not is_file(path):  # including a link to itself, which cannot be resolved
        based = f" (a base of {above[-1]})" if above else ""
        raise CheckpointError(f"{path}{based} {what_is(path)}; a config file is needed.")
    file = resolved(path)
    if file in above or len(above) >= _MAX_BASES:
        raise CheckpointError(f"{path} is based on itself: remove it from {base_key} in {above[-1]}.")
    data = _parse(path)
    bases = data.pop(base_key, None) or []
    names = bases if isinstance(bases, list) else [bases]
    if not all(isinstance(name, str) for name in names):
        raise CheckpointError(f"{path}: {base_key} must be a path or a list of paths.")
    merged: dict[str, Any] = {}
    for name in names:
        base = path.parent / expanded(name, CheckpointError)
        merged = overlay(merged, _read(base, base_key, run_python, (*above, file)))
    return overlay(merged, data)


def _parse(path: Path) -> dict[str, Any]:
    try:
        data = _READER.json(path) if path.suffix == ".json" else _READER.yaml(path)
    except ModuleNotFoundError as error:
        raise MissingExtraError("Reading a config", "train", "pyyaml") from error
    if not isinstance(data, dict):
        raise CheckpointError(f"{path} is not a config: expected a mapping, found {type(data).__name__}.")
    return data


def overlay(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Merge ``over`` into ``base``, mapping by mapping; ``_delete_: true`` in ``over`` replaces the base's mapping."""
    if over.get("_delete_") is True:
        return {key: item for key, item in over.items() if key != "_delete_"}
    merged = dict(base)
    for key, item in over.items():
        old = merged.get(key)
        if isinstance(item, Mapping):
            merged[key] = overlay(old if isinstance(old, Mapping) else {}, item)
        else:
            merged[key] = item
    return merged


def refuse_python(path: Path) -> Mapping[str, Any]:
    raise CheckpointError(
        f"{path} is a Python config: reading it would execute it.\n"
        "If you trust it, add --run-config (in Python: run_config=True); .yaml and .json configs are never executed."
    )
