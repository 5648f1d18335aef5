"""The registry: timm's questions, others' files, and the hygiene of our own."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

import adept_hub
from adept_hub.cards.published import registry_entry
from adept_hub.checkpoint.folder import CONFIG, WEIGHTS, read_config, replace_provenance
from adept_hub.errors import IntegrityError, RegistryError, UnknownModelError, UnpublishedWeightsError
from adept_hub.hub.fetch import fetch
from adept_hub.io.digest import sha256_file
from adept_hub.registry import (
    BUNDLED,
    list_models,
    model_info,
    parse_registry,
    read_registry,
    registry,
    registry_files,
)
from adept_hub.registry.entries import Location
from adept_hub.spec import METHODS, PARTS, DetectorSpec, Metric, Preprocessing
from tests.house import PIXELS, write_house
from tests.registry.registries import checkpoint, small, write

# --- the package's own ---------------------------------------------------------------------------------------------


def test_every_own_entry_is_valid_and_means_one_file() -> None:
    own = read_registry(*registry_files())
    digests = [info.sha256 for info in own.values() if info.pretrained]
    assert len(digests) == len(set(digests)), "two tags share one digest"
    for name, info in own.items():
        assert info.name == name
        assert info.method in METHODS
        assert name.startswith(f"{info.method}_r{info.spec.depth}_fpn")
        assert info.pretrained or not (info.sha256 or info.size)


def test_every_bundled_checkpoint_is_the_registered_one() -> None:
    for info in registry().values():
        if info.folder is None:
            continue
        assert info.folder.is_relative_to(BUNDLED)
        config = read_config(info.folder)
        complete = fetch(info.name).folder
        assert sha256_file(complete / WEIGHTS) == info.sha256 == config.sha256
        assert (complete / WEIGHTS).stat().st_size == info.size <= 40e6
        assert (config.name, config.spec, config.license) == (info.name, info.spec, info.license)
        assert config.provenance.method == info.method
        assert info.config_sha256 in ("", sha256_file(info.folder / CONFIG))
        provenance = config.provenance
        assert (info.data, info.images, info.epochs) == (provenance.data, provenance.images, provenance.epochs)
        assert info.metrics == provenance.metrics


def test_an_entry_is_made_from_the_folder(make_checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, config, _ = make_checkpoint(folder=tmp_path / "team" / "ckpt")
    entry = registry_entry(folder, bundled="ckpt")
    write(tmp_path / "team" / "registry.json", small(checkpoints={"mine_r18_fpn.photos": entry}))
    monkeypatch.setenv("ADEPT_REGISTRY", str(tmp_path / "team" / "registry.json"))
    info = model_info("mine")
    assert (info.sha256, info.size, info.license) == (config.sha256, config.size, config.license)
    assert adept_hub.load_state_dict("mine")
    (folder / CONFIG).write_text((folder / CONFIG).read_text().replace("0.485", "0.5"))
    with pytest.raises(IntegrityError, match="is not the registered config"):
        adept_hub.load_state_dict("mine")


@pytest.mark.parametrize(
    "pixels",
    [Preprocessing(), Preprocessing(mean=(0.1, 0.2, 0.3)), Preprocessing(std=(0.4, 0.5, 0.6)), PIXELS],
)
def test_an_entry_repeats_every_fact_of_its_folder(
    pixels: Preprocessing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = write_house(tmp_path / "house", preprocessing=pixels, name="mine_r18_fpn.photos")
    metrics = (Metric("AP50", 41.5, "VOC2007 test", "reproduced", "adept evaluate x", "± 0.3"),)
    config = replace_provenance(house.folder, metrics=metrics)
    for location in ({"bundled": "house"}, {"repo": "org/mine", "revision": "ab" * 20}):
        file = write(
            tmp_path / f"{len(location)}.json",
            small(checkpoints={config.name: registry_entry(house.folder, **location)}),
        )
        monkeypatch.setenv("ADEPT_REGISTRY", str(file))
        info = model_info("mine")
        assert vars(info) == {
            "name": config.name, "method": "soco", "spec": DetectorSpec(depth=18), "summary": "mine",
            "location": Location(**location), "sha256": config.sha256, "size": config.size,
            "config_sha256": hashlib.sha256((house.folder / CONFIG).read_bytes()).hexdigest(),
            "license": "cc-by-nc-sa-4.0", "data": "photographs of a house", "images": 321, "epochs": 7.5,
            "metrics": metrics, "aliases": ("mine",), "base": tmp_path, "preprocessing": pixels,
        }  # fmt: skip
        assert info.folder == (house.folder if "bundled" in location else None)


def test_a_file_that_changes_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A session that lasts, as a notebook's, sees an edit; also one that keeps the size, or puts a new file there."""
    file = write(tmp_path / "registry.json", small())
    monkeypatch.setenv("ADEPT_REGISTRY", str(file))
    assert model_info("mine").summary == "mine"
    assert registry() is registry(), "an unchanged file is read once"
    file.write_text(file.read_text().replace('"summary": "mine"', '"summary": "mild"'))
    assert model_info("mine").summary == "mild"
    write(tmp_path / "new.json", small(deprecated={})).replace(file)
    assert "mine_old" not in registry().deprecated
    file.unlink()
    with pytest.raises(RegistryError, match=r"registry\.json"):
        model_info("mine")


