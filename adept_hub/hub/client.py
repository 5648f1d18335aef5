"""Get files of the Hub: pinned commits without a request, validated metadata, and errors of adept_hub.

All calls respect the client's environment variables: HF_ENDPOINT, HF_TOKEN, HF_HUB_OFFLINE, HF_HOME and the proxies.
"""

from __future__ import annotations

import logging
import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from huggingface_hub import HfFileMetadata, constants, get_hf_file_metadata, hf_hub_url, try_to_load_from_cache

from adept_hub.errors import DownloadError, FileTooLargeError, IntegrityError
from adept_hub.hub.cache import RepoCache
from adept_hub.hub.client_log import one_line_per_retry
from adept_hub.hub.download import Announced, download
from adept_hub.hub.errors import TRANSPORT, explain, is_absence
from adept_hub.hub.retries import OPENING, patiently, within
from adept_hub.io.paths import expanded
from adept_hub.names import is_commit
from adept_hub.words.sanitize import redact

_ETAG = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class HubOptions:
    """Options of a download; None: the value of the client's environment variable.

    ``force`` downloads files again that are already cached.
    """

    cache_dir: str | os.PathLike[str] | None = None
    offline: bool | None = None
    token: str | bool | None = field(default=None, repr=False)
    force: bool = False

    @property
    def requests_allowed(self) -> bool:
        """True if the network may be used."""
        return not (constants.HF_HUB_OFFLINE if self.offline is None else self.offline)

    @property
    def cache(self) -> Path | None:
        """The cache folder, None for the client's own."""
        return None if self.cache_dir is None else expanded(os.fspath(self.cache_dir), DownloadError)


def cached_file(repo: str, filename: str, revision: str | None, options: HubOptions) -> Path | None:
    """Return a file from the cache without a request; None if it is not cached."""
    cached = try_to_load_from_cache(repo, filename, cache_dir=options.cache, revision=revision)
    return Path(cached) if isinstance(cached, str) else None


def download_file(
    repo: str,
    filename: str,
    revision: str | None,
    options: HubOptions,
    limit: int,
    promise: tuple[str, int] | None = None,
) -> Path:
    """Return a file of a repository, from the cache for a pinned commit that is there, else from the Hub.

    Broken connections are resumed, also those of a killed process, and requests to busy servers are repeated
    (`adept_hub.hub.download`).

    Args:
        repo: ``org/name``.
        filename: path of the file in the repository.
        revision: branch, tag or commit.
        options: cache, token, offline.
        limit: maximum number of bytes, announced or not.
        promise: SHA-256 and size that the file must have, if known; metadata that differ are refused.

    Raises:
        DownloadError: the Hub could not be reached, or refused the request; or offline and not cached.
        IntegrityError: the file is larger than allowed or announced, or does not match its digest.
        CheckpointError: the repository has no such file.
    """
    cached = cached_file(repo, filename, revision, options)
    if cached is not None and (not options.requests_allowed or (is_commit(revision) and not options.force)):
        return cached
    where = f"{repo}{f'@{revision}' if revision else ''}"
    if not options.requests_allowed:
        raise DownloadError(
            f"{filename} of {where} is not in the cache, and offline was requested.\n"
            f"On a machine with a network: adept pull hf-hub:{where}"
        )
    cache = RepoCache(repo, options.cache)
    failures: tuple[type[Exception], ...] = (*TRANSPORT, DownloadError)
    try:
        announced = _announce(repo, filename, revision, options, where, patient=cached is None or options.force)
        _refuse(announced, repo, limit, promise)
        path = None if options.force else cache.pointer(announced.commit, filename, announced.etag)
        if path is None:
            download(announced, cache, options.token, limit, force=options.force)
            path = cache.link(announced.commit, filename, announced.etag)
        cache.remember(revision or constants.DEFAULT_REVISION, announced.commit)
    except failures as error:
        if cached is None or options.force or is_absence(error):
            raise explain(error, where, filename) from error
        hub = redact(constants.ENDPOINT)
        _log.warning("%s cannot be reached; using %s from the cache, %s", hub, where, cached.parent)
        return cached
    return path


def _announce(
    repo: str, filename: str, revision: str | None, options: HubOptions, where: str, *, patient: bool
) -> Announced:
    """Request a file's metadata from the Hub and validate them, since they become paths in the cache.

    Raises:
        IntegrityError: the ETag is not a digest, or the commit is not valid or not the requested one.
        DownloadError: the response is not that of a Hub.
    """
    url = hf_hub_url(repo, filename, revision=revision)

    def ask() -> HfFileMetadata:
        return get_hf_file_metadata(url, token=options.token)

    with one_line_per_retry(f"{filename} of {where}"):
        metadata = patiently(f"{filename} of {where}", ask) if patient else within(OPENING, ask)
    if metadata.commit_hash is None or metadata.etag is None:
        raise DownloadError(
            f"{constants.ENDPOINT} does not respond like a Hub: {filename} of {where} has no ETag or no commit.\n"
            "Check HF_ENDPOINT, the proxy, and whether this network requires a login first."
        )
    is_whole = (
        is_commit(metadata.commit_hash)
        and _ETAG.fullmatch(metadata.etag)
        and (metadata.size is None or metadata.size >= 0)
    )
    if not is_whole or (is_commit(revision) and metadata.commit_hash != revision):
        raise IntegrityError(
            f"{constants.ENDPOINT} announces {filename} of {where} with ETag {metadata.etag[:80]!r} and commit "
            f"{metadata.commit_hash[:80]!r}: not those of a Hub, or not the requested ones.\n"
            "Nothing was downloaded. A proxy or mirror may be the cause: try another network or HF_ENDPOINT."
        )
    xet = getattr(metadata, "xet_file_data", None)
    return Announced(where, filename, url, metadata.etag, metadata.commit_hash, metadata.size, xet)


def _refuse(announced: Announced, repo: str, limit: int, promise: tuple[str, int] | None) -> None:
    """Refuse a file by its announced metadata, before it is downloaded.

    Raises:
        FileTooLargeError: the file is too large.
        IntegrityError: the file is not the promised one.
    """
    size, filename = announced.size, announced.filename
    if size is not None and size > limit:
        raise FileTooLargeError(
            f"{filename} of {repo} has {size:,} bytes; at most {limit:,} are accepted.\nIt is not a checkpoint's file."
        )
    is_sha256 = len(announced.etag) == 64  # for a file in large storage; for a small one it is git's hash
    if promise and ((size is not None and size != promise[1]) or (is_sha256 and announced.etag != promise[0])):
        raise IntegrityError(
            f"{filename} of {repo} on the Hub does not match the digest in its config.json.\n"
            "It was replaced, or an upload is incomplete: ask the owner, or pin an earlier commit."
        )
