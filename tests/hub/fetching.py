"""How the tests of fetching fetch, and how they damage what was fetched."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from adept_hub.checkpoint.folder import WEIGHTS, read_tensors
from adept_hub.hub.fetch import FetchOptions, fetch


def cache_of(options: FetchOptions) -> Path:
    return Path(str(options.cache_dir))


def flip(body: bytes) -> bytes:
    """The same length, one byte in the middle of the tensors changed."""
    at = len(body) // 2
    return body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]


def blob(cache: Path, name: str = WEIGHTS) -> Path:
    return next(cache.glob(f"models--*/snapshots/*/{name}")).resolve()


def fetch_and_read(source: str, options: FetchOptions) -> dict[str, torch.Tensor]:
    fetched = fetch(source, options)
    return read_tensors(fetched.folder, fetched.config)


def fails(error: type[Exception], source: str, options: FetchOptions) -> str:
    with pytest.raises(error) as caught:
        fetch_and_read(source, options)
    assert 1 <= len(str(caught.value).splitlines()) <= 3, caught.value
    return str(caught.value)
