"""huggingface_hub's client, called so that pins need no request, sizes are bounded and errors are ours.

Every call honours the client's own environment: HF_ENDPOINT, HF_TOKEN, HF_HUB_OFFLINE, HF_HOME and the proxies.
"""

from __future__ import annotations

import errno
import logging
import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from huggingface_hub import (
    HfFileMetadata,
    constants,
    get_hf_file_metadata,
    hf_hub_download,
    hf_hub_url,
    try_to_load_from_cache,
)
from huggingface_hub.errors import (
    GatedRepoError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from adept_hub.errors import AdeptError, CheckpointError, DiskFullError, DownloadError, IntegrityError
from adept_hub.names import is_commit
from adept_hub.resume import TRANSPORT, download_blob, is_resumable

_log = logging.getLogger(__name__)
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM)


@dataclass(frozen=True)
class HubOptions:
    """Where and how to fetch; None leaves each to the client's own environment variables.

    ``force`` downloads what is cached already again.
    """

    cache_dir: str | os.PathLike[str] | None = None
    offline: bool | None = None
    token: str | bool | None = field(default=None, repr=False)
    force: bool = False

    @property
    def requests_allowed(self) -> bool:
        """Whether the network may be used."""
        return not (constants.HF_HUB_OFFLINE if self.offline is None else self.offline)

    @property
    def cache(self) -> Path | None:
        """The cache folder, None for the client's own."""
        return None if self.cache_dir is None else Path(self.cache_dir).expanduser()


def cached_file(repo: str, filename: str, revision: str | None, options: HubOptions) -> Path | None:
    """A file that is in the cache already, found without a request; None if it is not."""
    found = try_to_load_from_cache(repo, filename, cache_dir=options.cache, revision=revision)
    return Path(found) if isinstance(found, str) else None


def download_file(
    repo: str,
    filename: str,
    revision: str | None,
    options: HubOptions,
    limit: int,
    promise: tuple[str, int] | None = None,
) -> Path:
    """A file of a repository, from the cache if a pinned commit of it is there, else from the Hub.

    Cut connections are resumed, and busy servers asked again, by the client; what a killed process had received is
    gone on with (`adept_hub.resume`).

    Args:
        repo: ``org/name``.
        filename: its path in the repository.
        revision: branch, tag or commit.
        options: cache, token, offline.
        limit: most bytes that are accepted; a larger file is refused before any of it is downloaded.
        promise: SHA-256 and size that the file must have, where known; an announced other is refused likewise.

    Raises:
        DownloadError: the Hub could not be reached, or refused; or offline and not cached.
        IntegrityError: the file is too large or announced as another than promised.
    """
    cached = cached_file(repo, filename, revision, options)
    if cached is not None and (not options.requests_allowed or (is_commit(revision) and not options.force)):
        return cached
    where = f"{repo}{f'@{revision}' if revision else ''}"
    if not options.requests_allowed:
        raise DownloadError(
            f"{filename} of {where} is not in the cache, and offline was asked for.\n"
            f"On a machine with a network: adept pull hf-hub:{where}"
        )
    announced = _announced(repo, filename, revision, options)
    if announced is not None:
        _refuse(announced, repo, filename, limit, promise)
    try:
        if announced is not None and is_resumable(announced) and not options.force:
            url = hf_hub_url(repo, filename, revision=revision)
            download_blob(repo, url, announced, options.cache, options.token)
        path = hf_hub_download(
            repo,
            filename,
            revision=revision,
            cache_dir=options.cache,
            token=options.token,
            force_download=options.force,
        )
    except TRANSPORT as error:
        raise explain(error, where, filename) from error
    if announced is None and cached is not None:
        _log.warning("%s cannot be reached; %s is the one in the cache, %s", constants.ENDPOINT, where, cached.parent)
    return Path(path)


def _announced(repo: str, filename: str, revision: str | None, options: HubOptions) -> HfFileMetadata | None:
    """What the Hub says of a file; where it says nothing, the download itself tells why."""
    try:
        return get_hf_file_metadata(hf_hub_url(repo, filename, revision=revision), token=options.token)
    except TRANSPORT as error:
        _log.debug("no metadata of %s in %s: %s", filename, repo, error)
        return None


