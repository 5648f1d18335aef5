"""The grammar of a source, valid and invalid."""

from __future__ import annotations

from pathlib import Path

import pytest

from adept_hub.errors import SourceError
from adept_hub.names import HubSource, LocalSource, NamedSource, is_commit, is_name, parse_source, split_name


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("adept_joint", NamedSource("adept_joint")),
        ("adept_joint_r50_fpn.in1k_100ep", NamedSource("adept_joint_r50_fpn.in1k_100ep")),
        ("hf-hub:org/repo", HubSource("org/repo")),
        ("hf-hub:Org-1/re.po_2@v1.0", HubSource("Org-1/re.po_2", "v1.0")),
        ("hf-hub:org/repo@refs/pr/3", HubSource("org/repo", "refs/pr/3")),
        ("local-dir:here/it is", LocalSource(Path("here/it is"))),
        ("./ckpt", LocalSource(Path("ckpt"))),
        (".ckpt", LocalSource(Path(".ckpt"))),
        ("runs/x/export", LocalSource(Path("runs/x/export"))),
        ("/abs", LocalSource(Path("/abs"))),
        (Path("adept_joint"), LocalSource(Path("adept_joint"))),
    ],
)
def test_sources_are_understood(text, source) -> None:
    assert parse_source(text) == source


def test_a_folder_of_that_name_wins_over_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert parse_source("adept_joint") == NamedSource("adept_joint")
    (tmp_path / "adept_joint").mkdir()
    assert parse_source("adept_joint") == LocalSource(Path("adept_joint"))


def test_a_file_of_that_name_is_a_path_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.pth").touch()
    assert parse_source("model.pth") == LocalSource(Path("model.pth"))


def test_home_is_expanded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    assert parse_source("~/ckpt") == LocalSource(Path("/home/someone/ckpt"))
    assert parse_source("local-dir:~/ckpt") == LocalSource(Path("/home/someone/ckpt"))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Adept_Joint",
        "adept.joint.twice",
        "adept-joint",
        "adept_joint.",
        ".".join(["a" * 201, "b"]),
        "hf-hub:",
        "hf-hub:repo",
        "hf-hub:org/repo/more",
        "hf-hub:../../etc/passwd",
        "hf-hub:org/..",
        "hf-hub:org/repo@../../main",
        "hf-hub:org/repo@",
        "hf-hub:org/re..po",
        "hf-hub:org/repo@a/../../b",
        "hf-hub:-org/repo",
        "hf-hub:org/re--po",
        "hf-hub:org/repo@a b",
        "hf-hub:org/\uff52epo",
        "local-dir:",
        "local-dir:a\0b",
        "s3://bucket/key\0",
        "наме",
    ],
)
def test_what_is_no_source_is_refused_in_two_lines(text: str) -> None:
    with pytest.raises(SourceError) as caught:
        parse_source(text)
    assert 1 <= len(str(caught.value).splitlines()) <= 3
    assert len(str(caught.value)) < 400


def test_small_helpers() -> None:
    assert split_name("a_r50.tag_1") == ("a_r50", "tag_1")
    assert split_name("a_r50") == ("a_r50", "")
    assert [is_name(text) for text in ("a_r50.tag", "a/b", "a..b", "")] == [True, False, False, False]
    assert [is_commit(text) for text in ("0123456789" * 4, "main", None, "a" * 39)] == [True, False, False, False]
