"""A run that was made below a folder, pushed: no uploaded file has the folder's name."""

from __future__ import annotations

from pathlib import Path

import pytest

from adept_hub.cli.main import main
from tests.hub.loopback import Hub
from tests.hub.loopback_state import OWNER
from tests.publish.published import files_of
from tests.training.support import TINY, write_photographs


def test_no_uploaded_file_has_a_path_of_the_machine(
    hub: Hub, loopback_only: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HF_TOKEN", OWNER)
    write_photographs(tmp_path / "patients", 12)
    run = tmp_path / "run"
    settings = (*TINY, "schedule.epochs=1", "data.proposals=opencv-fast", "export.license=apache-2.0")
    words = ["pretrain", "--images", str(tmp_path / "patients"), "--out", str(run), "--method", "adept_joint"]
    assert main([*words, *(word for setting in settings for word in ("--set", setting))]) == 0
    secret = str(tmp_path).encode()
    assert secret in (run / "log.jsonl").read_bytes(), "adept pretrain --resume and the report read it there"
    for folder, repo in ((run, "org/run"), (run / "export", "org/export")):
        assert main(["push", str(folder), repo]) == 0
        uploaded = files_of(hub, repo)
        assert {"README.md", "config.json", "model.safetensors", "recipe.yaml", "log.jsonl"} <= uploaded.keys()
        assert [name for name, content in uploaded.items() if secret in content or b"patients" in content] == []
