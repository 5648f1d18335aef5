"""Read models.json into typed, immutable values; every entry is checked."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from adept_hub.errors import RegistryError, SourceError, UnknownModelError, UnpublishedWeightsError
from adept_hub.io.paths import exists
from adept_hub.io.read import BoundedReader
from adept_hub.io.schema import from_dict
from adept_hub.names import NamedSource, is_name, parse_source, split_name
from adept_hub.registry.entries import ArchitectureEntry, CheckpointEntry, ModelInfo, check_entry
from adept_hub.registry.training import training_command
from adept_hub.spec import FORMAT_VERSION

MAX_REGISTRY_BYTES = 16 << 20
_READER = BoundedReader(RegistryError, MAX_REGISTRY_BYTES, remedy="Set ADEPT_REGISTRY to the path of a JSON file.")


@dataclass(frozen=True)
class RegistryFile:
    """The fields of a registry file.

    Attributes:
        architectures: entries by name.
        checkpoints: entries by ``architecture.tag``.
        defaults: aliases (``adept_joint``; an architecture for its default tag) and the names that they stand for.
        deprecated: names that still work, with a warning, and their replacements.
    """

    format_version: int
    architectures: dict[str, ArchitectureEntry] = field(default_factory=dict)
    checkpoints: dict[str, CheckpointEntry] = field(default_factory=dict)
    defaults: dict[str, str] = field(default_factory=dict)
    deprecated: dict[str, str] = field(default_factory=dict)


class Registry(Mapping[str, ModelInfo]):
    """Entries by full name, from one or several files; the first file is the package's own.

    ``defaults`` and ``deprecated`` are those of `RegistryFile`, merged over all files.
    """

    def __init__(self) -> None:
        self._entries: dict[str, ModelInfo] = {}
        self.defaults: dict[str, str] = {}
        self.deprecated: dict[str, str] = {}

    def add(self, data: object, where: str, base: Path) -> None:
        """Add the entries of one file.

        Args:
            data: the file's JSON values.
            where: the file's name in messages.
            base: the folder of its bundled checkpoints.

        Raises:
            RegistryError: a field is unknown, missing or of the wrong type, a name is taken, an alias has no entry, or
                an entry does not identify its files exactly.
        """
        version = data.get("format_version") if isinstance(data, dict) else FORMAT_VERSION
        if version != FORMAT_VERSION:
            raise RegistryError(f"{where} has format {version!r:.40}, this version reads format {FORMAT_VERSION}.")
        file = from_dict(RegistryFile, data, where, RegistryError)
        taken = {*self._entries, *self.defaults, *self.deprecated}
        for group in (file.architectures, file.checkpoints, file.defaults, file.deprecated):
            if twice := taken & group.keys():
                raise RegistryError(f"{where}: the name {min(twice)!r} is taken.\nGive yours another name or tag.")
            taken |= group.keys()
        for name, architecture in file.architectures.items():
            if not is_name(name) or split_name(name)[1]:
                raise RegistryError(f"{where}: {name[:200]!r} is not a valid name of an architecture.")
            self._entries[name] = ModelInfo(name=name, **vars(architecture))
        for name, checkpoint in file.checkpoints.items():
            aliases = tuple(alias for alias, target in file.defaults.items() if target == name)
            self._entries[name] = self._checkpoint(name, checkpoint, f"{where}: {name[:200]}", base, aliases)
        for name, checkpoint in file.checkpoints.items():
            shared = checkpoint.location.parts_of if checkpoint.location else ""
            whole = file.checkpoints[shared].location if shared in file.checkpoints else None
            if shared and (whole is None or not whole.bundled or whole.parts_of):
                raise RegistryError(f"{where}: {name[:200]}: {shared[:200]!r} is not a complete bundled checkpoint.")
        for names in (file.defaults, file.deprecated):
            if lost := [f"{name} -> {target}" for name, target in names.items() if target not in self._entries]:
                raise RegistryError(f"{where}: {lost[0]}: there is no such entry.")
        self.defaults |= file.defaults
        self.deprecated |= file.deprecated

    def _checkpoint(
        self, name: str, entry: CheckpointEntry, where: str, base: Path, aliases: tuple[str, ...]
    ) -> ModelInfo:
        architecture = self._entries.get(name.partition(".")[0])
        if not is_name(name) or architecture is None or architecture.name == name:
            raise RegistryError(f"{where} is not a tag of a registered architecture (architecture.tag in lower case).")
        check_entry(entry, where)
        fields = {**vars(entry), "summary": entry.summary or architecture.summary}
        return ModelInfo(
            name=name, method=architecture.method, spec=architecture.spec, aliases=aliases, base=base, **fields
        )

    def __getitem__(self, name: str) -> ModelInfo:
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def resolve(self, name: str) -> ModelInfo:
        """Return the entry of a full name, an alias, an architecture or a deprecated name.

        Raises:
            UnknownModelError: the name is not registered; the message suggests the closest ones.
        """
        if name in self.deprecated:
            target = self.deprecated[name]
            warnings.warn(f"The model name {name!r} is deprecated: use {target!r}.", FutureWarning, stacklevel=4)
            name = target
        target = self.defaults.get(name, name)
        if target not in self:
            absent = "" if exists(Path(name)) else ", and there is no such file or folder"
            raise UnknownModelError(name, [*self, *self.defaults], absent)
        return self[target]

    def refuse_other_sources(self, text: str, remedy: str) -> None:
        """Refuse a source that is not a name, where only names are accepted.

        Args:
            text: the source.
            remedy: what to type for it.

        Raises:
            UnknownModelError: the text is a path, ``hf-hub:...`` or ``LAYOUT:FILE``, and is not registered.
        """
        if text in self or text in self.defaults or text in self.deprecated:
            return
        try:
            parsed = parse_source(text)
        except SourceError:  # `resolve` reports the name as unknown
            return
        if not isinstance(parsed, NamedSource):
            raise UnknownModelError(text, (), ": only registered names are accepted here", remedy)

    def resolve_pretrained(self, name: str) -> ModelInfo:
        """Return the entry with published weights of a name; an architecture stands for its first published tag.

        Raises:
            UnpublishedWeightsError: the architecture exists, but has no published weights.
        """
        info = self.resolve(name)
        if not info.tag:
            tags = (other for other in self.values() if other.architecture == info.name and other.pretrained)
            info = next(tags, info)
        if info.pretrained:
            return info
        others = self.names(None, pretrained=True)[:8]
        published = f"Published: {', '.join(others)}." if others else "Nothing is published yet."
        raise UnpublishedWeightsError(
            f"{name!r} has no published weights. {published}\nTrain them: {training_command(info.method, info.spec)}"
        )

    def names(self, method: str | None, pretrained: bool) -> list[str]:
        """Return full names of checkpoints with published weights, or of architectures; unsorted."""
        infos = (info for info in self.values() if method in (None, info.method))
        return [info.name for info in infos if (info.pretrained if pretrained else not info.tag)]


def parse_registry(data: object, where: str = "models.json", base: Path = Path()) -> Registry:
    """Return the registry of one file from its JSON values; see `Registry.add`."""
    parsed = Registry()
    parsed.add(data, where, base)
    return parsed


def read_registry(*files: tuple[Path, Path]) -> Registry:
    """Read one registry from several files.

    Args:
        files: pairs of a JSON file and the folder of its bundled checkpoints.

    Raises:
        RegistryError: a file is missing, not a regular file, too large or not JSON; see also `Registry.add`.
    """
    merged = Registry()
    for path, base in files:
        merged.add(_READER.json(path), path.name, base)
    return merged
