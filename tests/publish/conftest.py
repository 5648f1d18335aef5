"""A finished run to publish, by someone who is logged in."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from adept_hub.checkpoint.folder import write_config
from tests.hub.loopback_state import OWNER
from tests.publish.published import METRICS


@pytest.fixture
def run(make_checkpoint, tmp_path: Path) -> Path:
    """A run as ``adept pretrain`` leaves it: recipe, log, pictures, its own pickled states, and export/."""
    folder = tmp_path / "run"
    folder.mkdir()
    export, config, _ = make_checkpoint(half=True, folder=folder / "export")
    write_config(export, replace(config, provenance=replace(config.provenance, metrics=METRICS)))
    (folder / "recipe.yaml").write_text("method: {name: adept_joint}\n")
    (folder / "log.jsonl").write_text('{"step": 1, "loss": 2.0}\n')
    (folder / "pictures").mkdir()
    (folder / "pictures" / "top_proposals.png").write_bytes(b"\x89PNG")
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "step-1.pt").write_bytes(b"\x80\x02 a pickle")
    (folder / ".env").write_text("HF_TOKEN=secret")
    return folder


@pytest.fixture(autouse=True)
def _logged_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", OWNER)
