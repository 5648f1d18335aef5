"""models.json as typed, immutable values, parsed entry by entry when one is asked for.

Ten thousand entries cost the reading of their JSON and no more; an entry is validated when it is used, and all of them
by `check_registry` (``adept verify --registries``).
"""

from __future__ import annotations

import functools
import gc
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adept_hub.errors import RegistryError, UnknownModelError, UnpublishedWeightsError
from adept_hub.io.read import BoundedReader, parse_json
from adept_hub.names import is_name, split_name
from adept_hub.registry.lines import is_published_line, parse_line, read_lines
from adept_hub.words.spelling import did_you_mean

if TYPE_CHECKING:
    from adept_hub.registry.entries import ModelInfo

#: Ten thousand entries have 6 MB.
MAX_REGISTRY_BYTES = 256 << 20
_DOOR = BoundedReader(RegistryError, MAX_REGISTRY_BYTES, remedy="Name a JSON file in ADEPT_REGISTRY.")
FORMAT_VERSION = 2
_GROUPS = ("architectures", "checkpoints", "defaults", "deprecated")


class Registry(Mapping[str, "ModelInfo"]):
    """Every entry by its full name, from one or several files; the first file is the package's own.

    ``defaults`` are names that stand for others (``adept_joint``, an architecture for its default tag),
    ``deprecated`` those that still work and warn.
    """

    def __init__(self) -> None:
        self._raw: dict[str, Any] = {}
        self._origins: dict[str, tuple[str, Path]] = {}  # which file, and the folder of its bundled checkpoints
        self._parsed: dict[str, ModelInfo] = {}
        self._methods: dict[str, str] = {}
        self.defaults: dict[str, str] = {}
        self.deprecated: dict[str, str] = {}

    def add(self, data: object, where: str, base: Path) -> None:
        """Add the entries of one file.

        Raises:
            RegistryError: a field is unknown, missing or of the wrong type, or a name is taken or leads nowhere.
        """
        groups = architectures, checkpoints, defaults, deprecated = _groups(data, where)
        for i, group in enumerate(groups):
            for others in (self._raw, self.defaults, self.deprecated, *groups[:i]):
                if twice := others.keys() & group.keys():
                    raise RegistryError(f"{where}: the name {min(twice)!r} is taken.\nGive yours another name or tag.")
        for name, raw in architectures.items():
            method = raw.get("method") if isinstance(raw, dict) else None
            if not isinstance(method, str) or not is_name(name) or split_name(name)[1]:
                raise RegistryError(f"{where}: {name[:200]!r} has no method, or is no name of an architecture.")
            self._methods[name] = method
        for name in checkpoints:
            architecture, dot, _ = name.partition(".")
            if not dot or architecture not in self._methods:
                raise RegistryError(f"{where}: {name[:200]!r} is no tag of a known architecture.")
        for group in (architectures, checkpoints):
            self._raw.update(group)
            self._origins.update(dict.fromkeys(group, (where, base)))
        for names in (defaults, deprecated):
            if lost := [f"{name} -> {target}" for name, target in names.items() if target not in self._raw]:
                raise RegistryError(f"{where}: {lost[0]} leads to no entry.")
        self.defaults |= defaults
        self.deprecated |= deprecated

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

    def methods(self) -> set[str]:
        """Every method that an architecture has."""
        return set(self._methods.values())

    def _parse(self, name: str) -> ModelInfo:
        from adept_hub.registry.entries import parse_architecture, parse_checkpoint  # a listing does without them

        where, base = self._origins[name]
        where = f"{where}: {name[:200]}"
        architecture, tag = split_name(name)
        raw = self._raw[name]
        if isinstance(raw, str):
            raw = parse_line(raw, where)
        if not tag:
            return parse_architecture(name, raw, where)
        aliases = tuple(alias for alias, target in self.defaults.items() if target == name)
        return parse_checkpoint(name, raw, where, self[architecture], aliases, base)

    def resolve(self, name: str) -> ModelInfo:
        """The entry that a user's name means: a full name, an alias, an architecture or a deprecated name, which warns.

        Raises:
            UnknownModelError: no such name; the nearest are shown.
        """
        if name in self.deprecated:
            target = self.deprecated[name]
            warnings.warn(f"The model name {name!r} is deprecated: use {target!r}.", FutureWarning, stacklevel=4)
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
        from adept_hub.registry.training import training_command

        others = self.names(None, pretrained=True)[:8]
        published = f"Published: {', '.join(others)}." if others else "Nothing is published yet."
        raise UnpublishedWeightsError(
            f"{name!r} has no published weights. {published}\nTrain them: {training_command(info.method, info.spec)}"
        )

    def names(self, method: str | None, pretrained: bool) -> list[str]:
        """Full names of checkpoints with published weights, or of architectures; unsorted, no entry parsed."""
        wanted = {name for name, its in self._methods.items() if method is None or its == method}
        if not pretrained:
            return list(wanted)
        return [name for name, raw in self._raw.items() if _is_published(raw) and name.partition(".")[0] in wanted]


