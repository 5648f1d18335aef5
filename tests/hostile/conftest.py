"""Folders of valid files that the tests of readers damage and put back."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.hostile.property import Reader

Make = Callable[[Path], None]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Make], Path]:
    """A valid folder of each kind, made once: whoever damages it puts it back."""

    @functools.cache
    def made(make: Make) -> Path:
        folder = tmp_path_factory.mktemp("folder")
        make(folder)
        return folder

    return made


@pytest.fixture
def made(
    request: pytest.FixtureRequest, folders: Callable[[Make], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Reader, Path]:
    """A reader and a valid folder for it, of a parameter (make, reader)."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    make, reader = request.param
    return reader, folders(make)
