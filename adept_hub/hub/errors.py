"""What can go wrong between this machine and the Hub, in words that a user can act on."""

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
from adept_hub.words.messages import redact


class RefusedError(Exception):
    """An HTTP status that is not the file, as an error that carries it; ``wait``: the seconds of its Retry-After."""

    def __init__(self, status: int, wait: float = 0.0) -> None:
        super().__init__(f"HTTP {status}")
        self.status = status
        self.wait = wait


def _transport(*names: str) -> tuple[type[Exception], ...]:
    """The errors of these names that the client's transport has; it is requests, httpx or httpx2, by its version."""
    package = importlib.import_module(HfHubHTTPError.__bases__[0].__module__.partition(".")[0])
    module = getattr(package, "exceptions", package)
    return tuple(getattr(module, name) for name in names if hasattr(module, name))


#: What a request can raise: the client's own errors, those of its transport, those of the operating system, and what
#: an odd answer raises on its way through all of them (a port that is not a number, a header that is not text).
TRANSPORT: tuple[type[Exception], ...] = (
    OSError,
    ValueError,
    HFValidationError,
    RefusedError,
    *HfHubHTTPError.__bases__,
    *_transport("InvalidURL", "StreamError"),
)
#: Of these, the ones that may be gone in a moment.
_BROKEN: tuple[type[Exception], ...] = (
    ConnectionError,
    TimeoutError,
    *_transport("TimeoutException", "NetworkError", "RemoteProtocolError"),  # httpx
    *_transport("Timeout", "ConnectionError", "ChunkedEncodingError"),  # requests
)
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM)
_BUSY = (408, 425, 429, 500, 502, 503, 504)


def is_absence(error: Exception) -> bool:
    """Whether the Hub knows the repository, and says that the file or revision does not exist in it."""
    return isinstance(error, (EntryNotFoundError, RevisionNotFoundError))


def is_transient(error: Exception) -> bool:
    """Whether the same request may succeed in a moment: a busy server or a broken connection."""
    status = status_of(error)
    if status is not None:
        return status in _BUSY
    refused_by_proxy = type(error).__name__ == "ProxyError"
    untrusted = "CERTIFICATE_VERIFY_FAILED" in str(root_of(error))
    return isinstance(error, _BROKEN) and not refused_by_proxy and not untrusted


def explain(error: Exception, where: str, filename: str = "") -> AdeptError:
    """Translate a client's error about ``where`` (``org/name`` or ``org/name@revision``) into one of ours."""
    if isinstance(error, AdeptError):
        return error
    endpoint = constants.ENDPOINT
    repo = where.partition("@")[0]
    status = status_of(error)
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
    if "CERTIFICATE_VERIFY_FAILED" in str(root_of(error)):
        return DownloadError(
            f"{where}: the certificate of {endpoint} is not trusted here: {first_line(root_of(error))}\n"
            "Name the authority that signed it: SSL_CERT_FILE=authority.pem"
        )
    return DownloadError(
        f"{where} is not in the cache and could not be fetched from {endpoint}: {first_line(root_of(error))}\n"
        "Check the network, HF_ENDPOINT and the proxy; or fetch it elsewhere and give its folder."
    )


def status_of(error: BaseException | None) -> int | None:
    """Return the HTTP status behind an error, or behind what it was raised from."""
    while error is not None:
        status = getattr(error, "status", None) or getattr(getattr(error, "response", None), "status_code", None)
        if isinstance(status, int):
            return status
        error = error.__cause__
    return None


def root_of(error: BaseException) -> BaseException:
    """Return what an error was raised from, at the bottom: the client's own words for it say less."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or its class if it has none; secrets are masked."""
    return next((redact(line.strip())[:300] for line in str(error).splitlines() if line.strip()), type(error).__name__)