def test_nothing_is_bundled_that_is_not_registered() -> None:
    registered = {info.folder for info in registry().values()}
    assert {path for path in BUNDLED.glob("*") if path.is_dir()} <= registered


def test_defaults_and_aliases_lead_somewhere() -> None:
    own = registry()
    assert {"adept_joint", "adept_separate"} <= own.defaults.keys()
    for alias, target in {**own.defaults, **own.deprecated}.items():
        assert target in own
        if alias in METHODS:
            assert own[target].method == alias
    assert any(own.resolve(alias).pretrained for alias in ("adept_joint",)) or not list_models(pretrained=True)


# --- timm's questions ----------------------------------------------------------------------------------------------


def test_list_models_by_pattern_method_and_publication(mine: Path) -> None:
    assert "mine_r18_fpn" in list_models()
    assert list_models("mine*") == ["mine_r18_fpn"]
    assert list_models("mine*", pretrained=True) == ["mine_r18_fpn.photos"]
    assert list_models("mine_r18_fpn", pretrained=True) == ["mine_r18_fpn.photos"]
    assert list_models("*.photos", pretrained=True) == ["mine_r18_fpn.photos"]
    assert list_models("mine_r?8*", method="soco") == ["mine_r18_fpn"]
    assert list_models("mine*", method="byol") == []
    assert list_models("MINE*") == []
    everything = list_models()
    assert everything == sorted(everything)
    assert adept_hub.list_models("soco_*") == [name for name in everything if name.startswith("soco_")]


