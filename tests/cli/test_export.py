"""``adept export`` and ``adept pull`` on a checkpoint folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from adept_hub.cli.main import main
from adept_hub.frameworks import FRAMEWORKS


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_export_says_what_it_wrote(make_checkpoint, tmp_path: Path, capsys, framework: str) -> None:
    folder, _, _ = make_checkpoint()
    out = tmp_path / "out"
    assert main(["export", str(folder), "--to", framework, "--out", str(out), "--num-classes", "4", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert {Path(name) for name in said["files"]} == set(out.iterdir())
    assert said["framework"] == framework


def test_export_does_not_overwrite(make_checkpoint, tmp_path: Path, capsys) -> None:
    folder, _, _ = make_checkpoint()
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.tex").write_text("mine")
    assert main(["export", str(folder), "--to", "mmdet", "--out", str(out)]) == 1
    assert "already exists" in capsys.readouterr().err
    assert [path.name for path in out.iterdir()] == ["thesis.tex"]
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_pull_verifies_every_byte(make_checkpoint, capsys) -> None:
    folder, config, _ = make_checkpoint()
    assert main(["pull", str(folder)]) == 0
    assert "200 tensors" in capsys.readouterr().out
    path = folder / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    assert main(["pull", str(folder)]) == 1
    assert config.sha256[:16] in capsys.readouterr().err
