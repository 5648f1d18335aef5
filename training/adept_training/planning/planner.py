"""Make a plan: look at machine and images for half a minute, and choose."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from adept_hub.arguments.calls import checked
from adept_hub.errors import OptionValueError
from adept_hub.registry import model_info
from adept_hub.words.command_line import command_line
from adept_hub.words.pulse import doing
from adept_training.images import open_images
from adept_training.labels.datasets import open_data
from adept_training.planning.advice import Instead, advise
from adept_training.planning.arithmetic import NIGHT, Seconds, limit_of, minutes_for, schedule_settings, spread_time
from adept_training.planning.choose import Candidate, Forecast, candidates, forecast
from adept_training.planning.decide import decide
from adept_training.planning.disk import disk_of, sizes_of
from adept_training.planning.labels import PRESET, Labels, look_at_labels
from adept_training.planning.place import free_bytes, run_folder
from adept_training.planning.plan import Plan
from adept_training.planning.probing.machine import Machine, this_machine
from adept_training.planning.probing.measuring import Measuring
from adept_training.planning.probing.sample import Sample, take_sample
from adept_training.pretraining.asked import Asked
from adept_training.pretraining.recipe import Recipe

#: Seconds after which no measurement of speed begins; earlier if labels are looked at too.
_MEASURED, _MEASURED_WITH_LABELS = 20.0, 12.0
#: As of ``engine.max_minutes``.
_MOST_MINUTES = 1_000_000
#: The bundled weights that gained (docs/evidence.md), in the architecture of the small recipes.
_GENERAL = "detection"


@dataclass(frozen=True)
class _Set:
    """The images of a plan, and how it looks at them."""

    keys: list[str]
    sample: Sample
    machine: Machine
    measuring: Measuring

    def spread(self, one: Candidate, minutes: float) -> Seconds:
        search = self.measuring.search(one.loaded.data.proposals)
        return spread_time(
            minutes, one.loaded, len(self.keys), search=search.seconds, decode=self.sample.decode_seconds,
            cores=self.machine.cores,
        )  # fmt: skip

    def look_ahead(self, one: Candidate, seconds_per_step: float, minutes: float, *, measured: bool) -> Forecast:
        training = self.spread(one, minutes).training
        return forecast(one, seconds_per_step, one.training_images(self.keys), training, measured=measured)

    def minutes_for_enough(self, best: Forecast) -> float:
        """Return the minutes in which the candidate sees what its method wants; 0 if that is unknown."""
        one, spread = best.candidate, self.spread(best.candidate, NIGHT)
        if one.need is None:
            return 0.0
        return minutes_for(best.outlook.enough_steps, best.seconds_per_step, spread.total - spread.training)


@checked
def plan(
    images: str | Path,
    *,
    minutes: float | None = None,
    data: str | Path | Sequence[str] | None = None,
    recipe: str | Path | None = None,
    settings: Sequence[str] = (),
    out: str | Path | None = None,
    skip_damaged: bool = False,
    progress: Callable[[str], None] | None = None,
) -> Plan:
    """Choose recipe, view size and batch for images, machine and time; write nothing.

    It takes half a minute, and a minute more the first time on a machine, when Numba compiles the search for boxes.

    Args:
        images: a folder, a text file of paths or WebDataset shards.
        minutes: until the weights are there; by default as many as the method needs, one night at most.
        data: labeled images as `adept finetune` takes them; a few of the training split choose the boxes.
        recipe: a YAML file or a bundled recipe; by default the bundled ones for your own images are compared.
        settings: ``section.field=value`` that are not up for choice.
        out: folder of the run in the commands; by default a new one in ``runs``.
        skip_damaged: leave damaged labeled images out instead of refusing the data.
        progress: called with a line before each look.

    Raises:
        ImagesError: there are no images, or none that can be read.
        RecipeError: the recipe or a setting is invalid, or no recipe fits into the memory.
        DataError: ``data`` is invalid. ProposalsError: fewer than two labeled images have objects.
        OptionValueError: ``minutes`` is out of bounds, or ``out`` is inside of the images.

    Example:
        >>> print(adept_training.plan("images", minutes=60).command)  # doctest: +SKIP
    """
    if minutes is not None and not 0 < minutes <= _MOST_MINUTES:
        raise OptionValueError(
            f"minutes={minutes:g} is not valid: it must be above 0 and at most {_MOST_MINUTES:,}.\n"
            "Give some time, such as minutes=60."
        )
    folder, began, phases = run_folder(str(images), out), time.perf_counter(), 2 if data is None else 3
    now = "the list of images"

    def say(phase: int, text: str) -> None:
        nonlocal now
        now = f"{text} ({phase} of {phases})"
        if progress is not None:
            progress(now)

    with doing(lambda: f"looking at: {now}"):
        source, machine = open_images(images), this_machine()
        words = [] if data is None else [str(data)] if isinstance(data, str | Path) else list(data)
        split = open_data(words, skip_damaged=skip_damaged).train if words else None
        say(1, "decoding a few images")
        sample, keys = take_sample(source), source.keys()
        found = candidates(len(keys), machine, sample.side, None if recipe is None else str(recipe), settings)
        until = began + (_MEASURED if data is None else _MEASURED_WITH_LABELS)
        measuring = Measuring(sample, machine, lambda text: say(2, text), time.perf_counter, until)
        those = _Set(keys, sample, machine, measuring)
        within = NIGHT if minutes is None else minutes
        best = decide(
            found,
            those.measuring.time_steps,
            lambda one, seconds, measured: those.look_ahead(one, seconds, within, measured=measured),
            those.measuring.is_over,
        )
        if minutes is None and (enough := those.minutes_for_enough(best)):
            within = min(NIGHT, max(1.05 * enough, 1.0))
            best = those.look_ahead(best.candidate, best.seconds_per_step, within, measured=best.measured)
        labels = None
        if split is not None:
            say(3, "boxes of a few labeled images")
            labels = look_at_labels(source, words, split, best.candidate.loaded.data.proposals)
        return _write(str(images), folder, those, best, within, labels)


def _write(images: str, folder: Path, those: _Set, best: Forecast, within: float, labels: Labels | None) -> Plan:
    one, count = best.candidate, best.candidate.training_images(those.keys)
    seconds, search = those.spread(one, within), those.measuring.search(one.loaded.data.proposals)
    settings = (*one.settings, *schedule_settings(one, count, best.outlook.steps))
    limit = limit_of(seconds)
    bytes_of_keys = float(np.mean([len(key.encode("utf-8", "surrogateescape")) for key in those.keys]))
    disk = disk_of(
        one.loaded, sizes_of(one.loaded, count), len(those.keys), search.boxes, bytes_of_keys, free_bytes(folder)
    )
    better = advise(
        best.outlook, images=count, minutes_for_enough=those.minutes_for_enough(best),
        instead=_instead(one.loaded),
        data=() if labels is None else labels.words, labeled=None if labels is None else labels.images,
    )  # fmt: skip
    return Plan(
        images=len(those.keys), training_images=count, machine=those.machine, recipe=one.recipe, settings=settings,
        side=one.side, batch=one.batch, precision=those.measuring.precision(one),
        seconds_per_step=best.seconds_per_step, measured=best.measured, seconds=seconds, minutes=limit,
        end=datetime.datetime.now().astimezone() + datetime.timedelta(seconds=seconds.total), outlook=best.outlook,
        need=one.need, boxes=search.boxes, fallbacks=search.fallbacks, disk=disk, labels=labels,
        commands=_commands(images, folder, one.recipe, settings, limit, _boxes_of(labels, one.loaded)),
        better=tuple(better),
    )  # fmt: skip


def _commands(
    images: str, folder: Path, recipe: str, settings: Sequence[str], limit: float, boxes: Sequence[str]
) -> tuple[str, ...]:
    sets = [word for setting in settings for word in ("--set", setting)]
    more = ("--recipe", recipe, *sets, "--minutes", f"{limit:g}")
    if not boxes:
        return (Asked(images).start(folder, *more),)
    table = str(folder.with_name(f"{folder.name}-boxes"))
    return command_line("proposals", images, *boxes, "--out", table), Asked(images, table).start(folder, *more)


def _boxes_of(labels: Labels | None, recipe: Recipe) -> tuple[str, ...]:
    """Return options of better boxes: as many as were compared, for a recipe that takes all that are listed."""
    if labels is None or not labels.options:
        return ()
    return labels.options if recipe.best_boxes or PRESET not in labels.options else (*labels.options, "--boxes", "50")


def _instead(recipe: Recipe) -> Instead:
    """Return the start that needs no pre-training: bundled for the small architecture, else a backbone of ImageNet."""
    small, model = model_info(_GENERAL).spec, recipe.model
    if (model.depth, model.fpn_channels) == (small.depth, small.fpn_channels):
        return Instead(f"the bundled weights {_GENERAL}, which gained on a domain that they had not seen", _GENERAL)
    return Instead("an ImageNet backbone", f"hf-hub:timm/resnet{model.depth}.a1_in1k")
