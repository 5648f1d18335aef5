"""The registry: timm's questions, others' files, and the hygiene of our own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

import adept_hub
from adept_hub.cards.tables import registry_entry
from adept_hub.checkpoint.folder import CONFIG, WEIGHTS, read_config
from adept_hub.cli.main import main
from adept_hub.errors import IntegrityError, RegistryError, UnknownModelError, UnpublishedWeightsError
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
from adept_hub.spec import METHODS, PARTS
from tests.registry.registries import COMMIT, checkpoint, small, write

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
        assert sha256_file(info.folder / WEIGHTS) == info.sha256 == config.sha256
        assert (info.folder / WEIGHTS).stat().st_size == info.size <= 40e6
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
    with pytest.raises(IntegrityError, match="is not the one that the registry knows"):
        adept_hub.load_state_dict("mine")


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
    assert adept_hub.list_pretrained(exclude_filters="adept*") == adept_hub.list_pretrained("mine*")
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


def test_several_files_and_a_taken_name(tmp_path: Path, mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    second = small(defaults={}, deprecated={})
    second["architectures"] = {"other_r18_fpn": second["architectures"]["mine_r18_fpn"]}
    second["checkpoints"] = {"mine_r18_fpn.more": checkpoint(), "soco_r50_fpn.more": checkpoint()}
    path = write(tmp_path / "second.json", second)
    monkeypatch.setenv("ADEPT_REGISTRY", f"{mine}:{path}")
    assert {"mine_r18_fpn.more", "mine_r18_fpn.photos", "soco_r50_fpn.more"} <= set(list_models(pretrained=True))
    monkeypatch.setenv("ADEPT_REGISTRY", f"{mine}:{write(tmp_path / 'third.json', small())}")
    with pytest.raises(RegistryError, match=r"third.json: the name 'mine_r18_fpn' is taken"):
        list_models()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format_version": 3}, "format 3"),
        ({"extra": 1}, "unknown field 'extra'"),
        ({"architectures": []}, "expected a mapping"),
        ({"architectures": {"mine_r18_fpn": 3}}, "expected a mapping"),
        ({"checkpoints": {"other_r18_fpn.photos": {}}}, "not a tag of a known architecture"),
        ({"checkpoints": {"mine_r18_fpn": {}}}, "taken"),
        ({"defaults": {"mine": "nothing"}}, "mine -> nothing leads to no entry"),
        ({"deprecated": {"old": "nothing"}}, "old -> nothing leads to no entry"),
        ({"defaults": {"mine": 3}}, "expected str"),
    ],
)
def test_files_that_contradict_themselves(change: dict[str, Any], message: str) -> None:
    with pytest.raises(RegistryError, match=message):
        parse_registry(small(**change))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"location": {"repo": "org/mine", "revision": "main"}}, "no commit SHA"),
        ({"location": {"repo": "org/mine"}}, "no commit SHA"),
        ({"location": {"repo": "../mine", "revision": COMMIT}}, "no repository"),
        ({"location": {"bundled": "../../etc"}}, "leaves the registry's own"),
        ({"location": {"bundled": "/etc"}}, "leaves the registry's own"),
        ({"location": {"bundled": "a/../../b"}}, "leaves the registry's own"),
        ({"location": {"bundled": "C:\\x"}}, "leaves the registry's own"),
        ({"location": {"bundled": "..\\x"}}, "leaves the registry's own"),
        ({"location": {}}, "either a bundled folder or a repo"),
        ({"location": {"bundled": "x", "repo": "org/mine", "revision": COMMIT}}, "either"),
        ({"sha256": ""}, "need the sha256"),
        ({"sha256": "AB" * 32}, "need the sha256"),
        ({"size": 0}, "need the sha256 and size"),
        ({"config_sha256": "x"}, "config_sha256"),
        ({"size": "1000"}, "expected int"),
        ({"auto_map": "evil.py"}, "unknown field"),
        ({"epochs": 10**400}, "too large"),
        ({"epochs": float("inf")}, "it must be finite"),
    ],
)
def test_entries_that_do_not_say_which_bytes_they_mean(change: dict[str, Any], message: str) -> None:
    with pytest.raises(RegistryError, match=message) as caught:
        parse_registry(small(checkpoints={"mine_r18_fpn.photos": checkpoint(**change)}))
    assert "mine_r18_fpn.photos" in str(caught.value)


@pytest.mark.parametrize("content", [None, "", "{", "[" * 100_000])
def test_files_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None) -> None:
    path = tmp_path / "registry.json"
    if content is not None:
        path.write_text(content)
    monkeypatch.setenv("ADEPT_REGISTRY", str(path))
    with pytest.raises(RegistryError, match=r"registry\.json"):
        list_models()


def test_an_installed_package_adds_its_registry_by_an_entry_point(tmp_path: Path) -> None:
    """A real distribution on the path, its entry point found by importlib.metadata."""
    package = tmp_path / "site" / "their_models"
    write(package / "registry.json", small())
    (package / "__init__.py").write_text(
        "from pathlib import Path\n\ndef registry():\n    return Path(__file__).with_name('registry.json')\n"
    )
    meta = tmp_path / "site" / "their_models-1.0.dist-info"
    meta.mkdir()
    (meta / "METADATA").write_text("Metadata-Version: 2.1\nName: their-models\nVersion: 1.0\n")
    (meta / "entry_points.txt").write_text("[adept_hub.registries]\ntheirs = their_models:registry\n")
    code = f"""
        import sys
        sys.path.insert(0, {str(tmp_path / "site")!r})
        import adept_hub
        print(adept_hub.list_models("mine*", pretrained=True), adept_hub.model_info("mine").tag)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False)
    assert done.stdout == "['mine_r18_fpn.photos'] photos\n", done.stderr


