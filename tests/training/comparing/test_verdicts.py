"""A comparison claims no more than it measured: nothing found is nothing to compare, two seeds give no interval."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from adept_hub.spec import DetectorSpec
from adept_training.comparing.compare import RESULT, write_result
from adept_training.comparing.plots import budget_plot
from adept_training.comparing.result import digest
from adept_training.comparing.runs import ComparisonPlan, RunResult
from adept_training.comparing.tables import headline, summary, tabulate, tone
from adept_training.finetuning.recipe import load_finetune_recipe
from adept_training.labels.records import Data
from adept_training.metrics.stats import Interval, compare_pairs, interval
from tests.training.made import crowded


def _cells(values: dict[str, list[float]], budget: str = "10%", metric: str = "AP") -> list[RunResult]:
    return [
        RunResult(source, budget, seed, "recipe", 1, 25, 1.0, {metric: value})
        for source, row in values.items()
        for seed, value in enumerate(row)
    ]


def _compared(values: dict[str, list[float]], metric: str = "AP"):
    return tabulate(_cells(values, metric=metric), list(values), ["10%"], metric, "recipe")


def test_nothing_found_in_both_arms_is_no_tie() -> None:
    found = compare_pairs("joint", {0: 0.0, 1: 0.02, 2: 0.0}, "scratch", {0: 0.0, 1: 0.0, 2: 0.04})
    assert found.empty
    assert (found.judged, found.significant, found.word) == (False, False, "")
    assert found.verdict == "Nothing to compare: joint and scratch both have 0.0 (3 seeds)."
    # one arm that found something is a comparison
    some = compare_pairs("joint", {0: 0.0, 1: 0.06, 2: 0.0}, "scratch", {0: 0.0, 1: 0.0, 2: 0.0})
    assert some.judged
    assert not some.empty


def test_two_values_have_no_interval() -> None:
    """By hand: 3.0 and 4.0 have a t-interval of ± 6.4, and 3.0 and 3.0 one of ± 0, which would be 'significant'."""
    for values in ([3.0], [3.0, 4.0], [3.0, 3.0]):
        found = interval(values)
        assert math.isnan(found.half)
        assert found.values == tuple(values)
    assert str(interval([3.0, 4.25])) == "3.0, 4.2"
    assert str(interval([3.0, 4.0, 5.0])) == "4.0 ± 2.5"
    pairs = compare_pairs("joint", {0: 5.0, 1: 6.5}, "scratch", {0: 1.0, 1: 3.5})
    assert (pairs.judged, pairs.significant) == (False, False)
    assert pairs.verdict == "2 seeds, too few for a verdict: joint minus scratch is +4.0, +3.0 points."


@pytest.mark.parametrize(
    ("ours", "shown", "words"),
    [
        ([30.0, 31.0, 32.5], "good", "1 of 1 are significantly better, 0 significantly worse"),
        ([1.0, 2.0, 3.5], "bad", "0 of 1 are significantly better, 1 significantly worse"),
        ([9.0, 12.0, 14.0], "neutral", "1 not significant"),
        ([30.0, 31.0], "caution", "no verdict. Intervals need at least 3 seeds"),
    ],
)
def test_only_a_gain_is_green(ours: list[float], shown: str, words: str) -> None:
    found = _compared({"scratch": [11.0, 12.0, 13.0][: len(ours)], "joint": ours})
    assert tone(found) == shown
    assert words in summary(found)


@pytest.mark.parametrize(
    ("ours", "metric", "words"),
    [  # differences of 19, 19 and 19.5: a deviation of 0.2887, times 4.303 / sqrt(3)
        ([30.0, 31.0, 32.5], "AP", "joint beats scratch with 10%: 19.2 ± 0.7 points of"),
        ([30.0, 31.0, 32.5], "TIDE_Loc", "scratch beats joint with 10%: 19.2 ± 0.7 points of"),
        ([9.0, 12.0, 14.0], "AP", "No clear winner. The largest difference is between joint and scratch with 10%: 0.3"),
        ([30.0, 31.0], "AP", "Too few pairs for a verdict: 2, of at least 3."),
    ],
)
def test_the_first_words_name_the_winner(ours: list[float], metric: str, words: str) -> None:
    found = headline(_compared({"scratch": [11.0, 12.0, 13.0][: len(ours)], "joint": ours}, metric))
    assert found.startswith(words)
    assert found.endswith(", 3 pairs.") == (len(ours) == 3)
    assert headline(_compared({"scratch": [0.0] * 5, "joint": [0.0] * 5})) == "Nothing to compare."


def test_nothing_at_all_is_amber() -> None:
    found = _compared({"scratch": [0.0] * 5, "joint": [0.0] * 5})
    assert tone(found) == "caution"
    assert summary(found).endswith("nothing can be compared, no source found anything: 0.0 in every run.")
    costs = _compared({"scratch": [0.0] * 5, "joint": [0.0] * 5}, "TIDE_Loc")
    assert summary(costs).endswith("nothing can be compared, every cost is 0.0 in every run.")


def test_mixed_budgets_count_only_what_was_judged() -> None:
    cells = _cells({"scratch": [0.0] * 3, "joint": [0.0] * 3}, "1%")
    cells += _cells({"scratch": [5.0, 6.0, 7.0], "joint": [15.0, 16.0, 17.5]}, "10%")
    cells += _cells({"scratch": [5.0, 6.0], "joint": [15.0, 16.0]}, "100%")
    found = tabulate(cells, ["scratch", "joint"], ["1%", "10%", "100%"], "AP", "recipe")
    text = summary(found)
    assert "1 of 1 are significantly better" in text
    assert "In 1 more neither source found anything" in text
    assert "1 more have fewer than 3 seeds" in text
    assert tone(found) == "good"


def test_the_plot_of_two_seeds_shows_both_values_and_no_bar() -> None:
    few = budget_plot(_compared({"scratch": [3.0, 4.0], "joint": [5.0, 6.0]}))
    assert "the value of each seed" in few
    assert "95% interval" not in few
    assert "95% interval" in budget_plot(_compared({"scratch": [3.0, 4.0, 5.0], "joint": [5.0, 6.0, 7.5]}))


@pytest.mark.parametrize(
    ("values", "seeds", "kind", "advice"),
    [
        ([0.0] * 5, 5, "caution", "--iterations 100"),
        ([1.0, 2.0], 2, "caution", "--seeds 5"),
        ([1.0, 2.0, 1.5], 3, "neutral", ""),
    ],
)
def test_the_page_says_what_to_try(values: list[float], seeds: int, kind: str, advice: str, tmp_path: Path) -> None:
    split = crowded(4)
    data = Data("made up", split, split, None)
    plan = ComparisonPlan(
        {"scratch": "scratch", "joint": "x"}, ("10%",), seeds, {"recipe": load_finetune_recipe()}, DetectorSpec()
    )
    result = digest(_cells({"scratch": values, "joint": values}), plan, "AP")
    write_result(result, plan, data, tmp_path, "")
    page = (tmp_path / "compare.html").read_text()
    assert f'class="verdict {kind}"' in page
    assert 'class="verdict good"' not in page
    assert advice in page
    assert any(advice in line for line in result.advice) if advice else not result.advice
    content = json.loads((tmp_path / RESULT).read_text())
    (_, joint) = content["comparisons"][0]["cells"]
    assert joint["values"] == values
    assert (joint["half"] is None) == (seeds < 3)
    assert joint["gain"]["judged"] is (kind == "neutral")


def test_an_interval_of_a_difference_of_equals_is_zero_wide_and_says_so() -> None:
    same = compare_pairs("joint", {0: 3.0, 1: 4.0, 2: 5.0}, "scratch", {0: 3.0, 1: 4.0, 2: 5.0})
    assert same.judged
    assert not same.significant
    assert same.interval == Interval(0.0, 0.0, 3, (0.0, 0.0, 0.0))


def test_each_cell_of_a_table_is_of_its_own_runs() -> None:
    """Every run measures another value: of its source, budget, variant and metric; seeds are paired by number."""
    base = {"scratch": 1.0, "joint": 100.0}
    scale = {
        ("1%", "last layer"): 1.0,
        ("10%", "last layer"): 3.0,
        ("1%", "all layers"): 7.0,
        ("10%", "all layers"): 9.0,
    }
    cells = [
        RunResult(
            source, budget, seed, variant, 1, 1, 1.0, {"AP": value * factor + seed, "AP50": 2 * value * factor + seed}
        )
        for (budget, variant), factor in scale.items()
        for source, value in base.items()
        # The sources were run in other orders, and scratch has a seed more.
        for seed in ((2, 0, 1) if source == "joint" else (0, 1, 2, 3))
    ]
    for (budget, variant), factor in scale.items():
        for metric, double in (("AP", 1), ("AP50", 2)):
            found = tabulate(cells, ["scratch", "joint"], ["1%", "10%"], metric, variant)
            mine, theirs = found.means["joint", budget], found.means["scratch", budget]
            assert (mine.mean, mine.count) == (100 * double * factor + 1, 3)
            assert (theirs.mean, theirs.count) == (double * factor + 1.5, 4)
            assert found.gains["joint", budget].interval.mean == pytest.approx(99 * double * factor)
            assert found.gains["joint", budget].interval.half == pytest.approx(0), "in pairs the seeds cancel"


@pytest.mark.parametrize(("metric", "best"), [("AP", "soco"), ("TIDE_Loc", "joint")])
def test_the_largest_gain_is_the_one_for_the_better(metric: str, best: str) -> None:
    """Of AP more is better, of a cost less; the difference of the other source is larger, and a loss."""
    better = 1.0 if metric == "AP" else -1.0
    values = {
        "scratch": [30.0, 31.0, 32.0],
        best: [30.0 + 4 * better, 31.1 + 4 * better, 32.0 + 4 * better],
        "third": [30.0 + 2 * better, 31.1 + 2 * better, 32.0 + 2 * better],
        "loser": [30.0 - 9 * better, 31.1 - 9 * better, 32.0 - 9 * better],
    }
    found = _compared(values, metric)
    assert "2 of 3 are significantly better, 1 significantly worse" in summary(found)
    assert f"The largest significant gain is {best}'s with 10%: 4.0 ± 0.1 points." in summary(found)


@pytest.mark.parametrize(("budgets", "words"), [(8, ""), (9, "With 9 comparisons about 0.5 would look significant")])
def test_of_many_comparisons_some_are_significant_by_chance(budgets: int, words: str) -> None:
    names = [f"{k}img" for k in range(1, budgets + 1)]
    cells = [cell for name in names for cell in _cells({"scratch": [1.0, 2.0, 3.1], "soco": [2.0, 3.0, 4.0]}, name)]
    text = summary(tabulate(cells, ["scratch", "soco"], names, "AP", "recipe"))
    assert f"{budgets} of {budgets} are significantly better" in text
    assert ("by chance" in text) == bool(words)
    assert words in text
