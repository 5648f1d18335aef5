"""models.json as typed, immutable values, and timm's two questions: which models are there, and what is this one?"""

from __future__ import annotations

import fnmatch
import functools
import json
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from adept_hub.errors import UnknownModelError, UnpublishedWeightsError
from adept_hub.names import split_name
from adept_hub.schema import from_dict
from adept_hub.spec import DetectorSpec, Metric

#: Folder of the checkpoints that travel inside the package.
BUNDLED = Path(__file__).parent.parent / "bundled"
_MODELS = Path(__file__).with_name("models.json")


@dataclass(frozen=True)
class Location:
    """Where the files of a checkpoint are: inside the package, or on the Hub at a pinned commit."""

    bundled: str = ""
    repo: str = ""
    revision: str = ""


@dataclass(frozen=True)
class ModelInfo:
    """One entry of the registry: an architecture, or an architecture with a tag and published weights.

    ``size`` is that of model.safetensors in bytes, ``sha256`` its digest; both are empty without weights.
    """

    name: str
    method: str
    spec: DetectorSpec
    summary: str = ""
    location: Location | None = None
    sha256: str = ""
    size: int = 0
    licence: str = ""
    data: str = ""
    images: int = 0
    epochs: float = 0.0
    metrics: tuple[Metric, ...] = ()
    aliases: tuple[str, ...] = ()

    @property
    def architecture(self) -> str:
        """The name without its tag."""
        return split_name(self.name)[0]

    @property
    def tag(self) -> str:
        """What the weights were trained on; empty for an architecture alone."""
        return split_name(self.name)[1]

    @property
    def pretrained(self) -> bool:
        """Whether weights are published."""
        return self.location is not None


@dataclass(frozen=True)
class _Architecture:
    method: str
    spec: DetectorSpec
    summary: str = ""


@dataclass(frozen=True)
class _Checkpoint:
    location: Location
    sha256: str
    size: int
    licence: str
    data: str
    images: int
    epochs: float
    summary: str = ""
    metrics: tuple[Metric, ...] = ()


@dataclass(frozen=True)
class _File:
    format_version: int
    architectures: dict[str, Any]
    checkpoints: dict[str, Any]
    defaults: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Registry:
    """All entries by name, and the names that stand for others (``adept_joint``, untagged architectures)."""

    entries: MappingProxyType[str, ModelInfo]
    defaults: MappingProxyType[str, str]

    def resolve(self, name: str) -> ModelInfo:
        """The entry that a user's name means: a full name, an alias, or an architecture (its default tag if any).

        Raises:
            UnknownModelError: no such name; the nearest are shown.
        """
        target = self.defaults.get(name, name)
        if target not in self.entries:
            raise UnknownModelError(name, [*self.entries, *self.defaults])
        return self.entries[target]

    def resolve_pretrained(self, name: str) -> ModelInfo:
        """Like `resolve`, for a name whose weights are wanted.

        Raises:
            UnpublishedWeightsError: the architecture exists, weights of it are not published.
        """
        info = self.resolve(name)
        if info.pretrained:
            return info
        others = [entry.name for entry in self.entries.values() if entry.pretrained]
        published = f"Published: {', '.join(others)}." if others else "Nothing is published yet."
        raise UnpublishedWeightsError(
            f"{name!r} has no published weights. {published}\n"
            f"Train them: adept pretrain --images PHOTOS --method {info.method} --out runs/mine"
        )


def parse_registry(data: object, where: str = "models.json") -> Registry:
    """A registry from the JSON values of models.json.

    Raises:
        CheckpointError: a field is unknown, missing or of the wrong type.
        UnknownModelError: a checkpoint or default names something that is not there.
    """
    file = from_dict(_File, data, where)
    entries: dict[str, ModelInfo] = {}
    for name, raw in file.architectures.items():
        arch = from_dict(_Architecture, raw, f"{where}: {name}")
        entries[name] = ModelInfo(name=name, method=arch.method, spec=arch.spec, summary=arch.summary)
    aliases: dict[str, list[str]] = {}
    for alias, target in file.defaults.items():
        aliases.setdefault(target, []).append(alias)
    for name, raw in file.checkpoints.items():
        point = from_dict(_Checkpoint, raw, f"{where}: {name}")
        base = entries.get(split_name(name)[0])
        if base is None:
            raise UnknownModelError(split_name(name)[0], file.architectures)
        entries[name] = ModelInfo(
            name=name, method=base.method, spec=base.spec, aliases=tuple(aliases.get(name, ())), **vars(point)
        )
    for target in file.defaults.values():
        if target not in entries:
            raise UnknownModelError(target, entries)
    return Registry(MappingProxyType(entries), MappingProxyType(dict(file.defaults)))


@functools.lru_cache(maxsize=1)
def registry() -> Registry:
    """The package's own registry."""
    return parse_registry(json.loads(_MODELS.read_text(encoding="utf-8")))


def list_models(filter: str = "*", *, method: str | None = None, pretrained: bool = False) -> list[str]:  # noqa: A002
    """Names of models, sorted, as in timm.

    Args:
        filter: a pattern with ``*`` and ``?``; with ``pretrained`` it is matched with and without the tag.
        method: only this method (``adept_joint``, ``adept_separate``, ``soco``, ...).
        pretrained: names with tags whose weights are published; otherwise architectures.
    """
    return sorted(
        name
        for name, info in registry().entries.items()
        if (info.pretrained if pretrained else not info.tag)
        and (method is None or info.method == method)
        and (fnmatch.fnmatchcase(name, filter) or fnmatch.fnmatchcase(info.architecture, filter))
    )


def model_info(name: str) -> ModelInfo:
    """All that the registry knows of a model.

    Raises:
        UnknownModelError: no such name; the nearest are shown.
    """
    return registry().resolve(name)
