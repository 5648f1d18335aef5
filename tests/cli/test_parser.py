"""Mistyped commands, options and choices are answered with what was meant."""

from __future__ import annotations

import argparse

import pytest

from adept_hub.cli.main import build_parser, commands, main
from adept_hub.cli.parser import Parser
from tests.cli.test_help import ALL
from tests.printed import fault_of


def ends(words: list[str], capsys) -> str:
    with pytest.raises(SystemExit) as stopped:
        main(words)
    assert stopped.value.code == 2
    (said,) = [line for line in capsys.readouterr().err.splitlines() if ": error: " in line]
    return said


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
    assert ". There is no --qqqqqq." in ends(["info", "--qqqqqq"], capsys), "the missing NAME is not all that is wrong"
    assert "There is no --vresion. Did you mean '--version'?" in ends(["--vresion"], capsys)


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["pretrain", "my photos", "--out", "o"], "required: --images. Did you mean --images 'my photos'?"),
        (["export", "x", "mmdet", "o"], "required: --to, --out. Did you mean --to mmdet --out o?"),
        (["export", "x", "mmdet"], "required: --to, --out"),  # which of the two it is for is unknown
        (["export", "--out", "o"], "required: SOURCE, --to"),
        (["data", "convert", "x", "coco"], "required: --to, --out"),
        (["compare", "x", "y", "--out", "o"], "required: --data"),  # any number of sources
        (["pull", "x", "--to", "o"], "unrecognized arguments: --to o"),
    ],
)
def test_values_without_their_options(words: list[str], hint: str, capsys) -> None:
    assert ends(words, capsys).endswith(hint)


def is_required(action: argparse.Action) -> bool:
    return action.required and action.nargs != "*"  # which argparse calls required without requiring it


def that_need_arguments() -> dict[str, argparse.ArgumentParser]:
    return {name: parser for name, parser in ALL.items() if any(map(is_required, parser._actions))}


@pytest.mark.parametrize("name", that_need_arguments())
def test_a_command_alone_is_answered_with_one_that_works(name: str, capsys) -> None:
    """What is missing, an example of this very command, and where the rest is: never the usage of forty options."""
    with pytest.raises(SystemExit) as stopped:
        main(name.split())
    assert stopped.value.code == 2
    said, example, rest = capsys.readouterr().err.splitlines()
    required = [action for action in ALL[name]._actions if is_required(action)]
    assert said.startswith(f"adept {name}: error: the following arguments are required: ")
    assert all((a.option_strings or [a.metavar or a.dest])[-1] in said for a in required)
    assert example.startswith(f"For example: adept {name} ")
    assert not fault_of(example.removeprefix("For example: "))
    assert rest == f"All options: adept {name} --help"


MISSING = "the following arguments are required: "
REFINE, SHOW = "adept proposals refine boxes --images photos --model runs/mine --out boxes-2", "adept proposals show"
TUNE, MAKE = "adept proposals tune photos --data coco:few.json:photos", "adept proposals photos --out boxes"


@pytest.mark.parametrize(
    ("words", "said", "example"),
    [
        ("refine", f"refine: {MISSING}TABLE, --images, --model, --out (a folder named refine: ./refine)", REFINE),
        ("refine t --images p --model m", f"refine: {MISSING}--out (a", REFINE),
        ("show t --out d", f"show: {MISSING}--images (a folder", SHOW),
        ("evaluate", f"evaluate: {MISSING}TABLE, --data (a", "adept proposals evaluate"),
        ("tune p", f"tune: {MISSING}--data (a folder named tune: ./tune)", TUNE),
        ("photos", f"{MISSING}--out", MAKE),
        ("tune p --model m --data d", "tune: --model belongs to 'refine' alone", TUNE),
        ("photos table --out d", "TABLE belongs to 'show', 'evaluate', 'tune', 'refine' alone", MAKE),
        ("show t --images p --out d --split val", "show: --split belongs to 'evaluate', 'tune' alone", SHOW),
        ("refine t --images p --model m --out d --boxes 0", "--boxes takes a number of at least 1", REFINE),
    ],
)
def test_a_verb_of_proposals_says_what_it_lacks(words: str, said: str, example: str, capsys) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["proposals", *words.split()])
    assert stopped.value.code == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith(f"adept proposals: error: {said}")
    assert lines[1].startswith(f"For example: {example}")
    assert not fault_of(lines[1].removeprefix("For example: "))


@pytest.mark.parametrize(
    ("words", "about"),
    [
        (["info", ""], "SOURCE"),
        (["push", "", "org/mine"], "DIR"),
        (["pretrain", "--images", "", "--out", "r"], "--images"),
        (["pretrain", "--images", "x", "--out="], "--out"),
        (["finetune", "scratch", "--data", "voc:x", "", "--out", "r"], "--data"),
        (["predict", "r", "", "--out", "p"], "IMAGES"),
    ],
)
def test_an_empty_word_is_refused(words: list[str], about: str, capsys: pytest.CaptureFixture[str]) -> None:
    """An unset variable of the shell: as a path it would be the working directory."""
    with pytest.raises(SystemExit) as left:
        build_parser(words[0]).parse_args(words)
    assert left.value.code == 2
    assert f"argument {about}: empty" in capsys.readouterr().err


def test_an_empty_word_where_that_is_the_default() -> None:
    assert build_parser("push").parse_args(["push", "r", "org/mine", "--message", ""]).message == ""
