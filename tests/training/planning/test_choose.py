"""The rule by which a plan chooses, worked by hand: no clock and no network."""

from __future__ import annotations

from pathlib import Path

import pytest

from adept_hub.errors import RecipeError
from adept_training.planning import choose as module
from adept_training.planning.choose import (
    Candidate,
    Forecast,
    batches_of,
    candidates,
    choose,
    forecast,
    guess,
    own_recipes,
    sides_of,
)
from adept_training.planning.decide import decide
from adept_training.planning.probing.machine import Machine
from adept_training.pretraining.recipe import load_recipe

SMALL = Machine("cpu", "a laptop", 2, 8 << 30)
GPU = Machine("cuda", "a card", 13, 24 << 30)
#: Views of 96, 96 and 48 px.
BASE = ("model.depth=18", "views.sizes=[96,96,48]", "engine.batch_size=8", "method.objective=infonce")


def candidate(*settings: str) -> Candidate:
    words = (*BASE, *settings)
    return Candidate("by hand", words, load_recipe(None, words))


def at(share: float, *settings: str) -> Forecast:
    """A forecast that sees a share of what InfoNCE wants of 1,000 images: 200,000."""
    one = candidate(*settings)
    found = forecast(one, 0.5, 1000, share * 200_000 / 8 * 0.5, measured=True)
    assert found.outlook.share == pytest.approx(share, abs=1e-3)
    return found


def test_the_own_recipes_are_marked_by_their_tag() -> None:
    names = own_recipes()
    assert {"own_photos_cpu", "adept_joint_r50_1gpu"} <= set(names)
    assert not {"adept_joint_r50_100ep", "soco_r50_100ep", "two_minutes", "adept_joint_r18_fpn128_cpu"} & set(names)


