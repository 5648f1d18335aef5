"""``adept recipe``: what it prints is the recipe, and what it lists is what is shipped."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from adept_hub.cli.command import Command
from adept_hub.cli.main import commands
from adept_hub.cli.parser import Parser
from adept_hub.errors import RecipeError
from adept_hub.io.schema import field_paths
from adept_training import cli
from adept_training.finetuning.recipe import load_finetune_recipe, protocol_names
from adept_training.pretraining.recipe import Recipe, load_recipe, recipe_names
from tests.printed import ROOT


def adept_recipe(*words: str) -> int:
    """Run the command as ``adept`` does, without asking what is installed."""
    parser = Parser(prog="adept recipe")
    module = cli.RECIPE.load()
    module.add_arguments(parser)
    return module.run(parser.parse_args(words))


@pytest.mark.parametrize("name", [*recipe_names(), *protocol_names()])
def test_what_is_printed_is_the_recipe(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    load = load_recipe if name in recipe_names() else load_finetune_recipe
    assert adept_recipe(name) == 0
    printed = capsys.readouterr().out
    file = tmp_path / "again.yaml"
    file.write_text(printed, encoding="utf-8")
    assert load(file) == load(name)
    assert adept_recipe(name, "--json") == 0
    assert json.loads(capsys.readouterr().out)["recipe"] == json.loads(json.dumps(load(name), default=vars))


def test_each_field_is_printed_below_its_comment(capsys: pytest.CaptureFixture[str]) -> None:
    adept_recipe("adept_joint_r50_100ep")
    lines = capsys.readouterr().out.splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("  tag: "))
    assert lines[at - 1] == "  # What follows the dot in the name: what the weights were trained on, honestly. (text)"
    keys = [
        line.strip().partition(":")[0] for line in lines if line.startswith("  ") and not line.strip().startswith("#")
    ]
    for path in field_paths(Recipe):
        assert path.rpartition(".")[2] in keys, path


def test_every_shipped_recipe_is_listed_with_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    adept_recipe("--list", "--json")
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows if row["command"] == "pretrain"] == recipe_names()
    assert [row["name"] for row in rows if row["command"] == "finetune"] == protocol_names()
    assert all(10 < len(row["summary"]) < 200 and "\n" not in row["summary"] for row in rows)
    adept_recipe()
    listed = capsys.readouterr().out
    adept_recipe("--list")
    assert listed == capsys.readouterr().out
    assert len(listed.splitlines()) == len(rows) + 1


def test_a_name_of_almost_a_recipe() -> None:
    with pytest.raises(RecipeError, match=r"'soco_r50_10ep'.*Did you mean .*'soco_r50_100ep'.*\n.*adept recipe --list"):
        adept_recipe("soco_r50_10ep")
    with pytest.raises(SystemExit) as ended:
        adept_recipe("soco_r50_100ep", "--list")
    assert ended.value.code == 2


def test_every_command_of_the_trainer_is_found() -> None:
    """The entry point names the module, and the module lists every command that it declares."""
    entries = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]["adept_hub.commands"]
    assert list(entries.values()) == [cli.__name__]
    declared = [c for c in vars(cli).values() if isinstance(c, Command)]
    assert sorted(cli.COMMANDS, key=lambda c: c.name) == sorted(declared, key=lambda c: c.name)
    assert {c.name for c in declared} < set(commands())
