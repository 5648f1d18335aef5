"""YAML and JSON configs and their bases."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from adept_hub.errors import CheckpointError
from adept_hub.io.config_files import read_plain_config, refuse_python


def _write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_later_bases_and_then_the_file_win_mapping_by_mapping(tmp_path: Path) -> None:
    _write(tmp_path / "root.yaml", "model: {depth: 18, norm: BN}\nseed: 1\n")
    _write(tmp_path / "first.yaml", "base: root.yaml\nmodel: {depth: 34, width: 1}\nsteps: {a: 1, b: 2}\n")
    (tmp_path / "second.json").write_text(json.dumps({"model": {"depth": 50, "levels": [2, 3]}, "seed": 2}))
    text = "base: [first.yaml, second.json]\nmodel: {width: 7}\nsteps: {_delete_: true, c: 3}\n"
    merged = read_plain_config(_write(tmp_path / "top.yaml", text), "base", refuse_python)
    assert merged == {
        "model": {"depth": 50, "norm": "BN", "width": 7, "levels": [2, 3]},
        "seed": 2,
        "steps": {"c": 3},
    }


def test_python_bases_are_given_to_the_caller(tmp_path: Path) -> None:
    _write(tmp_path / "old.py", "")
    top = _write(tmp_path / "top.yaml", "base: old.py\nmine: 1\n")
    assert read_plain_config(top, "base", lambda path: {"name": path.name, "mine": 0}) == {"name": "old.py", "mine": 1}
    with pytest.raises(CheckpointError, match=r"old\.py"):
        read_plain_config(top, "base", refuse_python)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("base: top.yaml\n", r"based on itself: remove it from base in .*top\.yaml"),
        ("base: gone.yaml\n", r"gone\.yaml \(a base of .*top\.yaml\) .* a config file is needed"),
        ("base: [1]\n", "base must be a path or a list of paths"),
        ("- 1\n", "expected a mapping, found list"),
    ],
)
def test_what_is_no_config_is_refused(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=message):
        read_plain_config(_write(tmp_path / "top.yaml", text), "base", refuse_python)
