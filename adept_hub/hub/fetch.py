"""Resolve a source to a local checkpoint folder: bundled, local or from the Hub."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adept_hub.arguments.calls import checked
from adept_hub.checkpoint.config_file import CARD, CONFIG, WEIGHTS, read_config
from adept_hub.checkpoint.validate_config import MAX_CARD_BYTES, MAX_CONFIG_BYTES, MAX_WEIGHT_BYTES
from adept_hub.errors import CheckpointError, DownloadError, FileTooLargeError, IntegrityError, SourceError
from adept_hub.hub.endpoint import check_endpoint
from adept_hub.hub.local import layout_folder, local_folder, timm_config
from adept_hub.io.digest import again, sha256_file
from adept_hub.names import (
    FileSource,
    HubSource,
    LocalSource,
    NamedSource,
    check_revision,
    is_commit,
    parse_source,
    text_of,
)
from adept_hub.registry import BUNDLED, ModelInfo, registry
from adept_hub.spec import CheckpointConfig

if TYPE_CHECKING:
    from adept_hub.hub.client import HubOptions

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FetchOptions:
    """Options of all calls that may download; None: the value of huggingface_hub's environment variable.

    ``force`` downloads files again that are already cached; without ``weights`` only the config of a checkpoint on the
    Hub is downloaded.
    """

    revision: str | None = None
    cache_dir: str | os.PathLike[str] | None = None
    offline: bool | None = None
    token: str | bool | None = field(default=None, repr=False)
    force: bool = False
    weights: bool = True


FetchOptions.__init__ = checked(FetchOptions.__init__)  # type: ignore[method-assign]


@dataclass(frozen=True)
class Fetched:
    """A local checkpoint folder and its config; ``origin`` describes where it came from."""

    folder: Path
    config: CheckpointConfig
    origin: str


@checked
def fetch(source: str | os.PathLike[str], options: FetchOptions | None = None) -> Fetched:
    """Find or download the checkpoint of a source.

    Raises:
        SourceError: the source is not valid, the path does not exist or does not have the stated layout, or a revision
            was given for a folder or file.
        UnknownModelError, UnpublishedWeightsError: the name is not registered, or has no published weights.
        DownloadError: the Hub could not be reached or refused the request, or offline and not cached.
        CheckpointError: the folder is not a checkpoint.
        IntegrityError: the config does not match the digest in the registry.
    """
    options = options or FetchOptions()
    parsed = parse_source(source)
    if isinstance(parsed, LocalSource):
        _refuse_revision(source, options, "a folder has no revisions")
        folder, origin = local_folder(parsed.path)
        return Fetched(folder, read_config(folder), origin)
    if isinstance(parsed, FileSource):
        _refuse_revision(source, options, "a file has no revisions")
        folder = layout_folder(parsed)
        return Fetched(folder, read_config(folder), text_of(parsed))
    if isinstance(parsed, HubSource):
        if options.revision is not None and parsed.revision not in (None, options.revision):
            raise SourceError(
                f"{source} has another revision than revision={options.revision!r}.\n"
                f"Specify only one: hf-hub:{parsed.repo}@{options.revision}"
            )
        revision = parsed.revision if options.revision is None else options.revision
        return _from_hub(parsed.repo, revision, options)
    return _named(parsed, options)


def _timm_from_hub(
    timm: dict[str, Any], repo: str, folder: Path, revision: str | None, hub: HubOptions
) -> Fetched:  # fmt: skip
    """Download the weights of a timm repository, after its architecture was checked, and convert them."""
    from adept_hub.foreign.adopt import adopt_timm
    from adept_hub.foreign.timm import read_timm_config
    from adept_hub.hub.client import cached_file

    commit = folder.name if is_commit(folder.name) else revision
    origin = f"hf-hub:{repo}@{(commit or 'main')[:12]}"
    read_timm_config(timm, origin)
    if hub.requests_allowed and cached_file(repo, WEIGHTS, commit, hub) is None:
        _fetch_card(repo, commit, hub)
    weights = _timm_weights(repo, commit, hub)
    converted = adopt_timm(timm, weights, origin, origin)
    return Fetched(converted, read_config(converted), origin)


def _timm_weights(repo: str, commit: str | None, hub: HubOptions) -> Path:
    """Download the weights of a timm repository: safetensors, or a pickled file of tensors if there are none."""
    from adept_hub.foreign.timm import PICKLED_WEIGHTS
    from adept_hub.hub.client import cached_file, download_file

    pickled = cached_file(repo, PICKLED_WEIGHTS, commit, hub)
    if pickled is not None and cached_file(repo, WEIGHTS, commit, hub) is None and not hub.force:
        return download_file(repo, PICKLED_WEIGHTS, commit, hub, MAX_WEIGHT_BYTES)
    try:
        return download_file(repo, WEIGHTS, commit, hub, MAX_WEIGHT_BYTES)
    except IntegrityError:
        raise
    except CheckpointError as absent:
        try:
            return download_file(repo, PICKLED_WEIGHTS, commit, hub, MAX_WEIGHT_BYTES)
        except IntegrityError:
            raise
        except CheckpointError:
            raise absent from None


def _refuse_revision(source: object, options: FetchOptions, why: str) -> None:
    if options.revision is not None:
        raise SourceError(
            f"{source} is not available at revision {options.revision!r}: {why}.\n"
            "Omit the revision, or specify a repository: hf-hub:org/repo"
        )


def _named(source: NamedSource, options: FetchOptions) -> Fetched:
    info = registry().resolve_pretrained(source.name)
    location = info.location
    assert location is not None, "resolve_pretrained returns published entries only"
    if info.folder is not None:
        _refuse_revision(source.name, options, "it is part of an installed package")
        if not info.folder.is_dir():
            raise SourceError(f"The folder of {info.name}, {info.folder}, does not exist.\nInstall its package again.")
        config = read_config(info.folder)
        _check_promise(info, info.folder, config)
        origin = "the installed package" if info.base == BUNDLED else str(info.folder)
        return Fetched(_complete(info, info.folder), config, origin)
    if options.revision is not None and options.revision != location.revision:
        return _from_hub(location.repo, options.revision, options)  # a revision that the registry does not pin
    return _from_hub(location.repo, location.revision, options, info)


def _complete(info: ModelInfo, folder: Path) -> Path:
    """Return the folder of a bundled checkpoint, put together if it shares tensors with another one."""
    assert info.location is not None
    if not info.location.parts_of:
        return folder
    from adept_hub.checkpoint.composed import compose

    base = registry()[info.location.parts_of].folder
    assert base is not None, "the registry was checked when it was read"
    return compose(folder, base)


def _from_hub(repo: str, revision: str | None, options: FetchOptions, info: ModelInfo | None = None) -> Fetched:
    """Download the config first: its digest is compared with the registry and the Hub before the weights follow."""
    check_endpoint(DownloadError)
    from adept_hub.hub.client import HubOptions, cached_file, download_file

    if revision is not None:
        check_revision(revision)
    hub = HubOptions(options.cache_dir, options.offline, options.token, options.force)
    folder = download_file(repo, CONFIG, revision, hub, MAX_CONFIG_BYTES).parent
    if (timm := timm_config(folder)) is not None and info is None:
        return _timm_from_hub(timm, repo, folder, revision, hub)
    config = read_config(folder)
    if info is not None:
        _check_promise(info, folder, config)
    commit = folder.name if is_commit(folder.name) else revision
    if options.weights:
        if hub.requests_allowed and cached_file(repo, WEIGHTS, commit, hub) is None:
            _fetch_card(repo, commit, hub)  # before the weights, so that it is present once they are
        download_file(repo, WEIGHTS, commit, hub, MAX_WEIGHT_BYTES, (config.sha256, config.size))
    return Fetched(folder, config, f"hf-hub:{repo}@{(commit or 'main')[:12]}")


def _fetch_card(repo: str, commit: str | None, hub: HubOptions) -> None:
    """Download the card for users; a repository without a usable one is still a checkpoint.

    Raises:
        IntegrityError: the card does not match its metadata, so that the network or the Hub cannot be trusted.
    """
    from adept_hub.hub.client import download_file

    try:
        download_file(repo, CARD, commit, hub, MAX_CARD_BYTES)
    except (DownloadError, FileTooLargeError) as error:
        _log.warning("the card of %s was not downloaded: %s", repo, str(error).splitlines()[0])
    except IntegrityError:
        raise
    except CheckpointError as error:
        _log.debug("%s has no card: %s", repo, error)


def _check_promise(info: ModelInfo, folder: Path, config: CheckpointConfig) -> None:
    """Compare a checkpoint's config with the registry, which is trusted.

    Raises:
        IntegrityError: the config has the digest of other weights, or is not the registered one.
    """
    same_weights = (config.sha256, config.size) == (info.sha256, info.size)
    same_config = not info.config_sha256 or sha256_file(folder / CONFIG) == info.config_sha256
    if same_weights and same_config:
        return
    what = "is not the registered config" if same_weights else "has the digest of other weights than the registry"
    raise IntegrityError(
        f"{folder / CONFIG} {what} for {info.name!r}.\n"
        f"It was modified, or belongs to another version of adept-hub. {again(folder / CONFIG)}"
    )
