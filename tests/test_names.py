"""The grammar of a source, valid and invalid."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from adept_hub.errors import SourceError
from adept_hub.foreign.projects import FOREIGN_LAYOUTS
from adept_hub.names import (
    LAYOUTS,
    FileSource,
    HubSource,
    LocalSource,
    NamedSource,
    is_commit,
    is_name,
    parse_source,
    split_layout,
    split_name,
    text_of,
)


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("adept_joint", NamedSource("adept_joint")),
        ("adept_joint_r50_fpn.in1k_100ep", NamedSource("adept_joint_r50_fpn.in1k_100ep")),
        ("hf-hub:org/repo", HubSource("org/repo")),
        ("hf-hub:Org-1/re.po_2@v1.0", HubSource("Org-1/re.po_2", "v1.0")),
        ("hf-hub:org/repo@refs/pr/3", HubSource("org/repo", "refs/pr/3")),
        ("local-dir:here/it is", LocalSource(Path("here/it is"))),
        ("local-dir:moco:ckpt.pth", LocalSource(Path("moco:ckpt.pth"))),
        ("moco:ckpt.pth", FileSource(Path("ckpt.pth"), "moco")),
        ("timm:/models/resnet50.mine", FileSource(Path("/models/resnet50.mine"), "timm")),
        ("detectron2-detector-rgb:my net.pkl", FileSource(Path("my net.pkl"), "detectron2-detector-rgb")),
        ("resnet:epoch=3:step=9.ckpt", FileSource(Path("epoch=3:step=9.ckpt"), "resnet")),
        (r"resnet:C:\a.pth", FileSource(Path(r"C:\a.pth"), "resnet")),
        ("C:/a.pth", LocalSource(Path("C:/a.pth"))),
        ("./moco:ckpt.pth", LocalSource(Path("moco:ckpt.pth"))),
        ("runs/moco:1/ckpt.pth", LocalSource(Path("runs/moco:1/ckpt.pth"))),
        ("./~", LocalSource(Path("~"))),
        ("./ckpt", LocalSource(Path("ckpt"))),
        (".ckpt", LocalSource(Path(".ckpt"))),
        ("runs/x/export", LocalSource(Path("runs/x/export"))),
        ("/abs", LocalSource(Path("/abs"))),
        (Path("adept_joint"), LocalSource(Path("adept_joint"))),
        (Path("moco:ckpt.pth"), LocalSource(Path("moco:ckpt.pth"))),
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


def test_a_path_wins_over_a_layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "moco:ckpt.pth").touch()
    (tmp_path / "ckpt.pth").touch()
    (tmp_path / "run:3" / "export").mkdir(parents=True)
    assert parse_source("moco:ckpt.pth") == LocalSource(Path("moco:ckpt.pth"))
    assert parse_source("moco:./ckpt.pth") == FileSource(Path("ckpt.pth"), "moco")
    assert parse_source("byol:ckpt.pth") == FileSource(Path("ckpt.pth"), "byol")
    assert parse_source("run:3/export") == LocalSource(Path("run:3/export"))
    assert parse_source(text_of(FileSource(Path("ckpt.pth"), "moco"))) == FileSource(Path("ckpt.pth"), "moco")
    with pytest.raises(SourceError, match=r"'run:4/export' does not exist, and 'run' is not a layout\.\n"):
        parse_source("run:4/export")


def test_every_layout_is_one_of_the_grammar() -> None:
    assert tuple(FOREIGN_LAYOUTS) == LAYOUTS
    for layout in LAYOUTS:
        assert parse_source(f"{layout}:a.pth") == FileSource(Path("a.pth"), layout)
    assert min(map(len, LAYOUTS)) > 1, "one letter is a drive of Windows"


_PATHS = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), min_size=1, max_size=30)
_WORDS = st.from_regex(r"[A-Za-z0-9]{1,12}", fullmatch=True)
_REVISIONS = st.from_regex(r"[A-Za-z0-9]([._/-]?[A-Za-z0-9]){0,5}", fullmatch=True)


@example(LocalSource(Path("~")))
@example(FileSource(Path("~nobody/a.pth"), "moco"))
@settings(max_examples=150, deadline=None)
@given(
    st.one_of(
        st.builds(NamedSource, st.from_regex(r"[a-z][a-z0-9_]{0,20}(\.[a-z0-9][a-z0-9_]{0,20})?", fullmatch=True)),
        st.builds(HubSource, st.builds("{}/{}".format, _WORDS, _WORDS), st.none() | _REVISIONS),
        st.builds(LocalSource, st.builds(Path, _PATHS)),
        st.builds(
            FileSource, st.builds(Path, _PATHS).filter(lambda p: not str(p).startswith("//")), st.sampled_from(LAYOUTS)
        ),
    )
)
def test_every_form_is_parsed_from_its_own_text(source) -> None:
    assert parse_source(text_of(source)) == source


def test_an_option_for_the_layout_is_the_same_as_the_form(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for text, layout in (("moco:a.pth", None), ("moco:a.pth", "moco"), ("a.pth", "moco"), (Path("moco:a.pth"), None)):
        assert split_layout(text, layout) == (Path("a.pth"), "moco")
    assert split_layout("a.pth", None) == (Path("a.pth"), None)
    assert split_layout("hf-hub:org/name", "moco") == (Path("hf-hub:org/name"), "moco"), "whoever reads it reports it"
    with pytest.raises(SourceError, match=r"has the layout moco, and --layout is byol\.\n"):
        split_layout("moco:a.pth", "byol")
    (tmp_path / "moco:a.pth").touch()
    assert split_layout("moco:a.pth", "byol") == (Path("moco:a.pth"), "byol")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("torchvison:r50.pth", r"'torchvison' is not a layout\. Did you mean 'torchvision'"),
        ("MoCo:r50.pth", r"'MoCo' is not a layout\. Did you mean 'moco'"),
        (
            "dino:models/vit.pth",
            r"'dino' is not a layout\.[^\n]*\n.*LAYOUT:FILE, such as moco:ckpt.pth; layouts: torchvision, ",
        ),
        ("https://example.org/r50.pth", r"is a URL.*\nDownload the file"),
        ("torchvision://resnet50", "is a URL"),
        ("moco:~nobody-of-this-name/a.pth", "is not a valid path"),
        ("moco:a\0b", "null character"),
        ("moco:", "not a valid source"),
    ],
)
def test_what_is_no_layout_is_refused(text: str, message: str) -> None:
    with pytest.raises(SourceError, match=message) as caught:
        parse_source(text)
    assert len(str(caught.value).splitlines()) <= 2


def test_home_is_expanded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    assert parse_source("moco:~/a.pth") == FileSource(Path("/home/someone/a.pth"), "moco")
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
