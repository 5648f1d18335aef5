"""The reference is that of the source: on the pages, on the command line, and before any work."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import adept_hub
from adept_hub.cli.main import main
from adept_hub.errors import DataError, LicenseError, RecipeError
from adept_hub.io.schema import field_paths
from adept_training.finetuning.detector import Trained
from adept_training.finetuning.origin import open_finetune_start
from adept_training.finetuning.recipe import FinetuneRecipe, load_finetune_recipe
from adept_training.finetuning.run import finetune
from adept_training.labels.records import Data
from adept_training.pretraining.recipe import Recipe, load_recipe
from adept_training.reference.docstrings import markdown
from adept_training.reference.pages import pages
from adept_training.runtime.recipe_fields import settings_of
from tests.printed import ROOT
from tests.training.made import crowded

KINDS = [(Recipe, load_recipe, "pretrain"), (FinetuneRecipe, load_finetune_recipe, "finetune")]


FOLDER = ROOT / "docs" / "reference"


def test_every_page_is_the_source_s() -> None:
    """Fails when a field, option, docstring or error changes and the pages are not generated again."""
    written = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.iterdir()}
    fresh = pages()
    stale = [name for name in {*written, *fresh} if written.get(name) != fresh.get(name)]
    assert not stale, "make reference"
    for guide in ("pretraining.md", "finetune.md"):
        assert "(reference/recipes.md)" in (ROOT / "docs" / guide).read_text(encoding="utf-8")


def test_examples_of_commands_can_be_pasted() -> None:
    """Every line of a block is one command, with at most one comment behind it."""
    blocks = re.findall(r"^```(\w+)\n(.*?)^```", pages()["cli.md"], re.MULTILINE | re.DOTALL)
    lines = [line for _, block in blocks for line in block.splitlines()]
    assert {language for language, _ in blocks} == {"bash"}
    assert len(lines) > 20
    assert [line for line in lines if not line.startswith("adept ") or line.count("# ") > 1] == []
    assert (
        "adept proposals tune photos --data coco:few.json:photos  # compare presets on a handful of labeled images"
        in (lines)
    )


@pytest.mark.parametrize("kind", [Recipe, FinetuneRecipe])
def test_a_default_in_words_is_one_of_those_allowed(kind: type[Any]) -> None:
    words = [one for one in settings_of(kind) if re.fullmatch(r"[a-z_][\w-]*", one.default)]
    words = [one for one in words if one.default not in ("true", "false", "null")]
    assert len(words) >= 5
    assert [one for one in words if one.allowed != "text" and one.default not in one.allowed.split(", ")] == []


def test_no_command_error_or_call_is_missing_from_the_pages() -> None:
    """Counted without the generator: by the parser of the program, the classes of the module, and __all__."""
    text = pages()
    for command in ("adept list", "adept data check", "adept recipe", "adept pretrain"):
        assert f"# {command}\n" in text["cli.md"], command
    assert "`--relicense`" in text["cli.md"]
    classes = re.findall(
        r"^class (\w+)\(", (ROOT / "adept_hub" / "errors.py").read_text(encoding="utf-8"), re.MULTILINE
    )
    rows = re.findall(r"^\| `(\w+)` \|.*\| *(.*?) *\|$", text["errors.md"], re.MULTILINE)
    assert [name for name, _ in rows] == classes
    assert [name for name, remedy in rows if not remedy] == ["AdeptError"]
    for name in adept_hub.__all__:
        assert f"### adept_hub.{name}\n" in text["python.md"]
    assert "## `provenance.starts[]`" in text["config.md"]


def test_a_docstring_becomes_markdown() -> None:
    def call() -> None:
        """Return ``x``.

        Args:
            x: a value of two
                lines.

        Raises:
            DataError: never.

        Example:
            >>> call()
            1

        After it.
        """

    assert markdown(call) == (
        "Return `x`.\n\n**Args**\n\n- `x`: a value of two\n  lines.\n\n**Raises**\n\n- `DataError`: never.\n\n"
        "**Example**\n\n```python\n>>> call()\n1\n```\n\nAfter it.\n"
    )


@pytest.mark.parametrize(("cls", "load", "command"), KINDS)
def test_every_field_is_listed_by_the_command(cls: type, load: object, command: str, capsys) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, "--list-settings"])
    assert ended.value.code == 0
    listed = [line.split(" = ")[0] for line in capsys.readouterr().out.splitlines() if not line.startswith(" ")]
    assert listed == field_paths(cls)


@pytest.mark.parametrize(("cls", "load", "command"), KINDS)
def test_what_is_said_holds(cls: type, load: Callable[..., Any], command: str) -> None:
    """The last value of every range in words is accepted or excluded as it says; every default can be typed."""
    ranges = 0
    for one in settings_of(cls):
        load_type = load(None, [f"{one.path}={one.default}"]) if "[0.6667" not in one.default else None
        assert load_type is None or load_type is not load
        found = re.fullmatch(r"in ([\[(])(\S+), (\S+)([\])])(?: or null)?|(\d+)\.\.(\d+)(?: or null)?", one.allowed)
        if not found:
            continue
        ranges += 1
        low, high = (found[2], found[3]) if found[2] else (found[5], found[6])
        for text, factor in ((low, -1), (high, 1)):
            beyond = float(text) + factor * max(abs(float(text)), 1)
            beyond = int(beyond) if found[5] else beyond
            with pytest.raises(RecipeError, match=re.escape(one.path.rpartition(".")[2])):
                load(None, [f"{one.path}={beyond}"])
    assert ranges > 15


@pytest.mark.parametrize(("cls", "load", "command"), KINDS)
def test_every_field_has_a_comment(cls: type, load: object, command: str) -> None:
    assert not [one.path for one in settings_of(cls) if not one.text]


def test_bounds_defaults_and_reasons_worked_by_hand() -> None:
    rows = {one.path: (one.default, one.allowed, one.text) for one in settings_of(Recipe)}
    assert rows["views.boxes"] == ("4", "1..1000", "Boxes per image, K.")
    assert rows["method.momentum"][:2] == ("0.99", "in [0, 1)")
    assert rows["optimizer.rpn_lr"][:2] == ("null", "in [0, 10000] or null")
    assert rows["views.crop_ratio"] == ("[0.75, 1.333]", "each in (0, 100]",
                                        "Width / height of the crop, least and most.")  # fmt: skip
    assert rows["model.head_fc_channels"][1] == "1..8192"
    assert rows["engine.keep"][2] == "Checkpoints that are kept.", "not the comment of the field above"
    rows = {one.path: (one.default, one.allowed, one.text) for one in settings_of(FinetuneRecipe)}
    assert rows["detector.train_sides"][1] == "each 1..16384; 1 to 1000 of them"
    assert rows["engine.precision"][1] == "fp32, bf16"


@pytest.mark.parametrize("bad", ["no/such", "x" * 200, "a\nb", "mit; rm"])
def test_a_license_that_is_not_one_is_refused_at_the_start(bad: str) -> None:
    with pytest.raises(LicenseError, match="is not a license identifier") as caught:
        open_finetune_start("scratch", None, load_finetune_recipe(), Trained(license=bad))
    assert len(str(caught.value)) < 400


def test_classes_that_no_detector_has_are_refused_before_the_first_step(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("adept_training.finetuning.run.build_detector", lambda *_: pytest.fail("work"))
    truth = crowded(6)
    named = Data("made", type(truth)(truth.name, truth.images, ("a", "b" * 1001, "c"), truth.parts))
    with pytest.raises(DataError, match="more than 1,000 characters"):
        finetune("scratch", named, load_finetune_recipe(), tmp_path / "run", accelerator="cpu")
    assert not (tmp_path / "run" / "run.json").exists()