def _groups(data: object, where: str) -> tuple[dict[str, Any], ...]:
    """The four groups of a registry file, their entries as they stand.

    Raises:
        RegistryError: another format, or a field that is unknown, missing or of the wrong type.
    """
    if not isinstance(data, dict):
        raise RegistryError(f"{where}: expected a mapping, found {type(data).__name__}.")
    if unknown := sorted(set(data) - {"format_version", *_GROUPS}):
        raise RegistryError(
            f"{where}: unknown field {unknown[0][:200]!r}.{did_you_mean(unknown[0], ('format_version', *_GROUPS))} "
            f"Known: format_version, {', '.join(_GROUPS)}."
        )
    if data.get("format_version") != FORMAT_VERSION:
        found = str(data.get("format_version", "none"))[:40]
        raise RegistryError(f"{where} has format {found}, this version reads format {FORMAT_VERSION}.")
    groups = tuple(data.get(name, {}) for name in _GROUPS)
    for name, group in zip(_GROUPS, groups, strict=True):
        if not isinstance(group, dict):
            raise RegistryError(f"{where}.{name}: expected a mapping, found {type(group).__name__}.")
        if name in ("defaults", "deprecated") and any(not isinstance(target, str) for target in group.values()):
            raise RegistryError(f"{where}.{name}: expected str, a name for each name.")
    return groups


def _is_published(raw: object) -> bool:
    if isinstance(raw, str):
        return is_published_line(raw)
    return isinstance(raw, dict) and isinstance(raw.get("location"), dict)  # architectures have none


def parse_registry(data: object, where: str = "models.json", base: Path = Path()) -> Registry:
    """A registry of one file, from its JSON values; see `Registry.add`."""
    parsed = Registry()
    parsed.add(data, where, base)
    return parsed


def read_registry_file(path: Path, *, unique: bool = False) -> object:
    """The JSON values of a registry file.

    Args:
        path: the file; one whose name ends with ``.jsonl`` is of the form of `adept_hub.registry.lines`.
        unique: refuse a name that stands twice, too (see `check_registry`).

    Raises:
        RegistryError: there is no such file, it is a pipe, a device or too large, or it is not JSON.
    """
    collecting = gc.isenabled()
    gc.disable()  # 40,000 new objects and no garbage: looking for it would take a third of the time
    try:
        content = _DOOR.read(path, f"The registry {path}")
        if path.suffix == ".jsonl":
            return read_lines(content, f"The registry {path}")
        return parse_json(content, f"The registry {path}", RegistryError, unique=unique)
    finally:
        if collecting:
            gc.enable()


def check_registry(*files: tuple[Path, Path]) -> Registry:
    """The registry of several files with every entry parsed, which `load_registry` leaves until one is used.

    Raises:
        RegistryError: anything in any of the files is not in order, a name that stands twice included.
    """
    merged = Registry()
    for path, base in files:
        merged.add(read_registry_file(path, unique=True), path.name, base)
    for name in merged:
        merged[name]
    return merged


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
