"""Translate errors of requests to the Hub into messages with a remedy."""

from __future__ import annotations

import errno
import importlib
import re

from huggingface_hub import constants
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from adept_hub.errors import AdeptError, CheckpointError, DiskFullError, DownloadError
from adept_hub.words.sanitize import redact


class RefusedError(Exception):
    """An HTTP error status; ``wait``: the seconds of its Retry-After header."""

    def __init__(self, status: int, wait: float = 0.0) -> None:
        super().__init__(f"HTTP {status}")
        self.status = status
        self.wait = wait


def transport_errors(*names: str) -> tuple[type[Exception], ...]:
    """Return the exceptions with these names of the client's HTTP library: requests, httpx or httpx2."""
    package = importlib.import_module(HfHubHTTPError.__bases__[0].__module__.partition(".")[0])
    module = getattr(package, "exceptions", package)
    return tuple(getattr(module, name) for name in names if hasattr(module, name))


#: Exceptions of a request: the client's, the HTTP library's, the operating system's, and those of any of them for a
#: malformed response (a port that is not a number, a header that is not text).
TRANSPORT: tuple[type[Exception], ...] = (
    OSError,
    ValueError,
    HFValidationError,
    RefusedError,
    *HfHubHTTPError.__bases__,
    *transport_errors("InvalidURL", "StreamError"),
)
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM)


def is_absence(error: Exception) -> bool:
    """Check for an existing repository without the file or revision."""
    return isinstance(error, (EntryNotFoundError, RevisionNotFoundError))


def explain(error: Exception, where: str, filename: str = "") -> AdeptError:
    """Translate the client's error for ``where`` (``org/name`` or ``org/name@revision``) into one of ours."""
    if isinstance(error, AdeptError):
        return error
    endpoint = constants.ENDPOINT
    repo = where.partition("@")[0]
    status = status_of(error)
    if isinstance(error, OSError) and error.errno in _DISK:
        return DiskFullError(
            f"{where} cannot be stored: {error.strerror}.\nFree some space or choose another cache: --cache-dir DIR"
        )
    if isinstance(error, GatedRepoError):
        return DownloadError(
            f"{where} is gated: its owner grants access on {endpoint}/{repo}.\n"
            "Then log in: hf auth login (or set HF_TOKEN)"
        )
    if isinstance(error, RevisionNotFoundError):
        return DownloadError(f"{where}: there is no such revision.\nAll revisions: {endpoint}/{repo}/commits")
    if isinstance(error, RepositoryNotFoundError) or status in (401, 403):
        return DownloadError(
            f"{where} is not on the Hub ({endpoint}), or is private and you have no access.\n"
            "Check the name; for a private repository: hf auth login (or set HF_TOKEN)"
        )
    if status == 404:
        what = f"has no {filename}" if filename else "has no such file"
        lacking = "repository or revision" if "@" in where else "repository"
        return CheckpointError(f"{where} {what}: it is not a checkpoint of adept-hub, or there is no such {lacking}.")
    if status == 429:
        return DownloadError(
            f"The Hub refuses {where} for now: too many requests from this address.\n"
            "Wait a minute or log in (hf auth login); a pinned commit in the cache needs no request."
        )
    if status is not None:
        return DownloadError(f"The Hub returned {status} for {where}: {first_line(error)}\nTry again later.")
    if re.search(r"404.*/xet-(read|write)-token/", str(error)):  # hf_xet's message; the client has no fallback
        return DownloadError(
            f"{endpoint} has no Xet storage, which the package hf_xet needs; to disable it: HF_HUB_DISABLE_XET=1\n"
            "Set it before Python starts."
        )
    if "CERTIFICATE_VERIFY_FAILED" in str(root_of(error)):
        return DownloadError(
            f"{where}: the certificate of {endpoint} is not trusted: {first_line(root_of(error))}\n"
            "Specify the authority that signed it: SSL_CERT_FILE=authority.pem"
        )
    return DownloadError(
        f"{where} is not in the cache and could not be fetched from {endpoint}: {first_line(root_of(error))}\n"
        "Check the network, HF_ENDPOINT and the proxy; or download it elsewhere and pass its folder."
    )


def status_of(error: BaseException | None) -> int | None:
    """Return the HTTP status of an error, or of one of its causes."""
    while error is not None:
        status = getattr(error, "status", None) or getattr(getattr(error, "response", None), "status_code", None)
        if isinstance(status, int):
            return status
        error = error.__cause__
    return None


def root_of(error: BaseException) -> BaseException:
    """Return the root cause of an error, whose message is more specific than the client's."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or its class if it is empty; secrets are masked."""
    return next((redact(line.strip())[:300] for line in str(error).splitlines() if line.strip()), type(error).__name__)
