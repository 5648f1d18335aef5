"""The trainer's five calls. Each does what the command of the same name does; sections of its recipe are keywords.

>>> adept_training.pretrain("images", "runs/mine", recipe="own_photos_cpu", engine={"seed": 3})  # doctest: +SKIP
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO, TypedDict, Unpack

from adept_hub.arguments.calls import checked
from adept_hub.errors import DataError
from adept_hub.hub.fetch import fetch
from adept_training.comparing.compare import Result, make_plan, name_sources
from adept_training.comparing.compare import compare as compare_plan
from adept_training.comparing.runs import check_seeds
from adept_training.finetuning.detector import build_detector, find_detector, load_detector
from adept_training.finetuning.loop import make_fabric
from adept_training.finetuning.recipe import FinetuneRecipe, load_finetune_recipe
from adept_training.finetuning.run import FinetuneResult
from adept_training.finetuning.run import finetune as finetune_data
from adept_training.images import open_images
from adept_training.labels.datasets import open_data
from adept_training.labels.records import Split
from adept_training.labels.subsets import draw, parse_budget, save_subset
from adept_training.metrics.evaluate import Evaluation
from adept_training.metrics.evaluate import evaluate as evaluate_model
from adept_training.pretraining.asked import Asked
from adept_training.pretraining.preflight import check_run
from adept_training.pretraining.pretrain import pretrain as pretrain_table
from adept_training.pretraining.recipe import load_recipe
from adept_training.pretraining.watch.outcome import PretrainResult
from adept_training.proposals.fallbacks import fallback_warning
from adept_training.proposals.run import run_proposals
from adept_training.proposals.table.store import ProposalTable
from adept_training.runtime.first_process import owns
from adept_training.runtime.recipe_files import sections_as_settings

_log = logging.getLogger(__name__)

propose = run_proposals


class PretrainSections(TypedDict, total=False):
    """Sections of a pre-training recipe; ``method`` is a parameter of `pretrain` itself."""

    data: Mapping[str, Any]
    views: Mapping[str, Any]
    colors: Mapping[str, Any]
    optimizer: Mapping[str, Any]
    schedule: Mapping[str, Any]
    export: Mapping[str, Any]
    engine: Mapping[str, Any]
    model: Mapping[str, Any]


class FinetuneSections(TypedDict, total=False):
    """Sections of a fine-tuning recipe."""

    detector: Mapping[str, Any]
    optimizer: Mapping[str, Any]
    schedule: Mapping[str, Any]
    norms: Mapping[str, Any]
    engine: Mapping[str, Any]


@checked
@owns("out")
def pretrain(
    images: str | Path,
    out: str | Path,
    *,
    recipe: str | Path | None = None,
    method: str | Mapping[str, Any] | None = None,
    proposals: str | Path | None = None,
    init: str | None = None,
    resume: bool = False,
    license: str = "unstated",  # its name everywhere
    relicense: bool = False,
    stream: TextIO | None = None,
    **sections: Unpack[PretrainSections],
) -> PretrainResult:
    """Pre-train a detector on unlabeled images; write its checkpoint folder to ``out``/export.

    Args:
        images: a folder, a text file of paths or WebDataset shards.
        recipe: a YAML file or a bundled recipe; by default, with ``resume``, that of the run.
        method: ``adept_joint``, ``adept_separate``, ``soco`` or ``byol``, or fields of that section of the recipe.
        proposals: the table of `propose`; by default one is written to ``out``/proposals.
        init: weights to start from; required by ``adept_separate``.
        license: of the weights; by default the recipe's, or else that of ``init``.
        stream: stream for progress lines.
        **sections: fields of the recipe by section, such as ``engine={"batch_size": 64}``.

    Returns:
        The run: steps, probes, verdict. ``interrupted`` is true if a signal ended it; its state is saved.

    Raises:
        RecipeError: an unknown field, or a value out of its bounds. Others as in `adept_training.propose` and
        `adept_training.pretraining.pretrain.pretrain`.

    Example:
        >>> adept_training.pretrain("images", "runs/mine", recipe="own_photos_cpu")  # doctest: +SKIP
    """
    folder = Path(out)
    fields = {"name": method} if isinstance(method, str) else method or {}
    settings = sections_as_settings({**sections, "method": fields})
    loaded = load_recipe(_recipe_of(recipe, folder, resume), settings)
    source, start = open_images(images), None if init is None else fetch(init).folder
    terms: dict[str, Any] = {"init": start, "resume": resume, "license": license, "relicense": relicense}
    loaded = check_run(loaded, source.keys(), folder, **terms).licensed(loaded)
    where = folder / "proposals" if proposals is None else Path(proposals)
    if proposals is None:
        run_proposals(source, where, preset=loaded.data.proposals)
    table = ProposalTable.open(where)
    preset = table.metadata["preset"]["name"]
    if warning := fallback_warning(len(table), table.fallbacks, preset, str(images), where):
        _log.warning("%s", warning)
    asked = Asked(str(images), None if proposals is None else str(proposals), init)
    return pretrain_table(
        loaded, source, table, folder, stream=stream, proposals=table.metadata, asked=asked, **terms
    )  # fmt: skip


@checked
@owns("out")
def finetune(
    source: str,
    data: str | Path | Sequence[str],
    out: str | Path,
    *,
    recipe: str | Path | None = None,
    labels: str | None = None,
    like: str | None = None,
    resume: bool = False,
    skip_damaged: bool = False,
    device: str = "auto",
    license: str = "unstated",  # its name everywhere
    relicense: bool = False,
    stream: TextIO | None = None,
    **sections: Unpack[FinetuneSections],
) -> FinetuneResult:
    """Fine-tune a source on labels; write the best detector to ``out``/best and the last to ``out``/last.

    Args:
        source: a name, ``hf-hub:ORG/NAME``, a checkpoint folder, or ``scratch``.
        data: labeled images as `adept finetune` takes them: ``coco:FILE:IMAGES``, ``voc:FOLDER`` or a YAML file; with
            several, the second validates and the third tests.
        recipe: a YAML file or a bundled recipe; by default, with ``resume``, that of the run.
        labels: a budget, such as ``10%``, ``60img`` or ``5shot``, drawn by ``engine={"seed": ...}``; None: all.
        like: source whose architecture, anchors and preprocessing ``scratch`` takes.
        skip_damaged: leave damaged images and records out instead of refusing the data.
        device: ``auto``, ``cpu`` or ``cuda``.
        **sections: fields of the recipe by section, such as ``schedule={"iterations": 2000}``.

    Raises:
        As `adept_training.finetuning.run.finetune`; DataError: ``data`` or ``labels`` are invalid.

    Example:
        >>> adept_training.finetune("adept_joint", "voc:bccd", "runs/bccd", labels="10%")  # doctest: +SKIP
    """
    folder = Path(out)
    loaded = load_finetune_recipe(_recipe_of(recipe, folder, resume), sections_as_settings(sections))
    budget = None if labels is None else parse_budget(labels)
    opened = open_data(_words(data), skip_damaged=skip_damaged)
    subset = None
    if budget is not None:
        subset = draw(opened.train, budget, loaded.engine.seed)
        save_subset(folder / "subset.json", subset, budget, loaded.engine.seed)
    return finetune_data(
        source, opened, loaded, folder, subset=subset, like=like, resume=resume, stream=stream, accelerator=device,
        license=license, relicense=relicense,
    )  # fmt: skip


@checked
def evaluate(
    source: str,
    data: str | Path | Sequence[str],
    *,
    split: str | None = None,
    skip_damaged: bool = False,
    device: str = "auto",
    **sections: Unpack[FinetuneSections],
) -> Evaluation:
    """Compute every metric of a fine-tuned run, or the RPN's recall of a source, which has no classes yet.

    Args:
        source: a run of `finetune`, or a source of weights.
        data: as in `finetune`.
        split: ``train``, ``val`` or ``test``; by default the last that exists.
        **sections: for a source: fields of the fine-tuning recipe, such as ``detector={"test_side": 600}``.

    Raises:
        DataError: the data lacks the split, or its classes are not those of the run.

    Example:
        >>> adept_training.evaluate("runs/bccd", "voc:bccd", split="val").flat()["AP"]  # doctest: +SKIP
    """
    recipe = load_finetune_recipe(None, sections_as_settings(sections))
    selected = open_data(_words(data), skip_damaged=skip_damaged).split(split)
    return evaluate_source(source, selected, recipe, device)


def evaluate_source(source: str, split: Split, recipe: FinetuneRecipe, device: str) -> Evaluation:
    """Compute the metrics of a run, or of a source, on one split; see `evaluate`."""
    fabric, folder = make_fabric(recipe, device), find_detector(source)
    if folder is None:
        model = build_detector(source, len(split.classes), recipe.detector, seed=0)
        return evaluate_model(model.to(fabric.device), split, heads=False)
    model, config = load_detector(folder)
    if config.classes != split.classes and set(config.classes) == set(split.classes):
        split = split.with_classes(config.classes)  # the same classes may come in another order
    if config.classes != split.classes:
        raise DataError(
            f"{folder} has the classes {', '.join(config.classes[:6])}; the data set has others: "
            f"{', '.join(split.classes[:6])}.\nUse the data set that it was fine-tuned on."
        )
    return evaluate_model(model.to(fabric.device), split)


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
    skip_damaged: bool = False,
    device: str = "auto",
    **sections: Unpack[FinetuneSections],
) -> Result:
    """Fine-tune every source on the same few labels, several times, and write tables, a plot and a page to ``out``.

    Args:
        sources: sources to compare, ``scratch`` among them; runs that finished before are kept.
        data: as in `finetune`.
        budgets: numbers of labels: ``10%`` of the images, ``60img`` or ``5shot`` objects per class.
        seeds: draws of labels; below 3 there are no intervals.
        metric: metric of the verdict.
        **sections: fields of the fine-tuning recipe by section.

    Raises:
        SourceError: the sources differ in architecture. DataError: ``data`` or a budget is invalid.

    Example:
        >>> adept_training.compare(["scratch", "adept_joint"], "voc:bccd", "runs/gain")  # doctest: +SKIP
    """
    check_seeds(seeds)
    loaded = load_finetune_recipe(recipe, sections_as_settings(sections))
    words = [str(parse_budget(word)) for word in budgets]
    plan = make_plan(name_sources(list(sources)), words, seeds, {"recipe": loaded})
    opened = open_data(_words(data), skip_damaged=skip_damaged)
    return compare_plan(plan, opened, Path(out), metric=metric, accelerator=device)


def _recipe_of(recipe: str | Path | None, folder: Path, resume: bool) -> str | Path | None:
    """Return the recipe; a resumed run without one continues with its own."""
    own = folder / "recipe.yaml"
    return own if resume and recipe is None and own.is_file() else recipe


def _words(data: str | Path | Sequence[str]) -> str | Path | list[str]:
    return data if isinstance(data, str | Path) else list(data)
