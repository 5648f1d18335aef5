"""Entries of a registry as frozen dataclasses."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from adept_hub.errors import RegistryError, SourceError
from adept_hub.names import check_repo, is_commit, split_name
from adept_hub.spec import OPTIONAL, DetectorSpec, Metric, Preprocessing

#: File names that are reserved on Windows in every folder, with and without a suffix.
_DEVICE = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(\..*)?", re.IGNORECASE)


@dataclass(frozen=True)
class Location:
    """The location of a checkpoint: a folder next to the registry file, or a pinned commit on the Hub.

    A bundled folder may hold only the tensors that the bundled checkpoint ``parts_of`` lacks.
    """

    bundled: str = ""
    parts_of: str = field(default="", metadata=OPTIONAL)
    repo: str = ""
    revision: str = ""


@dataclass(frozen=True)
class ModelInfo:
    """One entry of the registry: an architecture, or an architecture with a tag and published weights.

    ``size`` is the size of model.safetensors in bytes, ``sha256`` its digest, ``config_sha256`` that of config.json;
    all are empty without weights. A bundled location is relative to the folder ``base``. ``preprocessing`` is that of
    the weights; a model that is built without weights uses it, too.
    """

    name: str
    method: str
    spec: DetectorSpec
    summary: str = ""
    location: Location | None = None
    sha256: str = ""
    size: int = 0
    config_sha256: str = ""
    license: str = ""
    data: str = ""
    images: int = 0
    epochs: float = 0.0
    metrics: tuple[Metric, ...] = ()
    aliases: tuple[str, ...] = ()
    base: Path | None = None
    preprocessing: Preprocessing = field(default_factory=Preprocessing)

    @property
    def architecture(self) -> str:
        """The name without its tag."""
        return split_name(self.name)[0]

    @property
    def tag(self) -> str:
        """The tag, which names the training data; empty for an architecture."""
        return split_name(self.name)[1]

    @property
    def pretrained(self) -> bool:
        """True if weights are published."""
        return self.location is not None

    @property
    def folder(self) -> Path | None:
        """The checkpoint folder, if the location is bundled."""
        if self.location is None or not self.location.bundled or self.base is None:
            return None
        return self.base / self.location.bundled


@dataclass(frozen=True)
class ArchitectureEntry:
    """An architecture of models.json."""

    method: str
    spec: DetectorSpec
    summary: str = ""
    preprocessing: Preprocessing = field(default_factory=Preprocessing)


@dataclass(frozen=True)
class CheckpointEntry:
    """A checkpoint of models.json; without a location it is listed as a tag without published weights."""

    sha256: str = ""
    size: int = 0
    license: str = ""
    data: str = ""
    images: int = 0
    epochs: float = 0.0
    location: Location | None = None
    config_sha256: str = ""
    summary: str = ""
    metrics: tuple[Metric, ...] = ()
    preprocessing: Preprocessing = field(default_factory=Preprocessing)


def check_entry(entry: CheckpointEntry, where: str) -> None:
    """Refuse a published entry that does not identify its files exactly.

    Raises:
        RegistryError: the entry has an infinite number, no digest, no size, a path outside its folder, or a revision
            that is not a commit.
    """
    if not all(map(math.isfinite, (entry.epochs, *(metric.value for metric in entry.metrics)))):
        raise RegistryError(f"{where}: a number is not finite.")
    pixels = entry.preprocessing
    if not all(map(math.isfinite, (*pixels.mean, *pixels.std))) or min(pixels.std) <= 0:
        raise RegistryError(f"{where}: preprocessing has a value that is not finite, or a std that is not positive.")
    location = entry.location
    if location is None:
        return
    if not re.fullmatch(r"[0-9a-f]{64}", entry.sha256) or entry.size <= 0:
        raise RegistryError(f"{where}: published weights need the sha256 and size of model.safetensors.")
    if not re.fullmatch(r"[0-9a-f]{64}|", entry.config_sha256):
        raise RegistryError(f"{where}: config_sha256 is not a valid SHA-256.")
    if bool(location.bundled) == bool(location.repo):
        raise RegistryError(f"{where}: a location is either a bundled folder or a repo with a revision.")
    if location.parts_of and not location.bundled:
        raise RegistryError(f"{where}: only a bundled checkpoint shares parts with another one.")
    if location.bundled:
        _check_folder(location.bundled, where)
        return
    try:
        check_repo(location.repo)
    except SourceError as error:
        raise RegistryError(f"{where}: {error}") from error
    if not is_commit(location.revision):
        raise RegistryError(f"{where}: the revision {location.revision!r} is not a commit SHA; a branch can change.")


def _check_folder(folder: str, where: str) -> None:
    """Refuse a folder outside the registry's folder, on this or any other system.

    Raises:
        RegistryError: the path is absolute, contains "..", names a device or a stream of Windows, or contains
            unprintable characters.
    """
    parts = PurePosixPath(folder.replace("\\", "/")).parts
    if ".." in parts or parts[0][:1] in ("/", "~") or ":" in folder:
        raise RegistryError(f"{where}: the folder {folder[:200]!r} is outside the registry's folder.")
    odd = any(part.rstrip(". ") != part or _DEVICE.fullmatch(part) for part in parts)
    if odd or not folder.isprintable():
        raise RegistryError(f"{where}: {folder[:200]!r} is not a valid folder name on every system.")
