"""Any bytes in proposals, logs, states and detectors: a sound value or one error of the right class."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.hostile.property import IRREGULAR, Reader, check, check_irregular
from tests.hostile.readers_runs import READERS, Make


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
    request: pytest.FixtureRequest, folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Reader, Path]:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    make, reader = request.param
    return reader, folders(make)


@pytest.mark.parametrize("made", READERS, indirect=True, ids=lambda pair: str(pair[1]))
def test_any_damage(made: tuple[Reader, Path]) -> None:
    check(*made)


@pytest.mark.parametrize("kind", IRREGULAR)
@pytest.mark.parametrize("made", [p for p in READERS if p[1].file != "text"], indirect=True, ids=lambda p: str(p[1]))
def test_irregular(made: tuple[Reader, Path], kind: str) -> None:
    if kind in made[0].irregular:
        check_irregular(*made, kind)
