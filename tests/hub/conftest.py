"""Hub tests reach no further than this machine."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _guarded(loopback_only: None) -> None:
    """Every test of this folder."""
