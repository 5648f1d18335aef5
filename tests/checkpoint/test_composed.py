"""Two bundled checkpoints that share parts: one file and an RPN, put together byte for byte."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import adept_hub
from adept_hub.checkpoint.composed import HEADER, OWN
from adept_hub.checkpoint.folder import read_config, write_checkpoint
from adept_hub.errors import DiskFullError, IntegrityError, PublishError, RegistryError
from adept_hub.hub.fetch import fetch
from adept_hub.io.digest import sha256_file
from adept_hub.publish.bundle import bundle
from adept_hub.registry import parse_registry
from adept_hub.spec import PARTS, Provenance
from tests.conftest import SMALL, random_parts

SOCO, SEPARATE = "soco_r18_fpn32.mine", "adept_separate_r18_fpn32.mine"


def write(folder: Path, name: str, parts: tuple[str, ...], seeds: dict[str, int]) -> Path:
    """A checkpoint in float16; the values of a part are of its seed."""
    tensors = {
        key: tensor
        for part in parts
        for key, tensor in random_parts(SMALL, seeds.get(part, 5)).state_dict().items()
        if key.startswith(f"{part}.")
    }
    write_checkpoint(
        folder, tensors, name=name, spec=SMALL, provenance=Provenance(name.split("_r")[0], "noise", 3, 1.0, "target"),
        license="cc-by-4.0", parts=parts, half=True,
    )  # fmt: skip
    return folder


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A registry of one's own with both: the second differs in the RPN and in a single tensor of the head."""
    place = tmp_path / "package"
    place.mkdir()
    models = place / "models.json"
    spec = json.loads(json.dumps(asdict(SMALL)))
    architectures = {name.partition(".")[0]: {"method": name.split("_r")[0], "spec": spec} for name in (SOCO, SEPARATE)}
    models.write_text(
        json.dumps({"format_version": 2, "architectures": architectures, "checkpoints": {}, "defaults": {}})
    )
    first = write(tmp_path / "soco", SOCO, PARTS[:2] + PARTS[3:], {})
    second = write(tmp_path / "separate", SEPARATE, PARTS, {"rpn": 6})
    bundle(first, models=models, bundled=place)
    bundle(second, parts_of=SOCO, models=models, bundled=place)
    monkeypatch.setenv("ADEPT_REGISTRY", str(models))
    return place


def test_the_complete_file_is_the_bundled_one_to_the_byte(package: Path, tmp_path: Path) -> None:
    held = {path.name for path in (package / SEPARATE).iterdir()}
    assert held == {OWN, HEADER, "config.json", "README.md"}
    assert {key.split(".")[0] for key in load_file(package / SEPARATE / OWN)} == {"rpn"}
    fetched = fetch(SEPARATE)
    for name in ("model.safetensors", "config.json"):
        assert (fetched.folder / name).read_bytes() == (tmp_path / "separate" / name).read_bytes()
    assert fetch(SEPARATE).folder == fetched.folder, "once"
    model = adept_hub.load_pretrained(SEPARATE, num_classes=3)
    assert torch.equal(model.rpn.head.cls_logits.bias, random_parts(SMALL, 6).rpn.cls_logits.bias.half().float())
    assert torch.equal(model.backbone.body.bn1.bias, random_parts(SMALL, 5).backbone.bn1.bias.half().float())
    assert adept_hub.model_info(SEPARATE).sha256 == sha256_file(fetched.folder / "model.safetensors")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("another base", r"instead of"),
        ("no base", r"/model\.safetensors does not exist"),
        ("no own", r"own\.safetensors does not exist"),
        ("cut header", r"is not the header of a safetensors file"),
        ("other header", r"both lack 'a'"),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_stays(package: Path, tmp_path: Path, change: str, why: str) -> None:
    base, own, header = package / SOCO / "model.safetensors", package / SEPARATE / OWN, package / SEPARATE / HEADER
    if change == "another base":
        base.write_bytes((write(tmp_path / "new", SOCO, PARTS[:2] + PARTS[3:], {"fpn": 8}) / base.name).read_bytes())
    elif change == "cut header":
        header.write_bytes(header.read_bytes()[:-9])
    elif change == "other header":
        save_file({"a": torch.ones(3)}, tmp_path / "a.safetensors")
        header.write_bytes((tmp_path / "a.safetensors").read_bytes()[:-12])
    else:
        (base if change == "no base" else own).unlink()
    with pytest.raises(IntegrityError, match=why):
        fetch(SEPARATE)
    cache = Path(adept_hub.io.digest.cache_dir()) / "composed"
    assert not cache.exists() or not list(cache.iterdir())


def test_a_cache_that_cannot_be_written_is_told(package: Path, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("ADEPT_CACHE", str(tmp_path / "file"))
    with pytest.raises(DiskFullError, match=rf"^{SEPARATE} shares .* a file, not a folder\.\n.* set ADEPT_CACHE"):
        fetch(SEPARATE)


def test_only_what_shares_something_is_split(package: Path, tmp_path: Path) -> None:
    other = write(tmp_path / "other", "adept_separate_r18_fpn32.other", PARTS, dict.fromkeys(PARTS, 9))
    before = (package / "models.json").read_bytes()
    with pytest.raises(PublishError, match="no tensor in common"):
        bundle(other, parts_of=SOCO, models=package / "models.json", bundled=package)
    assert (package / "models.json").read_bytes() == before
    assert read_config(other).name.endswith("other")


@pytest.mark.parametrize(
    ("location", "why"),
    [
        ({"bundled": SEPARATE, "parts_of": "nobody"}, "'nobody' is not a complete bundled checkpoint"),
        ({"bundled": SEPARATE, "parts_of": SEPARATE}, "is not a complete bundled checkpoint"),
        ({"repo": "org/name", "revision": "0" * 40, "parts_of": SOCO}, "only a bundled checkpoint shares parts"),
    ],
)
def test_a_registry_that_leads_nowhere_is_refused(package: Path, location: dict[str, str], why: str) -> None:
    data = json.loads((package / "models.json").read_text())
    data["checkpoints"][SEPARATE]["location"] = location
    with pytest.raises(RegistryError, match=why):
        parse_registry(data)