def _refuse(announced: HfFileMetadata, repo: str, filename: str, limit: int, promise: tuple[str, int] | None) -> None:
    """Refuse a file by what is announced, before any of it is downloaded.

    Raises:
        IntegrityError: it is too large, or not the promised one.
    """
    size, digest = announced.size, announced.etag or ""
    if size is not None and size > limit:
        raise IntegrityError(
            f"{filename} of {repo} has {size:,} bytes; at most {limit:,} are accepted.\nIt is no file of a checkpoint."
        )
    is_sha256 = len(digest) == 64  # of a file in large storage; of a small one it is git's own
    if promise and ((size is not None and size != promise[1]) or (is_sha256 and digest != promise[0])):
        raise IntegrityError(
            f"The Hub announces another {filename} of {repo} than its config.json promises.\n"
            "It was swapped, or an upload was not finished: ask its owner, or pin an earlier commit."
        )


def explain(error: Exception, where: str, filename: str = "") -> AdeptError:
    """A client's error as ours, in words a user can act on."""
    endpoint = constants.ENDPOINT
    repo = where.partition("@")[0]
    status = _status(error)
    if isinstance(error, OSError) and error.errno in _DISK:
        return DiskFullError(
            f"{where} cannot be kept: {error.strerror}.\nFree some space or choose another place: --cache-dir DIR"
        )
    if isinstance(error, GatedRepoError):
        return DownloadError(
            f"{where} is gated: its owner grants access on {endpoint}/{repo}.\n"
            "Then log in: hf auth login (or set HF_TOKEN)"
        )
    if isinstance(error, RevisionNotFoundError):
        return DownloadError(f"{where}: there is no such revision.\nThose there are: {endpoint}/{repo}/commits")
    if isinstance(error, RepositoryNotFoundError) or status in (401, 403):
        return DownloadError(
            f"{where} is not on the Hub ({endpoint}), or is private and you may not read it.\n"
            "Check the name; for a private repository: hf auth login (or set HF_TOKEN)"
        )
    if status == 404:
        what = f"has no {filename}" if filename else "has no such file"
        lacking = "repository or revision" if "@" in where else "repository"
        return CheckpointError(f"{where} {what}: it is no checkpoint of adept-hub, or there is no such {lacking}.")
    if status == 429:
        return DownloadError(
            f"The Hub refuses {where} for now: too many requests from here.\n"
            "Wait a minute or log in (hf auth login); a pinned commit in the cache needs no request."
        )
    if status is not None:
        return DownloadError(f"The Hub answers {status} for {where}: {first_line(error)}\nTry again later.")
    if re.search(r"404.*/xet-(read|write)-token/", str(error)):  # hf_xet's words; the client does not fall back
        return DownloadError(
            f"{endpoint} has no Xet storage, which the package hf_xet asks for; without it: HF_HUB_DISABLE_XET=1\n"
            "Set it before Python starts."
        )
    if "CERTIFICATE_VERIFY_FAILED" in str(_root(error)):
        return DownloadError(
            f"{where}: the certificate of {endpoint} is not trusted here: {first_line(_root(error))}\n"
            "Name the authority that signed it: SSL_CERT_FILE=authority.pem (huggingface_hub < 1: REQUESTS_CA_BUNDLE)"
        )
    return DownloadError(
        f"{where} is not in the cache and could not be fetched from {endpoint}: {first_line(_root(error))}\n"
        "Check the network, HF_ENDPOINT and the proxy; or fetch it elsewhere and give its folder."
    )


def _status(error: BaseException | None) -> int | None:
    """The HTTP status behind an error, or behind what it was raised from."""
    while error is not None:
        status = getattr(getattr(error, "response", None), "status_code", None)
        if isinstance(status, int):
            return status
        error = error.__cause__
    return None


def _root(error: BaseException) -> BaseException:
    """What an error was raised from, at the bottom: the client's own words for it say less."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def first_line(error: BaseException) -> str:
    """The first line of an error's message, or its class where it has none."""
    return next((line.strip()[:300] for line in str(error).splitlines() if line.strip()), type(error).__name__)
