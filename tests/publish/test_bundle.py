"""Putting a checkpoint into the package: the entry says exactly what the folder holds, or nothing changes."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from adept_hub.errors import PublishError
from adept_hub.publish.bundle import bundle
from adept_hub.registry.reader import read_registry


@pytest.fixture
def models(tmp_path: Path) -> Path:
    spec = {"depth": 18, "fpn_channels": 32, "head_conv_channels": 32, "head_fc_channels": 64}
    path = tmp_path / "models.json"
    data = {
        "format_version": 2,
        "architectures": {"adept_joint_r18_fpn32": {"method": "adept_joint", "spec": spec}},
        "checkpoints": {},
        "defaults": {"adept_joint": "adept_joint_r18_fpn32"},
    }
    path.write_text(json.dumps(data))
    return path


def test_the_entry_leads_to_the_very_files(make_checkpoint, models: Path, tmp_path: Path) -> None:
    folder, config, _ = make_checkpoint(half=True)
    name = bundle(folder, "adept_joint", models=models, bundled=tmp_path / "bundled")
    info = read_registry((models, tmp_path / "bundled")).resolve_pretrained("adept_joint")
    assert info.name == name == config.name
    assert read_registry((models, tmp_path / "bundled")).resolve_pretrained("adept_joint_r18_fpn32") == info
    for file, digest in (("model.safetensors", info.sha256), ("config.json", info.config_sha256)):
        assert hashlib.sha256((info.folder / file).read_bytes()).hexdigest() == digest
    assert info.size == (info.folder / "model.safetensors").stat().st_size
    assert (info.folder / "README.md").read_text().startswith("---")


def test_pictures_come_along_and_are_shown(make_checkpoint, models: Path, tmp_path: Path, monkeypatch) -> None:
    folder, config, _ = make_checkpoint(half=True, folder=tmp_path / "run" / "export")
    for place, name in ((folder, "a cat.jpg"), (folder.parent, "rocket.png")):
        (place / "pictures").mkdir()
        (place / "pictures" / name).write_bytes(bytes(1000))
    bundle(folder, models=models, bundled=tmp_path / "bundled")
    bundled = tmp_path / "bundled" / config.name
    assert sorted(path.name for path in (bundled / "pictures").iterdir()) == ["a cat.jpg", "rocket.png"]
    card = (bundled / "README.md").read_text()
    assert "![a cat](pictures/a%20cat.jpg)\n\n![rocket](pictures/rocket.png)" in card
    monkeypatch.setattr("adept_hub.publish.bundle.MAX_PICTURE_BYTES", 1999)
    with pytest.raises(PublishError, match="pictures"):
        bundle(folder, models=models, bundled=tmp_path / "bundled")


def test_what_does_not_fit_changes_nothing(make_checkpoint, models: Path, tmp_path: Path, monkeypatch) -> None:
    folder, _, _ = make_checkpoint(half=True)
    before = models.read_bytes()
    data = json.loads(before)
    data["architectures"]["adept_joint_r18_fpn32"]["spec"]["depth"] = 34
    models.write_text(json.dumps(data))
    with pytest.raises(PublishError, match="does not have the architecture"):
        bundle(folder, models=models, bundled=tmp_path / "bundled")
    assert json.loads(models.read_text()) == data
    models.write_bytes(before)
    with pytest.raises(PublishError, match=r"no bundled checkpoint 'soco_r9'\.\nBundle it first"):
        bundle(folder, parts_of="soco_r9", models=models, bundled=tmp_path / "bundled")
    monkeypatch.setattr("adept_hub.publish.bundle.MAX_BYTES", 1000)
    with pytest.raises(PublishError, match="may have 1,000"):
        bundle(folder, models=models, bundled=tmp_path / "bundled")
    assert models.read_bytes() == before
    assert list((tmp_path / "bundled").glob("*")) == []
