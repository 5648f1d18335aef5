"""A source becomes a local checkpoint folder: bundled, local or from the Hub, its config read."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, field
from pathlib import Path

from adept_hub.checkpoint import CARD, CONFIG, WEIGHTS, read_config
from adept_hub.errors import DownloadError, IntegrityError, SourceError
from adept_hub.names import HubSource, LocalSource, NamedSource, parse_source
from adept_hub.registry import ModelInfo, registry
from adept_hub.registry.reader import BUNDLED
from adept_hub.spec import CheckpointConfig

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FetchOptions:
    """Options of every call that may fetch; None leaves each to huggingface_hub's own environment variables."""

    revision: str | None = None
    cache_dir: str | os.PathLike[str] | None = None
    offline: bool | None = None
    token: str | bool | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Fetched:
    """A checkpoint folder on this machine. ``origin`` says in words where it came from."""

    folder: Path
    config: CheckpointConfig
    origin: str


def fetch(source: str | os.PathLike[str], options: FetchOptions | None = None) -> Fetched:
    """Find or download the checkpoint that ``source`` names.

    Raises:
        SourceError: not a source, or a path that does not exist.
        UnknownModelError, UnpublishedWeightsError: about a name.
        DownloadError: the Hub could not be reached, refused, or the files are not cached and offline was asked for.
        CheckpointError: what was found is no checkpoint folder.
        IntegrityError: its config does not promise the digest that the registry does.
    """
    options = options or FetchOptions()
    parsed = parse_source(source)
    if isinstance(parsed, LocalSource):
        if not parsed.path.exists():
            raise SourceError(f"{parsed.path} does not exist.\nGive a checkpoint folder, or a name: adept list")
        return Fetched(parsed.path, read_config(parsed.path), str(parsed.path))
    if isinstance(parsed, HubSource):
        revision = options.revision or parsed.revision
        folder = _download(parsed.repo, revision, options)
        return Fetched(folder, read_config(folder), f"hf-hub:{parsed.repo}" + (f"@{revision}" if revision else ""))
    return _named(parsed, options)


def _named(source: NamedSource, options: FetchOptions) -> Fetched:
    info = registry().resolve_pretrained(source.name)
    location = info.location
    assert location is not None, "resolve_pretrained gives published entries only"
    if location.bundled:
        fetched = Fetched(BUNDLED / location.bundled, read_config(BUNDLED / location.bundled), "the installed package")
    else:
        folder = _download(location.repo, options.revision or location.revision, options)
        fetched = Fetched(folder, read_config(folder), f"hf-hub:{location.repo}@{location.revision[:12]}")
    _check_promise(info, fetched)
    return fetched


def _check_promise(info: ModelInfo, fetched: Fetched) -> None:
    if (fetched.config.sha256, fetched.config.size) != (info.sha256, info.size):
        raise IntegrityError(
            f"{fetched.folder / CONFIG} promises other weights than the registry does for {info.name!r}.\n"
            "It was changed, or belongs to another version of adept-hub: reinstall, or remove it and fetch again."
        )


def _download(repo: str, revision: str | None, options: FetchOptions) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    try:
        folder = snapshot_download(
            repo,
            revision=revision,
            cache_dir=None if options.cache_dir is None else Path(options.cache_dir),
            token=options.token,
            local_files_only=bool(options.offline),
            allow_patterns=[WEIGHTS, CONFIG, CARD],
        )
    except (LocalEntryNotFoundError, OfflineModeIsEnabled) as error:
        raise DownloadError(
            f"{repo} is not in the cache, and it cannot be downloaded: {_first_line(error)}\n"
            f"On a machine with a network: adept pull hf-hub:{repo}"
        ) from error
    except HfHubHTTPError as error:
        raise DownloadError(
            f"The Hub refused {repo}{f'@{revision}' if revision else ''}: {_first_line(error)}\n"
            "Check the name and the revision; for a private or gated repository: hf auth login"
        ) from error
    except OSError as error:
        raise DownloadError(f"{repo} could not be downloaded: {_first_line(error)}\nTry again; it resumes.") from error
    return Path(folder)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
