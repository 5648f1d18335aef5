"""Every command's help has an example that its own parser accepts, and the default of every option."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from adept_hub.cli.main import build_parser, commands
from tests.printed import fault_of


def parsers() -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Every command and every verb: found in the parsers, so that a new one is checked too."""
    for name in commands():
        yield from below(name, verbs(build_parser(name))[name])


def below(name: str, parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    yield name, parser
    for verb, child in verbs(parser).items():
        yield from below(f"{name} {verb}", child)


def verbs(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    found = [action.choices for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    return dict(found[0]) if found else {}


ALL = dict(parsers())


def test_there_are_many() -> None:
    assert {"list", "pretrain", "completion", "data check", "data convert"} <= set(ALL)


@pytest.mark.parametrize("name", [name for name, parser in ALL.items() if not verbs(parser)])
def test_an_example_that_works(name: str) -> None:
    text = f"{ALL[name].description}\n{ALL[name].epilog}"
    examples = re.findall(rf"^  (adept {name} .*?)(?: {{2,}}.*| > .*)?$", text, re.MULTILINE)
    assert examples
    for example in examples:
        assert not fault_of(example), example


@pytest.mark.parametrize("name", ALL)
def test_the_default_of_every_option(name: str) -> None:
    formatter = ALL[name]._get_formatter()
    for action in ALL[name]._actions:
        takes_value = action.nargs != 0 and not isinstance(action, argparse._SubParsersAction)
        if not takes_value or action.required:
            continue
        text, value = formatter._expand_help(action), action.default
        what = f"adept {name} {'/'.join(action.option_strings) or action.dest}: {text}"
        assert "default" in text, what
        if isinstance(value, Path) and value.is_absolute():
            continue  # of this installation
        if isinstance(value, (int, float, Path)) or (isinstance(value, str) and value not in ("", "*")):
            assert re.search(rf"default[^)]*\b{re.escape(str(value))}\b", text), what


def test_recipes_are_listed() -> None:
    from adept_training.finetuning.recipe import protocol_names
    from adept_training.pretraining.recipe import recipe_names

    for command, names in (("pretrain", recipe_names()), ("finetune", protocol_names())):
        assert len(names) > 4
        assert all(f" {name}" in ALL[command].format_help().replace("\n", " ") for name in names)
