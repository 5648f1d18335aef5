"""models.json as typed, immutable values, parsed entry by entry when one is asked for.

Ten thousand entries cost the reading of their JSON and no more; an entry is validated when it is used.
"""

from __future__ import annotations

import functools
import json
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from adept_hub.errors import RegistryError, UnknownModelError, UnpublishedWeightsError
from adept_hub.names import split_name
from adept_hub.registry.entries import ArchitectureEntry, CheckpointEntry, ModelInfo, check_entry
from adept_hub.schema import from_dict


@dataclass(frozen=True)
class _File:
    format_version: int
    architectures: dict[str, Any]
    checkpoints: dict[str, Any] = field(default_factory=dict)
    defaults: dict[str, str] = field(default_factory=dict)
    deprecated: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Origin:
    """Which file an entry comes from; ``base`` is the folder that its bundled checkpoints are in."""

    where: str
    base: Path


class Registry(Mapping[str, ModelInfo]):
    """Every entry by its full name, from one or several files; the first file is the package's own.

    ``defaults`` are names that stand for others (``adept_joint``, an architecture for its default tag),
    ``deprecated`` those that still work and warn.
    """

    def __init__(self) -> None:
        self._raw: dict[str, Any] = {}
        self._origins: dict[str, _Origin] = {}
        self._parsed: dict[str, ModelInfo] = {}
        self._methods: dict[str, str] = {}
        self.defaults: dict[str, str] = {}
        self.deprecated: dict[str, str] = {}

    def add(self, data: object, where: str, base: Path) -> None:
        """Add the entries of one file.

        Raises:
            RegistryError: a field is unknown, missing or of the wrong type, or a name is taken or leads nowhere.
        """
        file = from_dict(_File, data, where, RegistryError)
        if file.format_version != 1:
            raise RegistryError(f"{where} has format {file.format_version}, this version reads format 1.")
        origin = _Origin(where, base)
        taken = {*self._raw, *self.defaults, *self.deprecated}
        for group in (file.architectures, file.checkpoints, file.defaults, file.deprecated):
            if twice := taken & group.keys():
                raise RegistryError(f"{where}: the name {min(twice)!r} is taken.\nGive yours another name or tag.")
            taken |= group.keys()
        for name, raw in file.architectures.items():
            method = raw.get("method") if isinstance(raw, dict) else None
            if not isinstance(method, str):
                raise RegistryError(f"{where}: {name!r} has no method.")
            self._methods[name] = method
        for name in file.checkpoints:
            architecture, tag = split_name(name)
            if not tag or architecture not in self._methods:
                raise RegistryError(f"{where}: {name!r} is no tag of a known architecture.")
        for group in (file.architectures, file.checkpoints):
            self._raw.update(group)
            self._origins.update(dict.fromkeys(group, origin))
        for names in (file.defaults, file.deprecated):
            if lost := [f"{name} -> {target}" for name, target in names.items() if target not in self._raw]:
                raise RegistryError(f"{where}: {lost[0]} leads to no entry.")
        self.defaults |= file.defaults
        self.deprecated |= file.deprecated

    def __getitem__(self, name: str) -> ModelInfo:
        if name not in self._parsed:
            self._parsed[name] = self._parse(name)
        return self._parsed[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._raw)

    def __len__(self) -> int:
        return len(self._raw)

    def method_of(self, name: str) -> str:
        """The method of an entry, without parsing it."""
        return self._methods[split_name(name)[0]]

    def _parse(self, name: str) -> ModelInfo:
        raw, origin = self._raw[name], self._origins[name]
        architecture, tag = split_name(name)
        where = f"{origin.where}: {name}"
        if not tag:
            arch = from_dict(ArchitectureEntry, raw, where, RegistryError)
            return ModelInfo(name=name, **vars(arch))
        point = from_dict(CheckpointEntry, raw, where, RegistryError)
        check_entry(point, where)
        base = self[architecture]
        aliases = tuple(alias for alias, target in self.defaults.items() if target == name)
        fields = {**vars(point), "summary": point.summary or base.summary}
        return ModelInfo(name=name, method=base.method, spec=base.spec, aliases=aliases, base=origin.base, **fields)

    def resolve(self, name: str) -> ModelInfo:
        """The entry that a user's name means: a full name, an alias, an architecture or a deprecated name, which warns.

        Raises:
            UnknownModelError: no such name; the nearest are shown.
        """
        if name in self.deprecated:
            target = self.deprecated[name]
            warnings.warn(f"The model name {name!r} is deprecated: use {target!r}.", FutureWarning, stacklevel=3)
            name = target
        target = self.defaults.get(name, name)
        if target not in self._raw:
            raise UnknownModelError(name, [*self._raw, *self.defaults])
        return self[target]

    def resolve_pretrained(self, name: str) -> ModelInfo:
        """Like `resolve`, for a name whose weights are wanted; an architecture means its first published tag.

        Raises:
            UnpublishedWeightsError: the architecture exists, weights of it are not published.
        """
        info = self.resolve(name)
        if not info.tag:
            tags = (other for other in self._raw if split_name(other)[0] == info.name and other != info.name)
            info = next((self[other] for other in tags if self[other].pretrained), info)
        if info.pretrained:
            return info
        others = [other for other in self._raw if split_name(other)[1] and self[other].pretrained]
        published = f"Published: {', '.join(others[:8])}." if others else "Nothing is published yet."
        raise UnpublishedWeightsError(
            f"{name!r} has no published weights. {published}\n"
            f"Train them: adept pretrain --images PHOTOS --method {info.method} --out runs/mine"
        )

    def names(self, method: str | None, pretrained: bool) -> list[str]:
        """Full names of checkpoints with published weights, or of architectures; unsorted, no entry parsed."""
        return [
            name
            for name, raw in self._raw.items()
            if (split_name(name)[1] != "") == pretrained
            and (not pretrained or _is_published(raw))
            and (method is None or self.method_of(name) == method)
        ]


def _is_published(raw: object) -> bool:
    return isinstance(raw, dict) and isinstance(raw.get("location"), dict)


def parse_registry(data: object, where: str = "models.json", base: Path = Path()) -> Registry:
    """A registry of one file, from its JSON values; see `Registry.add`."""
    parsed = Registry()
    parsed.add(data, where, base)
    return parsed


def read_registry_file(path: Path) -> object:
    """The JSON values of a registry file.

    Raises:
        RegistryError: there is no such file, or it is not JSON.
    """
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise RegistryError(f"The registry {path} cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise RegistryError(f"The registry {path} is not JSON: {error}.") from error


@functools.lru_cache(maxsize=4)
def load_registry(*files: tuple[Path, Path]) -> Registry:
    """One registry from several files, each read once.

    Args:
        files: a JSON file and the folder that its bundled checkpoints are in, each.
    """
    merged = Registry()
    for path, base in files:
        merged.add(read_registry_file(path), path.name, base)
    return merged