def test_one_bad_entry_is_refused_when_the_file_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An entry that nobody asks for, and a name that stands twice, of which Python would keep the last."""
    points = {"mine_r18_fpn.photos": checkpoint(), "mine_r18_fpn.bad": checkpoint(size=0)}
    bad = write(tmp_path / "bad.json", small(checkpoints=points))
    twice = tmp_path / "twice.json"
    text = json.dumps(small())
    at = text.index('"mine_r18_fpn.photos": {')
    twice.write_text(f'{text[:at]}"mine_r18_fpn.photos": {{"size": 1}}, {text[at:]}')
    nan = write(tmp_path / "nan.json", small(checkpoints={"mine_r18_fpn.photos": checkpoint(epochs=float("nan"))}))
    for path, message in (
        (bad, "mine_r18_fpn.bad.*need the sha256 and size"),
        (twice, "'mine_r18_fpn.photos' stands twice"),
        (nan, "NaN is no number"),
    ):
        monkeypatch.setenv("ADEPT_REGISTRY", str(path))
        with pytest.raises(RegistryError, match=message):
            list_models()


def test_verify_names_the_registry_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setenv("ADEPT_REGISTRY", str(write(tmp_path / "good.json", small())))
    main(["verify", "--registries"])
    assert re.search(r"\d+ entries of models\.json, good\.json are valid", capsys.readouterr().out)


@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "huge"])
def test_a_registry_that_is_no_regular_file_is_not_waited_for(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "registry.json"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "device":
        path = Path("/dev/zero")
    else:
        with path.open("wb") as stream:
            stream.truncate(100 << 30)
    with pytest.raises(RegistryError, match=r"not a regular file|at most 16,777,216 are read"):
        read_registry((path, tmp_path))


def test_listing_imports_neither_torch_nor_what_it_does_not_need() -> None:
    code = "import sys, adept_hub; adept_hub.list_models(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "torchvision", "huggingface_hub"} & set(done.stdout.split())


def test_parts_are_the_four() -> None:
    assert PARTS == ("backbone", "fpn", "rpn", "head")
