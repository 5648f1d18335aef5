"""Verdicts against a run's own start, worked by hand: no log, no training, only numbers."""

from __future__ import annotations

import math
from typing import Any

import pytest

from adept_training.pretraining.watch.verdict import Verdict, judge

#: Of the run that ended green: the clock cut it after 14 of 440 steps, and its AUC fell from .62 to .21.
CUT = ({"target_objectness_auc": 0.62}, {"target_objectness_auc": 0.21})


def _judge(first: dict[str, Any], last: dict[str, Any], losses: tuple[float, ...] = (), **options: Any) -> Verdict:
    given = {"network": "target", "steps": 400, "planned": 400, "held_out": 50, "boxes": 2500, **options}
    return judge(first, last, losses, **given)


def _probe(auc: float, recall: float, rank: float = 20.0, network: str = "target") -> dict[str, float]:
    return {
        f"{network}_objectness_auc_level": auc, f"{network}_recall100_iou50": recall, f"{network}_head_rank": rank,
    }  # fmt: skip


def test_the_run_that_ended_green_is_worse_and_says_why() -> None:
    found = _judge(*CUT, steps=14, planned=440)
    assert (found.word, found.tone) == ("worse", "bad")
    assert "objectness AUC (0.5 is chance) 0.62 -> 0.21" in found.sentence
    assert "ranks objects below background" in found.sentence
    assert "14 steps are too few" in found.sentence
    assert "14 of 440 steps" in found.sentence


@pytest.mark.parametrize(
    ("first", "last", "word", "tone"),
    [
        (_probe(0.60, 0.55), _probe(0.75, 0.90), "better", "good"),
        (_probe(0.60, 0.55), _probe(0.60, 0.60), "better", "good"),
        (_probe(0.60, 0.55), _probe(0.61, 0.57), "no better", "caution"),  # 0.02 is within the margin of 0.03
        (_probe(0.60, 0.55), _probe(0.55, 0.75), "no better", "caution"),  # one up, one down
        (_probe(0.60, 0.55), _probe(0.55, 0.55), "worse", "bad"),
        (_probe(0.60, 0.55), _probe(0.60, 0.40), "worse", "bad"),
        (_probe(0.60, 0.55), _probe(0.40, 0.90), "worse", "bad"),  # below chance, whatever the recall
        (_probe(0.60, 0.55), _probe(0.75, 0.90, rank=2.6), "no better", "caution"),  # the head collapsed
        (_probe(0.60, 0.55), _probe(0.60, 0.55, rank=2.6), "worse", "bad"),
    ],
)
def test_words_and_tones(first: dict[str, float], last: dict[str, float], word: str, tone: str) -> None:
    found = _judge(first, last)
    assert (found.word, found.tone) == (word, tone)
    assert found.reasons
    assert found.collapsed == (last["target_head_rank"] < 4)


@pytest.mark.parametrize("rank", [2.6, 20.0])
def test_a_short_run_that_collapsed_is_marked(rank: float) -> None:
    found = _judge(_probe(0.60, 0.55), _probe(0.75, 0.90, rank=rank), steps=50)
    assert (found.word, found.collapsed) == ("too short", rank < 4)


@pytest.mark.parametrize(
    ("boxes", "change", "word"),
    [
        (2500, 0.04, "better"),  # 1 / sqrt(2500) = 0.02, so that the margin is the least one, 0.03
        (400, 0.04, "no better"),  # 1 / 20 = 0.05
        (400, 0.06, "better"),
        (25, 0.15, "no better"),  # 1 / 5
        (25, 0.25, "better"),
        (None, 0.04, "better"),
    ],
)
def test_the_margin_grows_with_fewer_boxes(boxes: int | None, change: float, word: str) -> None:
    assert _judge(_probe(0.6, 0.5), _probe(0.6, 0.5 + change), boxes=boxes).word == word


def test_a_short_run_is_not_called_better() -> None:
    found = _judge(_probe(0.6, 0.5), _probe(0.7, 0.7), steps=99, planned=99)
    assert (found.word, found.tone) == ("too short", "caution")
    assert "the time limit" not in found.sentence, "all its steps were done"
    assert _judge(_probe(0.6, 0.5), _probe(0.7, 0.7), steps=100, planned=400).word == "better"


def test_only_the_exported_network_counts() -> None:
    first = _probe(0.6, 0.5) | _probe(0.6, 0.5, network="online")
    last = _probe(0.2, 0.1) | _probe(0.9, 0.9, network="online")
    assert _judge(first, last).word == "worse"
    assert _judge(first, last, network="online").word == "better"


@pytest.mark.parametrize(
    ("losses", "word", "words"),
    [
        ((5.0, 4.0, 3.0, 2.0, 1.0, 0.5), "not judged", "proves nothing"),
        ((1.0, 1.0, 1.0, 1.5, 2.0, 3.0, 4.0), "no better", "did not fall"),
        ((), "not judged", "no images were held out"),
        ((math.nan, math.inf), "not judged", "no images were held out"),
    ],
)
def test_without_probes_a_falling_loss_proves_nothing(losses: tuple[float, ...], word: str, words: str) -> None:
    found = _judge({}, {}, losses, held_out=0)
    assert found.word == word
    assert words in found.sentence
    assert found.tone != "good"


@pytest.mark.parametrize(
    ("losses", "line"),
    [
        ((5.0, 4.0, 3.0, 2.0, 1.0, 0.0), "loss 4 -> 1"),  # means of three and three
        ((9.0, 8.0, 6.0, 5.0, 2.0) + (1.0,) * 9 + (0.5, 0.25, 0.25, 0.5, 0.5), "loss 6 -> 0.4"),  # of five and five
        ((3.0, 8.0, 1.0), "loss 3 -> 1"),  # of one and one
    ],
)
def test_the_loss_at_either_end_is_a_mean(losses: tuple[float, ...], line: str) -> None:
    assert line in _judge({}, {}, losses, held_out=0).sentence


def test_soco_is_judged_by_the_collapse_alone() -> None:
    sound = {"online_head_rank": 23.9}
    assert _judge(sound, sound, (2.0, 1.0), network="online").word == "not judged"
    found = _judge(sound, {"online_head_rank": 1.7}, (2.0, 1.0), network="online")
    assert (found.word, found.collapsed) == ("worse", True)
    few = _judge(sound, {"online_head_rank": 1.7}, (2.0, 1.0), network="online", boxes=12)
    assert few.word == "not judged", "a dozen boxes cannot have a rank worth judging"


@pytest.mark.parametrize("value", [None, "0.9", math.nan, math.inf, True, [0.9]])
def test_damaged_numbers_are_left_out(value: object) -> None:
    last = _probe(0.6, 0.9) | {"target_objectness_auc_level": value}
    found = _judge(_probe(0.6, 0.5), last)
    assert found.word == "better"
    assert "AUC" not in found.sentence


@pytest.mark.parametrize(("last", "word"), [(2.0, "no better"), (2.5, "no better"), (1.5, "not judged")])
def test_a_loss_that_stays_where_it_was_did_not_fall(last: float, word: str) -> None:
    assert _judge({}, {}, (2.0, last)).word == word