def test_list_models_as_timms_users_type_it(mine: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Expected by timm's own rules (its _registry.py): empty filters, several, exclusion, patterns without tags."""
    points = {f"mine_r18_fpn.{tag}": checkpoint(sha256=f"{i:064x}") for i, tag in enumerate(("photos", "films"))}
    points["mine_r18_fpn.soon"] = {}
    monkeypatch.setenv("ADEPT_REGISTRY", str(write(tmp_path / "two.json", small(checkpoints=points))))
    assert list_models("") == list_models() == list_models("*") == list_models([])
    assert set(list_models(["mine*", "soco_r18*"])) == {"mine_r18_fpn", "soco_r18_fpn", "soco_r18_fpn128"}
    assert list_models(["mine*", "soco_r18*"], exclude_filters="*128") == ["mine_r18_fpn", "soco_r18_fpn"]
    assert list_models("mine*", exclude_filters=["*.photos"], pretrained=True) == ["mine_r18_fpn.films"]
    assert list_models("mine*", exclude_filters="mine_r18_fpn", pretrained=True) == []
    assert adept_hub.list_pretrained("mine*") == ["mine_r18_fpn.films", "mine_r18_fpn.photos"]
    bundled = ["adept*", "detection*", "soco*"]
    assert adept_hub.list_pretrained(exclude_filters=bundled) == adept_hub.list_pretrained("mine*")
    assert "mine_old" not in list_models(), "deprecated names work and are not listed"


def test_is_model(mine: Path) -> None:
    for name in ("mine", "mine_r18", "mine_r18_fpn", "mine_r18_fpn.photos", "mine_old", "adept_joint"):
        assert adept_hub.is_model(name), name
    assert not any(map(adept_hub.is_model, ("", "mine*", "mine_r18_fpn.other", "MINE")))
    for name in ("mine", "mine_r18", "mine_r18_fpn", "mine_r18_fpn.photos"):
        assert adept_hub.is_model_pretrained(name), name
    assert not any(map(adept_hub.is_model_pretrained, ("soco_r50_fpn", "mine_r18_fpn.other", "nothing")))


def test_model_info_knows_aliases_and_inherits_the_architecture(mine: Path) -> None:
    info = model_info("mine")
    assert (info.name, info.architecture, info.tag) == ("mine_r18_fpn.photos", "mine_r18_fpn", "photos")
    assert (info.method, info.spec.depth, info.summary, info.aliases) == ("soco", 18, "mine", ("mine",))
    assert info.pretrained
    assert info.folder is None
    with pytest.raises(AttributeError):
        info.name = "other"  # type: ignore[misc]  # frozen


def test_an_unknown_name_shows_the_nearest(mine: Path) -> None:
    with pytest.raises(UnknownModelError, match=r"mine_r18_fpn.*\nEvery name: adept list"):
        model_info("mine_r18_fpm")


def test_an_architecture_without_weights_says_what_is_published(mine: Path) -> None:
    with pytest.raises(UnpublishedWeightsError, match=r"Published: .*mine_r18_fpn\.photos.*\n.*--method soco"):
        registry().resolve_pretrained("soco_r101_fpn")


def test_an_architecture_means_its_first_published_tag_where_weights_are_wanted(mine: Path) -> None:
    assert registry().resolve("mine_r18").tag == ""
    assert registry().resolve_pretrained("mine_r18").name == "mine_r18_fpn.photos"


def test_a_tag_that_is_not_published_is_passed_over(tmp_path: Path) -> None:
    tags = {"mine_r18_fpn.first": checkpoint(location=None, sha256="", size=0), "mine_r18_fpn.second": checkpoint()}
    parsed = parse_registry(small(checkpoints=tags, defaults={}, deprecated={}))
    assert parsed.resolve_pretrained("mine_r18_fpn").name == "mine_r18_fpn.second"


def test_a_tag_without_a_location_is_known_and_not_published(tmp_path: Path) -> None:
    data = small(checkpoints={"mine_r18_fpn.photos": checkpoint(location=None, sha256="", size=0)})
    parsed = parse_registry(data)
    assert parsed.names(None, pretrained=True) == []
    assert not parsed["mine_r18_fpn.photos"].pretrained


def test_a_deprecated_name_warns_and_works(mine: Path) -> None:
    with pytest.warns(FutureWarning, match=r"'mine_old' is deprecated: use 'mine_r18_fpn\.photos'"):
        assert model_info("mine_old").name == "mine_r18_fpn.photos"


# --- others' files -------------------------------------------------------------------------------------------------


def test_bundled_folders_of_others_are_beside_their_file(tmp_path: Path, make_checkpoint, monkeypatch) -> None:
    folder, config, _ = make_checkpoint(folder=tmp_path / "team" / "ckpt")
    entry = checkpoint(location={"bundled": "ckpt"}, sha256=config.sha256, size=config.size)
    data = small(checkpoints={"mine_r18_fpn.photos": entry})
    monkeypatch.setenv("ADEPT_REGISTRY", str(write(tmp_path / "team" / "registry.json", data)))
    assert model_info("mine").folder == folder
    assert adept_hub.load_state_dict("mine").keys()


def test_listing_imports_neither_torch_nor_what_it_does_not_need() -> None:
    code = "import sys, adept_hub; adept_hub.list_models(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "torchvision", "huggingface_hub"} & set(done.stdout.split())


def test_parts_are_the_four() -> None:
    assert PARTS == ("backbone", "fpn", "rpn", "head")
