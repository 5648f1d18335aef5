"""The model registry: models.json, users' own registries, and timm-like functions to query them.

This module neither imports torch nor uses the network. To register further models, write a JSON file of the same
schema and add its path to the environment variable ``ADEPT_REGISTRY`` (several paths: separated as in ``PATH``), or
declare an entry point of the group ``adept_hub.registries`` whose object is the path or a function that returns it. A
``bundled`` location is then a folder next to that file.
"""

from __future__ import annotations

import fnmatch
import functools
import os
import re
from collections.abc import Callable, Iterable
from importlib.metadata import entry_points
from pathlib import Path

from adept_hub.arguments.calls import checked
from adept_hub.arguments.choices import check_choice
from adept_hub.errors import RegistryError, UnknownModelError, UnpublishedWeightsError
from adept_hub.io.paths import expanded
from adept_hub.registry.entries import Location, ModelInfo
from adept_hub.registry.reader import Registry, parse_registry, read_registry
from adept_hub.spec import METHODS
from adept_hub.words.command_line import command_line

__all__ = [
    "Location",
    "ModelInfo",
    "Registry",
    "is_model",
    "is_model_pretrained",
    "list_models",
    "list_pretrained",
    "model_info",
    "parse_registry",
    "read_registry",
    "registry",
    "registry_files",
]

#: Folder of the checkpoints that are bundled with the package.
BUNDLED = Path(__file__).parent.parent / "bundled"
MODELS = Path(__file__).with_name("models.json")
GROUP = "adept_hub.registries"


@functools.lru_cache(maxsize=4)
def _read_once(files: tuple[tuple[Path, Path], ...], _stamps: tuple[tuple[int, ...], ...]) -> Registry:
    return read_registry(*files)


def _stamp(path: Path) -> tuple[int, ...]:
    """Return what changes with the content of a file; empty if it cannot be looked at, which reading it reports."""
    try:
        state = path.stat()
    except OSError:
        return ()
    return state.st_ino, state.st_size, state.st_mtime_ns


def registry() -> Registry:
    """Return the package's registry merged with those of the user, read again if one of the files has changed.

    Raises:
        RegistryError: a file cannot be read, or reuses a name of another one.
    """
    files = registry_files()
    return _read_once(files, tuple(_stamp(path) for path, _ in files))


def registry_files() -> tuple[tuple[Path, Path], ...]:
    """Return every registry file with the folder of its bundled checkpoints, the package's own first."""
    named = os.environ.get("ADEPT_REGISTRY", "")
    own = (expanded(text, RegistryError).absolute() for text in named.split(os.pathsep) if text)
    return (MODELS, BUNDLED), *((path, path.parent) for path in (*_installed(), *own))


@functools.cache
def _installed() -> tuple[Path, ...]:
    """Return the registry files of installed packages, sorted by the names of their entry points."""
    files = []
    for entry in sorted(entry_points(group=GROUP), key=lambda e: e.name):
        value = entry.load()
        value = value() if callable(value) else value
        if not isinstance(value, (str, os.PathLike)):
            raise RegistryError(f"The entry point {entry.name!r} of {GROUP} returns {value!r}, which is not a path.")
        files.append(Path(value))
    return tuple(files)


@checked
def list_models(
    filter: str | Iterable[str] = "",  # noqa: A002  # timm's name
    *,
    exclude_filters: str | Iterable[str] = (),
    method: str | None = None,
    pretrained: bool = False,
) -> list[str]:
    """List the names of models in alphabetical order, with patterns as in timm.

    Args:
        filter: a pattern with ``*`` and ``?``, or several of which at least one must match; with ``pretrained`` each is
            matched with and without the tag. Empty: all names.
        exclude_filters: patterns of names to exclude, matched in the same way.
        method: only models of this method (``adept_joint``, ``adept_separate``, ``soco``, ...).
        pretrained: list names with tags whose weights are published; otherwise architectures.

    Raises:
        OptionValueError: the method does not exist.

    Example:
        >>> import adept_hub
        >>> adept_hub.list_models("adept_joint_r5*")
        ['adept_joint_r50_fpn']
        >>> adept_hub.list_models("adept*", pretrained=True)
        ['adept_joint_r18_fpn128.caltech101', 'adept_separate_r18_fpn128.caltech101']
    """
    entries = registry()
    if method is not None:
        check_choice("method", method, dict.fromkeys((*METHODS, *(info.method for info in entries.values()))))
    names = entries.names(method, pretrained)
    if wanted := _matcher(filter):
        names = [name for name in names if wanted(name) or wanted(name.partition(".")[0])]
    if unwanted := _matcher(exclude_filters):
        names = [name for name in names if not (unwanted(name) or unwanted(name.partition(".")[0]))]
    return sorted(names)


@checked
def list_pretrained(filter: str | Iterable[str] = "", *, exclude_filters: str | Iterable[str] = ()) -> list[str]:  # noqa: A002
    """List the names of published weights: `list_models` with ``pretrained=True``, as in timm."""
    return list_models(filter, exclude_filters=exclude_filters, pretrained=True)


@checked
def is_model(name: str) -> bool:
    """Check whether a name is registered: a full name, an alias, an architecture or a deprecated name."""
    entries = registry()
    return name in entries or name in entries.defaults or name in entries.deprecated


@checked
def is_model_pretrained(name: str) -> bool:
    """Check whether a name has published weights that `adept_hub.load_pretrained` can load."""
    try:
        return registry().resolve_pretrained(name).pretrained
    except (UnknownModelError, UnpublishedWeightsError):
        return False


def _matcher(patterns: str | Iterable[str]) -> Callable[[str], object] | None:
    several = [patterns] if isinstance(patterns, str) else patterns
    translated = "|".join(fnmatch.translate(pattern) for pattern in several if pattern)
    return re.compile(translated).match if translated else None


@checked
def model_info(name: str) -> ModelInfo:
    """Return the registry's entry for a model.

    Raises:
        UnknownModelError: the name is not registered; the message suggests the closest ones.

    Example:
        >>> import adept_hub
        >>> info = adept_hub.model_info("adept_joint")
        >>> info.name, info.spec.depth, info.license
        ('adept_joint_r18_fpn128.caltech101', 18, 'cc-by-4.0')
    """
    registry().refuse_other_sources(name, f"Of any other source: {command_line('info', name)}")
    return registry().resolve(name)
