"""The page on the paper has every table and protocol; `tests.test_printed_commands` judges its commands."""

from __future__ import annotations

import re

from adept_training.finetuning.recipe import protocol_names
from tests.printed import ROOT, TUNING, document_commands, words_of


def test_the_page_on_the_paper_has_every_table_and_every_protocol() -> None:
    page = ROOT / "docs" / "reproduce.md"
    text, found = page.read_text(encoding="utf-8"), [words_of(command) for command in document_commands(page)]
    assert [int(n) for n in re.findall(r"^## Table (\d)", text, re.M)] == [1, 2, 3, 4]
    used = {words[words.index("--recipe") + 1] for words in found if "--recipe" in words and words[0] in TUNING}
    assert used == set(protocol_names()) - {"cpu_small"}
    assert {words[0] for words in found} >= {"finetune", "evaluate", "fewshot", "export", "data", "pretrain"}
    for recipe in ("table4_detrpn_ssrpn", "table4_det_ssrpn", "table4_detrpn_ss", "table4_det_ss"):
        assert (ROOT / "training" / "recipes" / f"{recipe}.yaml").is_file()
        assert recipe in text
