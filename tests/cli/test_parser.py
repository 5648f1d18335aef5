"""Mistyped commands, options and choices are answered with what was meant."""

from __future__ import annotations

import argparse

import pytest

from adept_hub.cli.main import build_parser, commands, main
from adept_hub.cli.parser import Parser


def ends(words: list[str], capsys) -> str:
    with pytest.raises(SystemExit) as stopped:
        main(words)
    assert stopped.value.code == 2
    return capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize("command", list(commands()))
def test_a_mistyped_command(command: str, capsys) -> None:
    mistyped = command[1] + command[0] + command[2:]
    said = ends([mistyped], capsys)
    assert f"invalid choice: {mistyped!r}. Did you mean " in said
    assert repr(command) in said.partition("?")[0]


@pytest.mark.parametrize("command", list(commands()))
def test_every_option_of_every_command_mistyped(command: str, capsys) -> None:
    """Found in the parsers themselves, those of a command's verbs too; required ones are as good as missing."""
    parser = build_parser(command)
    (above,) = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    leaves = [([command], above.choices[command])]
    for action in above.choices[command]._actions:
        if isinstance(action, argparse._SubParsersAction):
            leaves = [([command, verb], leaf) for verb, leaf in action.choices.items()]
    for words, leaf in leaves:
        assert isinstance(leaf, Parser)
        for option in leaf._option_string_actions:
            if option.startswith("--") and len(option) > 5:
                mistyped = f"{option[:3]}{option[4]}{option[3]}{option[5:]}x"
                assert f"There is no {mistyped}. Did you mean '{option}'" in ends([*words, mistyped], capsys)


def test_a_mistyped_choice_and_what_is_like_nothing(capsys) -> None:
    assert "'mmdte'. Did you mean 'mmdet'?" in ends(["export", "x", "--to", "mmdte", "--out", "o"], capsys)
    assert "'chekc'. Did you mean 'check'?" in ends(["data", "chekc"], capsys)
    assert ends(["list", "--qqqqqq"], capsys).endswith("unrecognized arguments: --qqqqqq")
    assert ends(["list", "a", "b"], capsys).endswith("unrecognized arguments: b")
    assert "There is no --vresion. Did you mean '--version'?" in ends(["--vresion"], capsys)