def test_any_bundled_recipe_with_the_tag_is_considered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A recipe that comes later needs no change here."""
    (tmp_path / "later.yaml").write_text("export: {tag: mine}\nmethod: {name: soco}\nviews: {sizes: [144, 144, 72]}\n")
    (tmp_path / "apart.yaml").write_text("export: {tag: mine}\nmethod: {name: adept_separate}\n")
    (tmp_path / "paper.yaml").write_text("export: {tag: of_a_paper}\n")
    import adept_training.pretraining.recipe as recipes

    monkeypatch.setattr(recipes, "recipe_folder", lambda: tmp_path)
    found = candidates(5000, SMALL, 500.0)
    assert {one.recipe for one in found} == {"later"}
    assert [one.side for one in found] == [112, 144, 160, 224]
    assert found[2].loaded.views.sizes == (160, 160, 80)
    assert found[1].settings == (), "its own views"


def test_of_those_that_see_enough_the_deepest_then_the_largest_then_the_cheapest() -> None:
    shallow, deep = at(9.0, "views.sizes=[224,224,112]"), at(1.0, "model.depth=50")
    assert choose([shallow, deep]) is deep
    large = at(1.1, "views.sizes=[160,160,80]")
    assert choose([at(7.0), large]) is large
    cheap = at(7.0)
    assert choose([at(2.0), cheap]) is cheap


def test_of_those_that_do_not_the_closest() -> None:
    large, close = at(0.5, "views.sizes=[224,224,112]", "model.depth=50"), at(0.6)
    assert choose([large, close]) is close
    enough = at(1.0)
    assert choose([at(0.94, "model.depth=50"), enough, close]) is enough


def test_a_forecast_is_the_pace_within_the_time() -> None:
    found = forecast(candidate(), 2.0, 1000, 301.0, measured=False)
    assert (found.outlook.steps, found.outlook.seen, found.measured) == (151, 1208, False)
    assert forecast(candidate(), 2.0, 1000, 0.0, measured=True).outlook.seen == 0


def test_a_guess_is_in_proportion_to_the_work() -> None:
    """96, 96 and 48 px are 20,736 pixels, 192, 192 and 96 px four times as many; depth 50 takes three times as long."""
    one, four = candidate(), candidate("views.sizes=[192,192,96]", "engine.batch_size=16")
    assert guess(four, one, 0.3) == pytest.approx(0.3 * 4 * 2)
    assert guess(candidate("model.depth=50"), one, 0.3) == pytest.approx(0.9)


def test_views_are_no_larger_than_the_images() -> None:
    own = load_recipe(None, BASE)
    assert sides_of(own, 1000.0) == [96, 112, 160, 224]
    assert sides_of(own, 159.9) == [96, 112]
    assert sides_of(own, 50.0) == [96], "the smallest there is"
    assert sides_of(own, 1000.0, ["views.sizes=[96,96,48]"]) == [96], "not up for choice"


def test_batches() -> None:
    own = load_recipe(None, BASE)
    assert batches_of(own, 1000, SMALL) == [8]
    assert batches_of(own, 1000, GPU) == [8, 64]
    assert batches_of(own, 50, GPU) == [8, 12], "64 are more than there are: four steps a pass"
    assert batches_of(own, 6, SMALL) == [2]
    assert batches_of(own, 50, GPU, ["engine.batch_size=8"]) == [8]
    with pytest.raises(RecipeError, match="two at least"):
        candidates(1, SMALL, 100.0)


def test_a_batch_is_no_larger_than_what_is_left_to_train_on() -> None:
    """Of 66 images three are held out: 63 do not fill a batch of 64, and fifteen are a quarter of them."""
    settings = ["data.held_out=20"]
    assert {one.batch for one in candidates(66, GPU, 112.0, "own_photos_cpu", settings)} == {15, 16}
    assert {one.batch for one in candidates(68, GPU, 112.0, "own_photos_cpu", settings)} == {16, 64}


def test_settings_of_the_machine() -> None:
    recipe = load_recipe(None, ("data.workers=1", "engine.threads=2"))
    assert SMALL.settings_for(recipe) == []
    assert Machine("cpu", "", 3, 1).settings_for(recipe) == []
    assert Machine("cpu", "", 10, 1).settings_for(recipe) == ["engine.threads=9"]
    assert Machine("cpu", "", 10, 1).settings_for(load_recipe(None, ("engine.threads=0",))) == []
    assert GPU.settings_for(recipe) == ["data.workers=8", "engine.threads=0"]
    assert Machine("cuda", "", 4, 1).settings_for(recipe, ["engine.threads=2"]) == ["data.workers=3"]


class Clock:
    """Measures by a table; counts what was measured."""

    def __init__(self, seconds: dict[Candidate, float | None]) -> None:
        self.seconds, self.measured = seconds, list[Candidate]()

    def time(self, one: Candidate, expected: float | None) -> float | None:
        assert (expected is None) == (not [k for k in self.measured if self.seconds[k] is not None])
        self.measured.append(one)
        return self.seconds[one]

    def decide(self, limit: int = 99, minutes: float = 60.0) -> Forecast:
        def look(one: Candidate, seconds: float, measured: bool) -> Forecast:
            return forecast(one, seconds, 1000, 60 * minutes, measured=measured)

        return decide(list(self.seconds), self.time, look, lambda: len(self.measured) >= limit)


SIDES = {side: candidate(f"views.sizes=[{side},{side},{side // 2}]") for side in (96, 192, 384)}


def test_only_what_may_be_chosen_is_measured() -> None:
    """200,000 images in an hour are 25,000 steps of .144 s: .03 s at 96 px lets expect .12 s at 192, .48 s at 384."""
    clock = Clock({SIDES[384]: 0.4, SIDES[192]: 0.13, SIDES[96]: 0.03})
    best = clock.decide()
    assert (best.candidate, best.seconds_per_step, best.measured) == (SIDES[192], 0.13, True)
    assert clock.measured == [SIDES[96], SIDES[192]]


def test_a_measurement_can_change_the_choice() -> None:
    """At 192 px it is slower than guessed, and no longer enough: 96 px, already measured, are."""
    clock = Clock({SIDES[96]: 0.03, SIDES[192]: 0.2, SIDES[384]: 0.9})
    best = clock.decide()
    assert (best.candidate, best.measured) == (SIDES[96], True)
    assert clock.measured == [SIDES[96], SIDES[192]]


def test_without_time_the_guess_is_the_answer_and_says_so() -> None:
    best = Clock({SIDES[96]: 0.03, SIDES[192]: 0.13, SIDES[384]: 0.4}).decide(limit=1)
    assert (best.candidate, best.measured) == (SIDES[192], False)
    assert best.seconds_per_step == pytest.approx(0.12)


def test_what_does_not_fit_into_the_memory_is_left_out() -> None:
    clock = Clock({SIDES[96]: 0.03, SIDES[192]: None, SIDES[384]: 0.4})
    assert clock.decide().candidate == SIDES[96]
    with pytest.raises(RecipeError, match="memory"):
        Clock({SIDES[96]: None, SIDES[192]: None}).decide()


def test_the_rule_knows_every_depth() -> None:
    assert set(module._WORK) >= {18, 34, 50}
