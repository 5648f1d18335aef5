"""Every `adept` command in the documents is one that the real parsers take, with recipes that exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from adept_hub.cli.main import build_parser
from adept_training.downstream.finetune_command import settings_of
from adept_training.downstream.recipe import load_finetune_recipe, protocol_names

ROOT = Path(__file__).resolve().parents[3]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
#: Commands whose recipe is one of fine-tuning.
TUNED = ("finetune", "compare", "fewshot")


def commands(page: Path) -> list[list[str]]:
    """Lines of code blocks, and code within the text that has options, so that it is no mere mention."""
    text = page.read_text(encoding="utf-8")
    blocks = "\n".join(re.findall(r"^```[a-z]*\n(.*?)^```", text, re.S | re.M)).replace("\\\n", " ")
    found = [line for line in blocks.splitlines() if line.startswith("adept ")]
    prose = re.sub(r"^```.*?^```", "", text, flags=re.S | re.M)
    found += [code for code in re.findall(r"`(adept [^`]+)`", prose) if " -" in code]
    parts = [part.strip() for line in found for part in re.split(r";|&&", line) if "..." not in line]
    return [_words(part) for part in parts if part.startswith("adept ")]


def _words(line: str) -> list[str]:
    """A line without its comment and what is optional; of alternatives the first."""
    line = re.sub(r"\[[^]]*\]|>.*", "", line).replace("FRAMEWORK", "torchvision").replace("--method M ", "")
    return [re.sub(r"^(\w+)\|.*", r"\1", word) for word in shlex.split(line, comments=True)[1:]]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_parses(page: Path) -> None:
    for words in commands(page):
        try:
            args = build_parser(words[0]).parse_args(words)
        except SystemExit as error:
            assert error.code == 0, f"{page.name}: adept {' '.join(words)}"  # noqa: PT017
            continue
        if words[0] in TUNED:
            load_finetune_recipe(args.recipe, settings_of(args))


def test_the_page_on_the_paper_has_every_table_and_every_protocol() -> None:
    page = ROOT / "docs" / "reproduce.md"
    text, found = page.read_text(encoding="utf-8"), commands(page)
    assert [int(n) for n in re.findall(r"^## Table (\d)", text, re.M)] == [1, 2, 3, 4]
    used = {words[words.index("--recipe") + 1] for words in found if "--recipe" in words and words[0] in TUNED}
    assert used == set(protocol_names()) - {"cpu_small"}
    assert {words[0] for words in found} >= {"finetune", "evaluate", "fewshot", "export", "data", "pretrain"}
    for recipe in ("table4_detrpn_ssrpn", "table4_det_ssrpn", "table4_detrpn_ss", "table4_det_ss"):
        assert (ROOT / "training" / "recipes" / f"{recipe}.yaml").is_file()
        assert recipe in text
