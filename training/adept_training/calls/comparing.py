"""Compare sources over numbers of labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Unpack

from adept_hub.arguments.calls import checked
from adept_training.calls.sections import FinetuneSections, data_words
from adept_training.comparing.compare import compare as compare_plan
from adept_training.comparing.compare import make_plan, name_sources
from adept_training.comparing.result import Result
from adept_training.comparing.runs import check_seeds
from adept_training.finetuning.recipe import load_finetune_recipe
from adept_training.labels.datasets import open_data
from adept_training.labels.subsets import parse_budget
from adept_training.metrics.names import check_metric
from adept_training.runtime.recipe_files import sections_as_settings


@checked
def compare(
    sources: Sequence[str],
    data: str | Path | Sequence[str],
    out: str | Path,
    *,
    budgets: Sequence[str] = ("1%", "10%", "100%"),
    seeds: int = 5,
    metric: str = "AP",
    recipe: str | Path | None = None,
    wait: bool = False,
    skip_damaged: bool = False,
    device: str = "auto",
    settings: Sequence[str] = (),
    command: str = "",
    **sections: Unpack[FinetuneSections],
) -> Result:
    """Fine-tune every source on the same few labels, several times, and write tables, a plot and a page to ``out``.

    Args:
        sources: sources to compare, or ``NAME=SOURCE``, ``scratch`` among them; the first is the baseline. Runs that
            finished before are kept.
        data: as in `finetune`.
        budgets: numbers of labels: ``10%`` of the images, ``60img`` or ``5shot`` objects per class.
        seeds: draws of labels; below 3 there are no intervals.
        metric: metric of the verdict.
        recipe: a YAML file or a bundled recipe.
        wait: if another process is writing ``out``, wait for it to end instead of refusing.
        skip_damaged: leave damaged images and records out instead of refusing the data.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        settings: single values of the recipe as on the command line, such as ``engine.seed=3``; after ``sections``.
        command: command line that the page quotes.
        **sections: fields of the fine-tuning recipe by section.

    Raises:
        SourceError: two sources have the same name. DataError: ``data`` or a budget is invalid.
        RecipeError: the recipe is invalid, or has no such metric.

    Example:
        >>> adept_training.compare(["scratch", "adept_joint"], "voc:bccd", "runs/gain")  # doctest: +SKIP
    """
    check_seeds(seeds)
    loaded = load_finetune_recipe(recipe, [*sections_as_settings(sections), *settings])
    words = [str(parse_budget(word)) for word in budgets]
    check_metric(metric, loaded.detector.detector)
    plan = make_plan(name_sources(list(sources)), words, seeds, {"recipe": loaded})
    opened = open_data(data_words(data), skip_damaged=skip_damaged)  # last, because its check reads every image
    return compare_plan(plan, opened, Path(out), metric=metric, command=command, accelerator=device, wait=wait)
