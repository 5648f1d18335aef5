"""The house's facts through publishing: what goes up comes down the same, and its license is nobody's to widen."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml

import adept_hub
from adept_hub.checkpoint.folder import CONFIG, read_config, write_config
from adept_hub.cli.main import main
from adept_hub.errors import LicenseError, PublishError, RegistryError
from adept_hub.publish.bundle import bundle
from adept_hub.publish.release import check_publishable
from adept_hub.registry import model_info
from adept_hub.registry.reader import read_registry
from adept_hub.spec import Start
from tests.house import LICENSE, NAME, PIXELS, SPEC, House, network_input, photograph, write_house
from tests.hub.loopback import Hub
from tests.hub.loopback_state import OWNER


@pytest.fixture(autouse=True)
def _logged_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", OWNER)


@torch.no_grad()
def test_the_house_goes_up_and_comes_down_the_same(hub: Hub, house: House, tmp_path: Path) -> None:
    published = adept_hub.push_to_hub(house.folder, "org/house")
    files = hub.repos["org/house"].commits[hub.repos["org/house"].refs["main"]].files
    config = json.loads(files[CONFIG])
    assert config["preprocessing"] == {"channel_order": "rgb", "mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6]}
    card = files["README.md"].decode()
    assert yaml.safe_load(card.split("---\n")[1])["license"] == LICENSE
    for fact in ("0.1, 0.2, 0.3; 0.4, 0.5, 0.6", "11, 23, 47, 90 px on P2-P5, h/w 0.4, 1.7", "36, 72, 144, 170 px"):
        assert fact in card, fact
    model = adept_hub.load_pretrained(
        published.source, num_classes=4, min_size=64, max_size=96, cache_dir=tmp_path / "cache"
    ).eval()
    image = photograph()
    batch, _ = model.transform([image.float() / 255])
    torch.testing.assert_close(batch.tensors[0], network_input(image), rtol=0, atol=1e-5)
    assert torch.equal(model.backbone(batch.tensors)["p2"], house.parts.pyramid(batch.tensors)[0])
    assert model.checkpoint_config == house.config


@pytest.fixture
def registered(house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The house in a registry of one's own, by the maintainers' command."""
    models = tmp_path / "mine" / "registry.json"
    models.parent.mkdir()
    spec = {
        "depth": 18, "fpn_channels": 24, "head_conv_channels": 40, "head_fc_channels": 72,
        "anchors": {"sizes": [11, 23, 47, 90], "ratios": [0.4, 1.7]}, "levels": {"upper": [36, 72, 144, 170]},
    }  # fmt: skip
    entry = {"method": "adept_joint", "spec": spec}
    models.write_text(
        json.dumps({"format_version": 2, "architectures": {"adept_joint_r18_fpn24": entry}, "checkpoints": {}})
    )
    monkeypatch.setenv("ADEPT_REGISTRY", str(models))
    monkeypatch.setattr("adept_hub.publish.bundle.MAX_BYTES", 1 << 30)
    bundle(house.folder, models=models, bundled=models.parent)
    return models


def test_a_created_model_has_the_pixels_and_anchors_of_its_name(registered: Path, capsys) -> None:
    assert (model_info(NAME).preprocessing, model_info(NAME).spec) == (PIXELS, SPEC)
    loaded, created = adept_hub.load_pretrained(NAME, num_classes=4), adept_hub.create_model(NAME, num_classes=4)
    for model in (loaded, created):
        assert (model.transform.image_mean, model.transform.image_std) == ([0.1, 0.2, 0.3], [0.4, 0.5, 0.6])
        assert model.rpn.anchor_generator.sizes == ((11.0,), (23.0,), (47.0,), (90.0,), (180.0,))
        assert model.rpn.anchor_generator.aspect_ratios[0] == (0.4, 1.7)
    assert main(["info", NAME]) == 0
    assert "mean 0.1, 0.2, 0.3, std 0.4, 0.5, 0.6" in capsys.readouterr().out


def test_a_registry_s_preprocessing_is_checked(registered: Path) -> None:
    data = json.loads(registered.read_text())
    data["checkpoints"][NAME]["preprocessing"]["std"] = [0.4, 0.0, 0.6]
    registered.write_text(json.dumps(data))
    with pytest.raises(RegistryError, match="not positive"):
        read_registry((registered, registered.parent))


