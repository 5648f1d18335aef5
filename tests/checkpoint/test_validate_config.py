"""Hostile and damaged files: each is refused in order, nothing of it runs, nothing is built from it.

The full numbers, with times and memory: python -m tests.hub.fuzz 2000
"""

from __future__ import annotations

from pathlib import Path

import pytest

from adept_hub.errors import AdeptError
from tests.checkpoint.malicious_pickles import CASES
from tests.hub import fuzz


def test_there_are_eighty_attacks_at_least() -> None:
    assert len(CASES) >= 80


@pytest.mark.parametrize("name", CASES)
def test_an_attack_is_refused(name: str, tmp_path: Path, make_checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, _, _ = make_checkpoint(half=True)
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    with pytest.raises(AdeptError) as caught:
        CASES[name](work, folder)
    assert 1 <= len(str(caught.value).splitlines()) <= 3
    assert len(str(caught.value)) < 2000
    assert not list(tmp_path.rglob("owned"))


def test_damage_by_the_hundred(make_checkpoint) -> None:
    folder, _, _ = make_checkpoint(half=True)
    report = fuzz.run(folder, 150, seed=1)
    assert sum(report.outcomes.values()) == 150
    assert report.outcomes["loaded, as promised"] < 30
    assert report.megabytes < 200
