"""The rule by which a plan chooses recipe, view size and batch: pure functions.

Considered are the bundled recipes for your own images (their weights have the tag ``mine``), each with several sizes of
its views and, on a GPU, with a larger batch. Of those that see as many images as their method wants, the one with the
deepest network is chosen, then the one with the largest views, then the one that sees most. If none does, it is the one
that comes closest, whatever its size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from adept_hub.errors import RecipeError
from adept_training.planning.need import Need, Outlook, look_ahead, need_of
from adept_training.planning.probing.machine import Machine
from adept_training.pretraining.pace import Pace
from adept_training.pretraining.recipe import Recipe, load_recipe, recipe_names
from adept_training.pretraining.watch.probe import held_out_count, split_keys

#: Tag of the recipes for your own images.
OWN = "mine"
#: Sides of the largest view, in pixels, next to a recipe's own.
SIDES = (112, 160, 224)
#: Batch size on a GPU, if the recipe's is smaller: with 16 images it is mostly idle (docs/evidence.md used 64).
GPU_BATCH = 64
#: Relative work of a forward pass by depth, and of the whole step by view area; only to guess a speed not yet measured.
_WORK = {18: 1.0, 34: 2.0, 50: 3.0, 101: 5.5}


@dataclass(frozen=True)
class Candidate:
    """A recipe with settings."""

    recipe: str
    settings: tuple[str, ...]
    loaded: Recipe = field(repr=False)

    @property
    def side(self) -> int:
        """Side of the largest view, in pixels."""
        return max(self.loaded.views.sizes)

    @property
    def batch(self) -> int:
        """Images per step."""
        return self.loaded.engine.batch_size

    def training_images(self, keys: list[str]) -> int:
        """Return how many of the images it trains on: some are held out."""
        return len(split_keys(keys, self.loaded.data.held_out)[0])

    @property
    def need(self) -> Need | None:
        """Need of the method."""
        return need_of(self.loaded.method.name, self.loaded.method.objective)

    @property
    def work(self) -> float:
        """Relative work of an image: three passes over each view, and one of the target's if there is a contrast."""
        sizes, contrasts = self.loaded.views.sizes, self.loaded.method.contrasts
        area = 4 * sum(size**2 for size in sizes) if contrasts else 3 * sizes[0] ** 2
        return area * _WORK.get(self.loaded.model.depth, max(_WORK.values()))


@dataclass(frozen=True)
class Forecast:
    """Outlook of a candidate within a time limit."""

    candidate: Candidate
    seconds_per_step: float
    outlook: Outlook
    #: False: scaled from another candidate's speed.
    measured: bool = True


def candidates(
    images: int, machine: Machine, image_side: float, recipe: str | None = None, settings: Sequence[str] = ()
) -> list[Candidate]:
    """List what a plan chooses from.

    Args:
        images: of the whole set.
        machine: settings of the recipes are adapted to it.
        image_side: median shorter side of the images in pixels; larger views would only be blurred.
        recipe: consider only this one.
        settings: keep these, ``section.field=value``.

    Raises:
        RecipeError: the recipe or a setting is invalid, or the images are too few for a step.
    """
    if images < 2:
        raise RecipeError(f"{images} images to train on: batch norm needs two at least.\nGive more images.")
    names = [recipe] if recipe is not None else own_recipes()
    found: list[Candidate] = []
    for name in names:
        base = load_recipe(name, settings)
        if base.engine.max_steps is not None:
            raise RecipeError(
                f"engine.max_steps is {base.engine.max_steps}, but a plan chooses how many steps to take.\n"
                "Leave it out: --set engine.max_steps=null"
            )
        training = images - held_out_count(images, base.data.held_out)
        for side in sides_of(base, image_side, settings):
            for batch in batches_of(base, training, machine, settings):
                words = (*settings, *_changes(base, side, batch), *machine.settings_for(base, settings))
                found.append(Candidate(name, words, load_recipe(name, words)))
    return found


def own_recipes() -> list[str]:
    """Return the bundled recipes for your own images that can start without weights."""
    loaded = {name: load_recipe(name) for name in recipe_names()}
    return [name for name, one in loaded.items() if one.export.tag == OWN and not one.method.needs_start]


def sides_of(recipe: Recipe, image_side: float, settings: Sequence[str] = ()) -> list[int]:
    """Return the sides of the largest view to consider, in pixels: none larger than the images, if possible."""
    own = max(recipe.views.sizes)
    if _is_set("views.sizes", settings):
        return [own]
    sides = sorted({own, *SIDES})
    return [side for side in sides if side <= image_side] or sides[:1]


def batches_of(recipe: Recipe, images: int, machine: Machine, settings: Sequence[str] = ()) -> list[int]:
    """Return the batch sizes to consider; if the set has fewer images, a quarter of them."""
    own = recipe.engine.batch_size
    if _is_set("engine.batch_size", settings):
        return [own]
    most = max(images // 4, 2)
    wanted = {own, max(own, GPU_BATCH)} if machine.device == "cuda" else {own}
    return sorted({min(batch, most) if batch > images else batch for batch in wanted})


def forecast(candidate: Candidate, seconds_per_step: float, images: int, seconds: float, *, measured: bool) -> Forecast:
    """Return what a candidate sees of a training set of ``images`` in ``seconds`` of training."""
    pace = Pace(0, _ENDLESS, seconds_per_step, limit=seconds)
    outlook = look_ahead(candidate.need, images, candidate.batch, pace.reachable)
    return Forecast(candidate, seconds_per_step, outlook, measured)


def guess(candidate: Candidate, other: Candidate, seconds_per_step: float) -> float:
    """Return the seconds of a candidate's step, from those of another: in proportion to the work of all its images."""
    return seconds_per_step * (candidate.work * candidate.batch) / (other.work * other.batch)


def choose(forecasts: Sequence[Forecast]) -> Forecast:
    """Return the best; see the module's rule."""
    enough = [one for one in forecasts if one.outlook.verdict == "enough"]
    if enough:
        return max(enough, key=lambda one: (one.candidate.loaded.model.depth, one.candidate.side, one.outlook.share))
    return max(forecasts, key=lambda one: (one.outlook.share, one.candidate.side))


#: Steps of a run that only the clock ends.
_ENDLESS = 1 << 40


def _changes(recipe: Recipe, side: int, batch: int) -> list[str]:
    changes, own = [], max(recipe.views.sizes)
    if side != own:
        sizes = [max(round(size * side / own), 32) for size in recipe.views.sizes]
        changes.append(f"views.sizes={sizes}".replace(" ", ""))
    if batch != recipe.engine.batch_size:
        changes.append(f"engine.batch_size={batch}")
    return changes


def _is_set(path: str, settings: Sequence[str]) -> bool:
    return any(setting.partition("=")[0] == path for setting in settings)
