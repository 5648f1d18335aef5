"""Hub tests reach no further than this machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from adept_hub.hub.fetch import FetchOptions


@pytest.fixture(autouse=True)
def _guarded(loopback_only: None) -> None:
    """Every test of this folder."""


@pytest.fixture
def options(tmp_path: Path) -> FetchOptions:
    return FetchOptions(cache_dir=tmp_path / "cache")
