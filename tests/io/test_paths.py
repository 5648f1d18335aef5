"""Names that no file can have, and homes that nobody has: an answer or an error of the caller's class."""

from __future__ import annotations

from pathlib import Path

import pytest

from adept_hub.cli.main import main
from adept_hub.detectors.folder import find_detector
from adept_hub.errors import DataError, ImagesError, SourceError
from adept_hub.io.paths import exists, expanded, is_dir, is_file
from adept_training.images import open_images
from adept_training.labels.sources import read_data

NAMES = ["9" * 5000, "a\0b", "a/" * 3000, "\ud800"]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_no_file_can_have(name: str) -> None:
    assert (is_file(Path(name)), is_dir(Path(name)), exists(Path(name))) == (False, False, False)


def test_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "x").touch()
    assert (is_file(tmp_path / "x"), is_dir(tmp_path / "x"), exists(tmp_path / "x")) == (True, False, True)
    assert (is_file(tmp_path), is_dir(tmp_path), exists(tmp_path)) == (False, True, True)


def test_a_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert expanded("~/x", DataError) == Path("/home/me/x")
    with pytest.raises(DataError, match="'~nobody-at-all/x' is not a path"):
        expanded("~nobody-at-all/x", DataError)


@pytest.mark.parametrize("name", [*(n for n in NAMES if "\0" not in n), "~nobody-at-all/x"])
def test_callers(name: str) -> None:
    for words in ([f"coco:{name}:{name}"], [f"voc:{name}"], [f"voc:{name}:train"]):
        with pytest.raises(DataError):
            read_data(words)
    with pytest.raises(ImagesError):
        open_images(name)
    if "~" in name:
        with pytest.raises(SourceError):
            find_detector(name)
    else:
        assert find_detector(name) is None


@pytest.mark.parametrize("words", ["list", "info adept_joint", "proposals ~nobody-at-all --out x --quiet"])
def test_commands(
    words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ADEPT_REGISTRY", "~nobody-at-all/models.json")
    assert main(words.split()) == 1
    assert "is not a path" in capsys.readouterr().err
