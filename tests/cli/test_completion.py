"""``adept completion``: bash completes commands, verbs, options and their values from the printed script."""

from __future__ import annotations

import argparse
import shutil
import subprocess
from pathlib import Path

import pytest

from adept_hub.cli.completion import SOURCES, Level, Option, bash, describe, fish
from adept_hub.cli.main import commands, main
from adept_hub.errors import MissingExtraError

#: Calls the function that `complete` registered as readline does, and prints the replies.
TYPED = """
source "$1"; shift
read -r _ _ _ _ name _ <<< "$(complete -p adept)"
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
"$name" "$1" "${!#}" "${COMP_WORDS[COMP_CWORD - 1]}"
printf '%s\\n' "${COMPREPLY[@]}"
"""
needs_bash = pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("completion") / "adept"
    with pytest.MonkeyPatch.context() as patch, path.open("w") as out:
        patch.setattr("sys.stdout", out)
        assert main(["completion", "bash"]) == 0
    return path


def complete(script: Path, *words: str) -> list[str]:
    asked = ["bash", "-c", TYPED, "bash", str(script), *words]
    done = subprocess.run(asked, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout.split()


@needs_bash
def test_bash_completes_what_is_typed(script: Path) -> None:
    def typed(*words: str) -> list[str]:
        return complete(script, "adept", *words)

    assert sorted(typed("")) == sorted(commands())
    assert typed("pret") == ["pretrain"]
    assert typed("data") == ["data"], "the word under the cursor is not a command yet"
    assert typed("-") == ["-h", "--help", "-V", "--version"]
    assert typed("pretrain", "--st") == ["--steps"]
    assert typed("pretrain", "--images", "photos", "--method", "ad") == ["adept_joint", "adept_separate"]
    assert typed("pretrain", "--method", "=", "so") == ["soco"], "--method=so"
    assert typed("pretrain", "--method", "=") == ["adept_joint", "adept_separate", "soco", "byol", "detection"]
    assert typed("data", "") == ["check", "subset", "convert"]
    assert typed("data", "convert", "--to", "y") == ["yolo"]
    assert "--quick" in typed("data", "check", "d", "--")
    assert "--quick" not in typed("data", "convert", "d", "--")
    assert typed("pretrain", "--out", "") == typed("plan", "") == [], "left to the completion of files"
    assert typed("finetune", "list", "--m") == [], "a folder called list is not the command"


@needs_bash
def test_bash_completes_layouts_where_a_source_is_taken(
    script: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "swan lake").mkdir()
    (tmp_path / "swav_800ep.pth").touch()
    for words in (
        ["pull"], ["finetune"], ["card", "--offline"], ["import"], ["finetune", "scratch", "--like"],
        ["pretrain", "--images", "photos", "--init"], ["doctor", "--target", "mmdet", "--weights"],
    ):  # fmt: skip
        assert complete(script, "adept", *words, "mo") == ["moco:", "moco-v3:"]
        found = {"swav:", "swan\\", "lake/", "swav_800ep.pth"}
        assert set(complete(script, "adept", *words, "swa")) == found, "a space is escaped"
        assert complete(script, "adept", *words, "swan") == [], "left to the completion of files"
        assert set(SOURCES) <= set(complete(script, "adept", *words, ""))
    for words in (["moco", ":"], ["moco", ":", "mo"], ["moco", ":", ""]):
        assert complete(script, "adept", "pull", *words) == [], "the file behind a layout"
    assert complete(script, "adept", "import", "x.pth", "--layout", "mo") == ["moco", "moco-v3"]
    assert complete(script, "adept", "push", "mo") == [], "a folder, and no source"


@needs_bash
def test_bash_does_not_expand_the_names_of_files(script: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "swav[1].pth").touch()
    (tmp_path / "swav1.pth").touch()
    assert sorted(complete(script, "adept", "pull", "swa")) == ["swav1.pth", "swav:", r"swav\[1\].pth"]


def test_fish_offers_layouts_next_to_files() -> None:
    options = (Option(("--init",), True, (), "start", is_source=True),)
    text = fish([Level((), "", (), ("pull",)), Level(("pull",), "", options, (), is_source=True)])
    assert f"complete -c adept -n '__adept_at pull' -a '{' '.join(SOURCES)}'\n" in text
    assert f"-l init -r -a '{' '.join(SOURCES)}' -d 'start'\n" in text


@needs_bash
def test_bash_completes_files_where_no_words_are_known(script: Path) -> None:
    asked = ["bash", "-c", 'source "$1"; complete -p adept', "bash", str(script)]
    done = subprocess.run(asked, capture_output=True, text=True, check=True)
    assert "-o default" in done.stdout


def test_zsh_runs_the_same_function(script: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "zsh"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("#compdef adept\nautoload -U +X bashcompinit && bashcompinit\n")
    assert text.endswith(script.read_text())


def test_fish_has_the_help_of_each_option() -> None:
    options = (
        Option(("-q", "--quick"), False, (), "it's"),
        Option(("--to",), True, ("coco", "a\\b"), ""),
        Option(("--out",), True, (), "a file"),
    )
    level = Level(("data", "check"), "look at labels", options, ("a",))
    text = fish([Level((), "", (), ("data",)), Level(("data",), "labels", (), ("check",)), level])
    start = "complete -c adept -n '__adept_at data check'"
    assert f"{start} -s q -l quick -d 'it\\'s'\n" in text
    assert f"{start} -l to -x -a 'coco a\\\\b' -d ''\n" in text
    assert f"{start} -l out -r -d 'a file'\n" in text, "a value follows, such as a file"
    assert "complete -c adept -n '__adept_at' -f -a 'data' -d 'labels'\n" in text
    assert "complete -c adept -n '__adept_at data' -f -a 'check' -d 'look at labels'\n" in text
    assert "(string join ' ' $level $word) 'data' 'data check';" in text


def test_every_level_of_a_parser_is_described() -> None:
    """Three levels, an option that is not to be seen, and a command whose extra is missing."""

    def build(name: str | None) -> argparse.ArgumentParser:
        if name == "plot":
            raise MissingExtraError("adept plot", "plots", "nowhere")
        parser = argparse.ArgumentParser()
        sub = parser.add_subparsers()
        sub.add_parser("plot")
        verbs = sub.add_parser("data", description="Labels.\nMore.").add_subparsers()
        deep = verbs.add_parser("check", description="Look.").add_subparsers().add_parser("again")
        deep.add_argument("-k", "--kind", choices=("a", "b"), help="of %(dest)s")
        deep.add_argument("--hidden", help=argparse.SUPPRESS)
        deep.add_argument("--quick", action="store_true", help="fast")
        deep.add_argument("where", choices=("here", "there"))
        return parser

    by_words = {level.words: level for level in describe(build, {"plot": None, "data": None})}
    assert list(by_words) == [(), ("data",), ("data", "check"), ("data", "check", "again")]
    assert by_words[()].values == ("plot", "data")
    assert (by_words["data",].help, by_words["data",].values) == ("Labels.", ("check",))
    deepest = by_words["data", "check", "again"]
    assert deepest.values == ("here", "there")
    assert deepest.options[1:] == (
        Option(("-k", "--kind"), True, ("a", "b"), "of kind"), Option(("--quick",), False, (), "fast"),
    )  # fmt: skip


@needs_bash
def test_bash_completes_the_value_of_every_name_of_an_option(tmp_path: Path) -> None:
    options = (Option(("-k", "--kind"), True, ("a", "b"), ""), Option(("-o", "--out"), True, (), ""))
    script = tmp_path / "adept"
    script.write_text(bash([Level((), "", options, ("data",)), Level(("data",), "", (), ())]))
    for name in ("-k", "--kind"):
        assert complete(script, "adept", name, "") == ["a", "b"]
    for name in ("-o", "--out"):
        assert complete(script, "adept", name, "") == [], "a file, and no command"


def test_a_value_that_a_shell_would_expand_is_quoted() -> None:
    option = Option(("--at",), True, ("$HOME", "it's"), "")
    assert "compgen -W '$HOME it'\"'\"'s'" in bash([Level((), "", (option,), ())])
