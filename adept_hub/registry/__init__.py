"""What models exist: models.json, others' registries, and timm's two questions about them.

Imports neither torch nor the network. Others add their own models by a JSON file of the same form: named in the
environment variable ``ADEPT_REGISTRY`` (several: separated as in ``PATH``), or by an entry point of the group
``adept_hub.registries`` whose object is the file's path or a function that returns it. A ``bundled`` location is then
a folder beside that file.
"""

from __future__ import annotations

import fnmatch
import functools
import os
import re
from importlib.metadata import entry_points
from pathlib import Path

from adept_hub.errors import RegistryError
from adept_hub.names import split_name
from adept_hub.registry.entries import Location, ModelInfo
from adept_hub.registry.reader import Registry, load_registry, parse_registry

__all__ = ["Location", "ModelInfo", "Registry", "list_models", "model_info", "parse_registry", "registry"]

#: Folder of the checkpoints that travel inside the package.
BUNDLED = Path(__file__).parent.parent / "bundled"
MODELS = Path(__file__).with_name("models.json")
GROUP = "adept_hub.registries"


def registry() -> Registry:
    """The package's own registry and those of the user.

    Raises:
        RegistryError: one of them cannot be read, or takes a name of another.
    """
    named = os.environ.get("ADEPT_REGISTRY", "")
    own = (Path(text).expanduser().absolute() for text in named.split(os.pathsep) if text)
    return load_registry((MODELS, BUNDLED), *((path, path.parent) for path in (*_installed(), *own)))


@functools.cache
def _installed() -> tuple[Path, ...]:
    """Registry files of installed packages, by the name of their entry points."""
    found = []
    for entry in sorted(entry_points(group=GROUP), key=lambda e: e.name):
        value = entry.load()
        value = value() if callable(value) else value
        if not isinstance(value, (str, os.PathLike)):
            raise RegistryError(f"The entry point {entry.name!r} of {GROUP} gives {value!r}, which is no path.")
        found.append(Path(value))
    return tuple(found)


def list_models(filter: str = "*", *, method: str | None = None, pretrained: bool = False) -> list[str]:  # noqa: A002
    """Names of models, sorted, as in timm.

    Args:
        filter: a pattern with ``*`` and ``?``; with ``pretrained`` it is matched with and without the tag.
        method: only this method (``adept_joint``, ``adept_separate``, ``soco``, ...).
        pretrained: names with tags whose weights are published; otherwise architectures.
    """
    matches = re.compile(fnmatch.translate(filter)).match
    names = registry().names(method, pretrained)
    return sorted(name for name in names if matches(name) or matches(split_name(name)[0]))


def model_info(name: str) -> ModelInfo:
    """All that the registry knows of a model.

    Raises:
        UnknownModelError: no such name; the nearest are shown.
    """
    return registry().resolve(name)
