"""Any bytes in proposals, logs, states and detectors: a sound value or one error of the right class."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hostile.property import IRREGULAR, Reader, check, check_irregular
from tests.hostile.readers_runs import READERS


@pytest.mark.parametrize("made", READERS, indirect=True, ids=lambda pair: str(pair[1]))
def test_any_damage(made: tuple[Reader, Path]) -> None:
    check(*made)


@pytest.mark.parametrize("kind", IRREGULAR)
@pytest.mark.parametrize("made", [p for p in READERS if p[1].file != "text"], indirect=True, ids=lambda p: str(p[1]))
def test_irregular(made: tuple[Reader, Path], kind: str) -> None:
    if kind in made[0].irregular:
        check_irregular(*made, kind)
