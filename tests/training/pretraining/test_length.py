"""engine.max_steps: the length of a run in steps, in place of its epochs; recipes without it stay as they were."""

from __future__ import annotations

from pathlib import Path

import pytest

from adept_hub.errors import RecipeError
from adept_hub.io.schema import to_dict
from adept_training.planning.choose import candidates
from adept_training.planning.probing.machine import Machine, this_machine
from adept_training.pretraining.origin import recipe_digest
from adept_training.pretraining.pace import longer, planned_steps, warmup_steps
from adept_training.pretraining.pretrain import pretrain
from adept_training.pretraining.recipe import Recipe, load_recipe, recipe_names
from adept_training.pretraining.watch.log import read_log
from tests.training.support import TINY, RandomBoxes, tiny, write_photographs


def limited(steps: int, *settings: str) -> Recipe:
    """The tiny recipe without its epochs, which would be refused."""
    rest = [setting for setting in TINY if not setting.startswith("schedule.epochs=")]
    return load_recipe(None, (*rest, f"engine.max_steps={steps}", *settings))


def test_steps_take_the_place_of_epochs_and_the_warm_up_keeps_its_share() -> None:
    by_epochs, by_steps = tiny(), limited(40, "schedule.warmup_epochs=25")  # of 100 epochs
    assert (planned_steps(by_epochs, 3), warmup_steps(by_epochs, 3)) == (6, 2)
    assert (planned_steps(by_steps, 3), warmup_steps(by_steps, 3)) == (40, 10)
    assert planned_steps(tiny("schedule.epochs=0.3", "schedule.warmup_epochs=0"), 1) == 1, "at least one"


@pytest.mark.parametrize("name", [None, *recipe_names()])
def test_recipes_without_it_are_saved_as_before(name: str | None) -> None:
    recipe = load_recipe(name)
    assert recipe.engine.max_steps is None
    assert "max_steps" not in to_dict(recipe)["engine"]
    assert "max_steps" not in recipe.to_yaml()


def test_it_is_saved_and_changes_the_digest(tmp_path: Path) -> None:
    recipe = limited(5)
    (tmp_path / "r.yaml").write_text(recipe.to_yaml())
    assert load_recipe(tmp_path / "r.yaml") == recipe
    unlimited = load_recipe(tmp_path / "r.yaml", ["engine.max_steps=null"])
    assert len({recipe_digest(one) for one in (recipe, limited(6), unlimited)}) == 3


def test_epochs_that_would_change_nothing_are_refused(tmp_path: Path) -> None:
    given = "schedule.epochs=70"
    said = r"engine\.max_steps is 5 .*: schedule.*would change nothing\.\nLeave the epochs out, or the steps: --set "
    with pytest.raises(RecipeError, match=said):
        load_recipe(None, [given, "engine.max_steps=5"])
    (tmp_path / "r.yaml").write_text(Recipe().to_yaml() + "  max_steps: 5\n")
    with pytest.raises(RecipeError, match=said):
        load_recipe(tmp_path / "r.yaml", [given])
    assert load_recipe(tmp_path / "r.yaml", [given, "engine.max_steps=null"]).schedule.epochs == 70
    assert load_recipe(tmp_path / "r.yaml", ["schedule.warmup_epochs=3"]).engine.max_steps == 5


def test_no_steps_are_no_run() -> None:
    assert limited(1).engine.max_steps == 1
    with pytest.raises(RecipeError, match=r"engine\.max_steps"):
        limited(0)


def test_advice_lengthens_what_sets_the_length() -> None:
    assert longer({"schedule.epochs": 2.5}, 2) == ("epochs", "schedule.epochs=5")
    assert longer({"schedule.epochs": 2.5, "engine.max_steps": 7}, 1.5) == ("steps", "engine.max_steps=11")


def test_a_plan_chooses_the_steps_itself() -> None:
    machine: Machine = this_machine()
    with pytest.raises(RecipeError, match=r"a plan chooses how many steps"):
        candidates(100, machine, 200.0, "own_photos_cpu", ["engine.max_steps=9"])


def test_a_run_of_so_many_steps(tmp_path: Path) -> None:
    """Nine images in batches of four are two steps per epoch; three steps are a run and a half."""
    source = write_photographs(tmp_path / "photographs", 9)
    recipe = limited(3, "schedule.warmup_epochs=67")
    outcome = pretrain(recipe, source, RandomBoxes(), tmp_path / "run")
    assert (outcome.steps, outcome.planned_steps) == (3, 3)
    rates = read_log(tmp_path / "run").series("lr")[1]
    assert rates[0] < rates[1] < rates[2], "warm-up for two of the three"
