"""Registries as JSON Lines, and JSON read strictly: what is refused at reading, at use and by a check."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from adept_hub.cli.main import main
from adept_hub.errors import RegistryError
from adept_hub.registry import (
    check_registry,
    list_models,
    model_info,
    registry_files,
)
from adept_hub.registry.reader import read_registry_file
from tests.registry.registries import checkpoint, small, write


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    """The small registry as JSON Lines: a checkpoint as json.dumps writes it, one of another form, two unpublished."""
    data = small()
    points = data.pop("checkpoints")
    path = tmp_path / "large.jsonl"
    path.write_text(
        "\n".join(
            [
                json.dumps(data),
                json.dumps({"name": "mine_r18_fpn.photos"} | points["mine_r18_fpn.photos"]),
                json.dumps(checkpoint(sha256="cd" * 32) | {"name": "mine_r18_fpn.more"}, separators=(",", ":")),
                json.dumps({"name": "mine_r18_fpn.soon", "summary": '"location": {}'}),
                json.dumps({"name": "mine_r18_fpn.later", "location": None}),
            ]
        )
    )
    return path


def test_a_registry_of_lines_says_the_same_as_one_of_json(lines: Path, mine: Path, monkeypatch) -> None:
    as_json = model_info("mine")
    monkeypatch.setenv("ADEPT_REGISTRY", str(lines))
    info = model_info("mine")
    assert replace(info, base=None) == replace(as_json, base=None)
    assert info.base == lines.parent
    assert list_models("mine*", pretrained=True) == ["mine_r18_fpn.more", "mine_r18_fpn.photos"]
    assert model_info("mine_r18_fpn.more").sha256 == "cd" * 32
    assert not model_info("mine_r18_fpn.soon").pretrained
    with pytest.warns(FutureWarning):
        assert model_info("mine_old") == info


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"name": "mine_r18_fpn.photos", "size": 1}', "'mine_r18_fpn.photos' stands twice"),
        ('{"name": "other_r18_fpn.photos", "size": 1}', "no tag of a known architecture"),
        ('{"size": 1}', "has no name"),
        ("", "not valid JSON"),
        ("[1]", "has no name"),
    ],
)
def test_lines_that_are_refused_when_the_file_is_read(lines: Path, monkeypatch, line: str, message: str) -> None:
    lines.write_text(f"{lines.read_text()}\n{line}\n")
    monkeypatch.setenv("ADEPT_REGISTRY", str(lines))
    with pytest.raises(RegistryError, match=message):
        list_models()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"name": "mine_r18_fpn.bad", "size": NaN}', "NaN"),
        ('{"name": "mine_r18_fpn.bad", "size": 1, "size": 2}', "'size' stands twice"),
        ('{"name": "mine_r18_fpn.bad", "size": 1', "not valid JSON"),
        ('{"name": "mine_r18_fpn.bad", "size": 1} {}', "not valid JSON"),
        ('{"name": "mine_r18_fpn.bad", "extra": 1}', "unknown field"),
        ('{"name": "mine_r18_fpn.bad", "size": ' + "9" * 5000 + "}", "digits"),
        ('{"name": "mine_r18_fpn.bad", "metrics": ' + "[" * 100_000 + "}", "nested too deeply"),
    ],
)
def test_lines_that_are_refused_when_they_are_used_or_checked(
    lines: Path, monkeypatch, line: str, message: str
) -> None:
    lines.write_text(f"{lines.read_text()}\n{line}\n")
    monkeypatch.setenv("ADEPT_REGISTRY", str(lines))
    assert model_info("mine").pretrained
    with pytest.raises(RegistryError, match=message) as used:
        model_info("mine_r18_fpn.bad")
    assert "mine_r18_fpn.bad" in str(used.value)
    with pytest.raises(RegistryError, match=message):
        check_registry(*registry_files())


def test_a_check_finds_what_a_listing_leaves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    """An entry that says too little, and a name that stands twice, of which Python would keep the last."""
    bad = write(tmp_path / "bad.json", small(checkpoints={"mine_r18_fpn.photos": checkpoint(size=0)}))
    twice = tmp_path / "twice.json"
    text = json.dumps(small())
    at = text.index('"mine_r18_fpn.photos": {')
    twice.write_text(f'{text[:at]}"mine_r18_fpn.photos": {{"size": 1}}, {text[at:]}')
    for path, message in ((bad, "need the sha256 and size"), (twice, "'mine_r18_fpn.photos' stands twice")):
        monkeypatch.setenv("ADEPT_REGISTRY", str(path))
        assert "mine_r18_fpn.photos" in list_models(pretrained=True)
        assert main(["verify", "--registries"]) == 1
        assert message in capsys.readouterr().err
    monkeypatch.setenv("ADEPT_REGISTRY", str(write(tmp_path / "good.json", small())))
    main(["verify", "--registries"])
    assert "models.json, good.json are in order" in capsys.readouterr().out


def test_a_number_that_is_none_is_not_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "registry.json"
    path.write_text(json.dumps(small(checkpoints={"mine_r18_fpn.photos": checkpoint(epochs=float("nan"))})))
    monkeypatch.setenv("ADEPT_REGISTRY", str(path))
    with pytest.raises(RegistryError, match="NaN is no number"):
        list_models()


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
    with pytest.raises(RegistryError, match=r"not a regular file|at most 268,435,456 are read"):
        read_registry_file(path)