def test_a_saved_detector_does_not_widen_the_license_of_its_origin(house: House, tmp_path: Path) -> None:
    model = adept_hub.load_pretrained(house.folder, num_classes=4)
    with pytest.raises(LicenseError, match=f"{NAME}.*{LICENSE}; mit is not known"):
        adept_hub.save_pretrained(model, tmp_path / "saved", name="adept_joint_r18_fpn24.again", license="mit")
    assert not (tmp_path / "saved").exists()
    saved = adept_hub.save_pretrained(
        model, tmp_path / "saved", name="adept_joint_r18_fpn24.again", license="mit", relicense=True
    )
    assert (saved.license, saved.provenance.relicensed) == ("mit", True)
    assert saved.provenance.starts == (Start(NAME, house.config.sha256, LICENSE),)


@pytest.mark.parametrize(
    ("own", "start", "published"),
    [("mit", "cc-by-nc-4.0", False), ("cc-by-nc-4.0", "mit", True), ("gpl-3.0", "apache-2.0", True),
     ("apache-2.0", "gpl-3.0", False), ("mit", "unstated", False), ("CC-BY-4.0", "cc-by-4.0", True)],
)  # fmt: skip
def test_what_is_published_is_at_least_as_restrictive_as_its_start(
    own: str, start: str, published: bool, tmp_path: Path
) -> None:
    """Pairs of which one follows the other, so that the question cannot be asked the wrong way round."""
    made = write_house(tmp_path / "house", license=own)
    provenance = replace(made.config.provenance, starts=(Start("far", "0" * 64, "mit"), Start("near", "1" * 64, start)))
    write_config(made.folder, replace(made.config, provenance=provenance))
    if published:
        assert check_publishable(made.folder).license == own
        return
    with pytest.raises(PublishError, match=f"started from near, .*its own license, {own}, is not known"):
        check_publishable(made.folder)


def test_a_license_that_was_widened_by_hand_is_not_published(hub: Hub, house: House, tmp_path: Path) -> None:
    model = adept_hub.load_pretrained(house.folder, num_classes=4)
    config = adept_hub.save_pretrained(model, tmp_path / "saved", name="adept_joint_r18_fpn24.again")
    write_config(tmp_path / "saved", replace(config, license="apache-2.0"))
    with pytest.raises(PublishError, match=r"apache-2.0, is not known.*\n.*--license apache-2.0 --relicense"):
        adept_hub.push_to_hub(tmp_path / "saved", "org/house")
    adept_hub.push_to_hub(tmp_path / "saved", "org/house", license="apache-2.0", relicense=True)
    assert (
        "claims the right"
        in hub.repos["org/house"].commits[hub.repos["org/house"].refs["main"]].files["README.md"].decode()
    )


@pytest.mark.parametrize(
    "start",
    [{"name": "", "sha256": "ab" * 32, "license": "mit"}, {"name": "a\x07", "sha256": "ab" * 32, "license": "mit"},
     {"name": "a", "sha256": "ab", "license": "mit"}, {"name": "a", "sha256": "ab" * 32, "license": "<b>"},
     {"name": "a", "sha256": "ab" * 32}, {"name": "a", "sha256": "ab" * 32, "license": "mit", "url": "x"}],
)  # fmt: skip
def test_starts_of_a_config_are_checked(start: dict[str, str], house: House) -> None:
    path = house.folder / CONFIG
    data = json.loads(path.read_text())
    data["provenance"]["starts"] = [start]
    path.write_text(json.dumps(data))
    with pytest.raises(adept_hub.errors.CheckpointError, match="starts"):
        read_config(house.folder)


def test_a_config_without_the_new_fields_is_read(house: House) -> None:
    path = house.folder / CONFIG
    data = json.loads(path.read_text())
    for name in ("starts", "relicensed", "labeled"):
        del data["provenance"][name]
    path.write_text(json.dumps(data))
    assert read_config(house.folder) == house.config


def test_an_imported_file_is_what_its_checkpoint_started_from(tmp_path: Path) -> None:
    from torchvision.models import resnet18

    torch.save(resnet18(weights=None).state_dict(), tmp_path / "theirs.pth")
    words = ["import", str(tmp_path / "theirs.pth"), "--out", str(tmp_path / "out"), "--layout", "resnet"]
    assert main([*words, "--license", "cc-by-nc-4.0", "--mean", "0.1", "0.2", "0.3"]) == 0
    config = read_config(tmp_path / "out")
    (start,) = config.provenance.starts
    assert (start.name, start.license, config.license) == ("theirs.pth", "cc-by-nc-4.0", "cc-by-nc-4.0")
    import hashlib

    assert start.sha256 == hashlib.sha256((tmp_path / "theirs.pth").read_bytes()).hexdigest()
