"""The command line's manners: exit statuses, short errors, tracebacks on request, no import that is not needed."""

from __future__ import annotations

import argparse
import importlib
import re
import subprocess
import sys

import pytest

from adept_hub import __version__
from adept_hub.cli import main as cli
from adept_hub.cli.command import GROUPS, Command
from adept_hub.errors import DiskFullError, MissingExtraError, SourceError
from adept_hub.words import pulse


class _Module:
    """A command's module whose work is one exception."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--speed", type=int)

    def run(self, args: argparse.Namespace) -> int:
        raise self.error


def _install(monkeypatch: pytest.MonkeyPatch, error: BaseException, extra: str = "") -> None:
    command = Command("work", "do the work", "nowhere", extra)
    monkeypatch.setattr(cli, "commands", lambda: {"work": command})
    monkeypatch.setattr(Command, "load", lambda self: _Module(error))


@pytest.mark.parametrize(
    ("error", "status"),
    [(SourceError("no such thing\ntype this"), 1), (OSError(13, "Permission denied"), 1), (KeyboardInterrupt(), 130)],
)
def test_errors_become_a_status_and_a_short_message(monkeypatch, capsys, error: BaseException, status: int) -> None:
    _install(monkeypatch, error)
    assert cli.main(["work"]) == status
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("adept: ")
    assert 1 <= len(captured.err.strip().splitlines()) <= 3
    assert "Traceback" not in captured.err


def test_debug_shows_the_traceback(monkeypatch) -> None:
    _install(monkeypatch, SourceError("no such thing"))
    with pytest.raises(SourceError):
        cli.main(["work", "--debug"])


def test_a_bug_is_not_dressed_up_as_a_mistake(monkeypatch) -> None:
    _install(monkeypatch, ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        cli.main(["work"])


@pytest.mark.parametrize("words", [["nonsense"], ["work", "--speed", "fast"], ["work", "--what"]])
def test_bad_usage_is_status_2(monkeypatch, words: list[str]) -> None:
    _install(monkeypatch, DiskFullError("never"))
    with pytest.raises(SystemExit) as stopped:
        cli.main(words)
    assert stopped.value.code == 2


def test_a_missing_extra_says_what_to_install(monkeypatch, capsys) -> None:
    _install(monkeypatch, ModuleNotFoundError("No module named 'pyarrow'", name="pyarrow"), extra="train")
    assert cli.main(["work"]) == 1
    assert "In the checkout:\npip install '.[train]'\n" in capsys.readouterr().err


def test_a_module_of_ours_that_is_missing_is_a_bug() -> None:
    command = Command("work", "do the work", "adept_training.nowhere", "train")
    with pytest.raises(ModuleNotFoundError):
        command.load()
    with pytest.raises(MissingExtraError, match="a_package_nobody_has"):
        Command("work", "do the work", "a_package_nobody_has", "train").load()


def test_help_and_list_import_neither_torch_nor_the_trainers_libraries() -> None:
    heavy = "{'torch', 'torchvision', 'numpy', 'pyarrow', 'numba', 'cv2', 'huggingface_hub'}"
    for words in (["--help"], ["list"], ["list", "--all", "--json"], ["info", "adept_joint"]):
        code = (
            f"import sys\nfrom adept_hub.cli.main import main\n"
            f"try:\n    main({words!r})\nexcept SystemExit:\n    pass\n"
            f"sys.exit(' '.join({heavy} & set(sys.modules)) or 0)"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{words}: {done.stderr}"


def test_without_a_command_the_help_lists_all_by_group(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 0
    text = capsys.readouterr().out
    assert text.startswith("usage: adept [-h] [-V] COMMAND ...\n")
    listed = re.findall(r"^  (\w+) +\w", text[text.index("use weights:") :], re.MULTILINE)
    assert sorted(listed) == sorted(cli.commands())
    assert {command.group for command in cli.commands().values()} <= set(GROUPS)
    for group, example in GROUPS.items():
        assert not example or f"  example: {example}\n" in text[text.index(f"{group}:") :]


def test_the_package_is_the_command_too() -> None:
    asked = [sys.executable, "-m", "adept_hub", "-V"]
    assert subprocess.run(asked, capture_output=True, text=True, check=True).stdout == f"adept-hub {__version__}\n"


def test_a_command_names_itself_in_its_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["pull", "--help"])
    assert capsys.readouterr().out.startswith("usage: adept pull ")


def test_libraries_that_load_for_long_are_described(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    real = importlib.import_module

    def described(name: str) -> object:
        shown.extend(describe() for describe in pulse._doing)
        return real(name)

    monkeypatch.setattr(importlib, "import_module", described)
    assert cli.main(["list"]) == 0
    assert set(shown) == {"loading the libraries of adept list"}
    assert pulse._doing == []
