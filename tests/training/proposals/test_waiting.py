"""Processes that a launcher started together wait for the one that writes the table; others are refused."""

import pytest
from PIL import Image

from adept_training.proposals import run_proposals


@pytest.mark.parametrize(
    ("variables", "asked", "waits"),
    [
        ({}, False, False),
        ({}, True, True),
        ({"WORLD_SIZE": "2", "RANK": "0"}, False, True),
        ({"WORLD_SIZE": "2", "RANK": "1"}, False, True),
        ({"SLURM_NTASKS": "3", "SLURM_PROCID": "0"}, False, True),
        ({"WORLD_SIZE": "1", "RANK": "0"}, False, False),
    ],
)
def test_processes_that_were_launched_together_wait_for_each_other(variables, asked, waits, tmp_path, monkeypatch):
    for name in ("WORLD_SIZE", "RANK", "SLURM_NTASKS", "SLURM_PROCID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    seen = []

    class HeldError(Exception):
        pass

    def own_folder(folder, *, wait):
        seen.append((folder, wait))
        raise HeldError

    monkeypatch.setattr("adept_training.proposals.run.own_folder", own_folder)
    Image.new("RGB", (40, 30)).save(tmp_path / "a.png")
    with pytest.raises(HeldError):
        run_proposals(tmp_path, tmp_path / "table", "fixed", workers=1, wait=asked)
    assert seen == [(tmp_path / "table", waits)]
