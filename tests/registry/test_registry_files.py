"""Files of registries: several of them, damaged ones, and those of installed packages."""

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

from adept_hub.cli.main import main
from adept_hub.errors import RegistryError
from adept_hub.registry import (
    list_models,
    parse_registry,
    read_registry,
)
from tests.registry.registries import COMMIT, checkpoint, small, write


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
        ({"checkpoints": {"other_r18_fpn.photos": {}}}, "not a tag of a registered architecture"),
        ({"checkpoints": {"mine_r18_fpn": {}}}, "taken"),
        ({"defaults": {"mine": "nothing"}}, "mine -> nothing: there is no such entry"),
        ({"deprecated": {"old": "nothing"}}, "old -> nothing: there is no such entry"),
        ({"defaults": {"mine": 3}}, "expected str"),
    ],
)
def test_files_that_contradict_themselves(change: dict[str, Any], message: str) -> None:
    with pytest.raises(RegistryError, match=message):
        parse_registry(small(**change))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"location": {"repo": "org/mine", "revision": "main"}}, "not a commit SHA"),
        ({"location": {"repo": "org/mine"}}, "not a commit SHA"),
        ({"location": {"repo": "../mine", "revision": COMMIT}}, "not a valid repository"),
        ({"location": {"bundled": "../../etc"}}, "is outside the registry's folder"),
        ({"location": {"bundled": "/etc"}}, "is outside the registry's folder"),
        ({"location": {"bundled": "a/../../b"}}, "is outside the registry's folder"),
        ({"location": {"bundled": "C:\\x"}}, "is outside the registry's folder"),
        ({"location": {"bundled": "..\\x"}}, "is outside the registry's folder"),
        ({"location": {}}, "either a bundled folder or a repo"),
        ({"location": {"bundled": "x", "repo": "org/mine", "revision": COMMIT}}, "either"),
        ({"sha256": ""}, "need the sha256"),
        ({"sha256": "AB" * 32}, "need the sha256"),
        ({"size": 0}, "need the sha256 and size"),
        ({"config_sha256": "x"}, "config_sha256"),
        ({"size": "1000"}, "expected int"),
        ({"auto_map": "evil.py"}, "unknown field"),
        ({"preprocessing": {"std": [0.2, 0.0, 0.2]}}, "a std that is not positive"),
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
    """An entry that nobody asks for, and a name that is repeated, of which Python would keep the last."""
    points = {"mine_r18_fpn.photos": checkpoint(), "mine_r18_fpn.bad": checkpoint(size=0)}
    bad = write(tmp_path / "bad.json", small(checkpoints=points))
    twice = tmp_path / "twice.json"
    text = json.dumps(small())
    at = text.index('"mine_r18_fpn.photos": {')
    twice.write_text(f'{text[:at]}"mine_r18_fpn.photos": {{"size": 1}}, {text[at:]}')
    nan = write(tmp_path / "nan.json", small(checkpoints={"mine_r18_fpn.photos": checkpoint(epochs=float("nan"))}))
    for path, message in (
        (bad, "mine_r18_fpn.bad.*need the sha256 and size"),
        (twice, "'mine_r18_fpn.photos' is repeated"),
        (nan, "NaN is not a valid number"),
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
