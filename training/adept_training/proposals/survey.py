"""Look at a few images before a run of ``objects``: which sizes recur over the set?

Cells or parts have one size all over a folder. It shows in the boxes that most candidates agree on, compared with those
of COCO; no labels are needed. The result is part of the preset, and so of the table's record.
"""

from __future__ import annotations

import contextlib
import functools
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from adept_hub.errors import ImageDecodeError
from adept_hub.words.text import is_utf8
from adept_training.images import ImageSource, decode
from adept_training.proposals.engines import Engine, run_tasks
from adept_training.proposals.search.presets import ObjectSearch, Preset, preset_from_dict
from adept_training.proposals.table.shards import PLAN_FILE, keys_digest, read_plan
from adept_training.runtime.progress import progress_bar

SURVEYED, LEAST = 64, 24  # images looked at, and the number of readable ones below which sizes prove nothing
_TASK = 8  # images


def with_size_prior(preset: Preset, source: ImageSource, folder: Path | None, engine: Engine, workers: int) -> Preset:
    """Return the preset with the sizes that recur over ``source``; other presets are returned as they are.

    Args:
        preset: a prior that it already has is kept.
        source: the images, of which a fixed sample is looked at.
        folder: of the table, if any; a run that is resumed keeps the prior in its plan.
    """
    settings = preset.objects
    if preset.algorithm != "objects" or settings is None or settings.size_prior or not settings.survey:
        return preset
    keys = source.keys()
    if folder is not None and (folder / PLAN_FILE).is_file():
        plan = read_plan(folder)
        if plan.keys_sha256 == keys_digest(keys) and isinstance(plan.preset.get("objects"), dict):
            begun = preset_from_dict(plan.preset)
            if replace(begun, objects=settings) == preset:
                return replace(preset, objects=replace(settings, size_prior=(begun.objects or settings).size_prior))
    prior = _recurring_sizes(preset, settings, source, keys, engine, workers)
    return replace(preset, objects=replace(settings, size_prior=prior))


def _recurring_sizes(
    preset: Preset, settings: ObjectSearch, source: ImageSource, keys: list[str], engine: Engine, workers: int
) -> tuple[float, ...]:
    from adept_training.proposals.objects.ranking import size_prior

    named = [key for key in keys if is_utf8(key)]
    chosen = [named[i] for i in sorted(np.random.default_rng(0).permutation(len(named))[:SURVEYED].tolist())]
    if len(chosen) < LEAST:
        return ()
    tasks = (source.subset(chosen[first : first + _TASK]) for first in range(0, len(chosen), _TASK))
    work = functools.partial(survey, preset=replace(preset, objects=replace(settings, size_prior=())))
    counts: list[npt.NDArray[np.int64]] = []
    bar = progress_bar(len(chosen), "sizes that recur", " images")
    with bar, contextlib.closing(run_tasks(work, tasks, engine, workers)) as results:
        for result in results:
            counts += result
            bar.update(len(result))
    return size_prior(np.sum(counts, axis=0)) if len(counts) >= LEAST else ()


def survey(images: ImageSource, preset: Preset) -> list[npt.NDArray[np.int64]]:
    """Count the sizes of each readable image's boxes."""
    from adept_training.proposals.objects.search import sizes_in

    found = []
    for key in images.keys():  # noqa: SIM118 - a method, not a dict
        try:
            found.append(sizes_in(decode(images.read(key), key), preset))
        except (ImageDecodeError, MemoryError):  # reported with the key when its boxes are searched
            continue
    return found
