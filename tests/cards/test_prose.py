"""The sentences of a card: whose results are claimed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from adept_hub.cards.card import render_card
from tests.cards.test_card import CONFIG


@pytest.mark.parametrize(
    ("objective", "preset", "words"),
    [
        ("infonce", "objects", "do not apply: the loss (InfoNCE over boxes), the boxes (preset objects).\n"),
        ("infonce", "paper", "do not apply: the loss (InfoNCE over boxes).\n"),
        ("cosine", "objects", "do not apply: the boxes (preset objects).\n"),
        ("cosine", "paper", "The paper reports gains in localization"),
    ],
)
def test_the_papers_results_are_claimed_only_for_its_loss_and_boxes(objective: str, preset: str, words: str) -> None:
    told = replace(
        CONFIG.provenance,
        recipe={"method": {"objective": objective}},
        proposals={"preset": {"name": preset, "n": 9}},
    )
    card = render_card(replace(CONFIG, provenance=told))
    limits = card.split("## Limitations")[1].split("## Citation")[0]
    assert words in limits
    assert ("darkness" in limits) == ((objective, preset) == ("cosine", "paper"))
    assert f"| proposals | preset {preset} |" in card
    assert f"{'These' if preset == 'objects' else 'Selective-search'} boxes are not objects: the RPN" in limits
    bare = render_card(replace(CONFIG, provenance=told, parts=("backbone", "fpn", "head")))
    assert "the RPN proposes" not in bare, "it has none"
