"""Fine-tune a source on labels, and evaluate what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TextIO, Unpack

from adept_hub.arguments.calls import checked
from adept_hub.detectors.folder import find_detector, read_detector
from adept_hub.errors import DataError
from adept_training.calls.sections import FinetuneSections, data_words, recipe_of
from adept_training.finetuning.detector import Trained, build_detector
from adept_training.finetuning.loop import make_fabric
from adept_training.finetuning.origin import open_finetune_start
from adept_training.finetuning.recipe import FinetuneRecipe, load_finetune_recipe
from adept_training.finetuning.run import finetune as finetune_data
from adept_training.finetuning.session import FinetuneResult
from adept_training.labels.datasets import open_data
from adept_training.labels.records import Data, Split
from adept_training.labels.subsets import draw, load_subset, parse_budget, save_subset
from adept_training.metrics.evaluate import Evaluation
from adept_training.metrics.evaluate import evaluate as evaluate_model
from adept_training.pretraining.preflight import check_folder
from adept_training.runtime.first_process import owns
from adept_training.runtime.recipe_files import sections_as_settings
from adept_training.selftraining.teaching import check_unused
from adept_training.selftraining.unlabeled import open_unlabeled


@checked
@owns("out")
def finetune(
    source: str,
    data: str | Path | Sequence[str],
    out: str | Path,
    *,
    recipe: str | Path | None = None,
    labels: str | Path | None = None,
    unlabeled: str | Path | None = None,
    like: str | None = None,
    resume: bool = False,
    wait: bool = False,
    skip_damaged: bool = False,
    device: str = "auto",
    license: str = "unstated",  # its name everywhere
    relicense: bool = False,
    settings: Sequence[str] = (),
    stream: TextIO | None = None,
    **sections: Unpack[FinetuneSections],
) -> FinetuneResult:
    """Fine-tune a source on labels; write the best detector to ``out``/best and the last to ``out``/last.

    Args:
        source: a name, ``hf-hub:ORG/NAME``, ``LAYOUT:FILE``, a checkpoint folder, or ``scratch``.
        data: labeled images as `adept finetune` takes them: ``coco:FILE:IMAGES``, ``voc:FOLDER``, ``yolo:FILE`` or
            YAML; with several, the second validates and the third tests.
        recipe: a YAML file or a bundled recipe; by default, with ``resume``, that of the run.
        labels: a budget, such as ``10%``, ``60img`` or ``5shot``, drawn by ``engine={"seed": ...}``, or the JSON file
            of a subset; None: all.
        unlabeled: images for self-training (see `SelfTraining`): a folder, a text file of paths, or shards. Images of
            the validation and test splits among them raise.
        like: source whose architecture and anchors the parts take that ``source`` lacks; ``scratch`` takes its
            preprocessing too.
        wait: if another process is writing ``out``, wait for it to end instead of refusing.
        skip_damaged: leave damaged images and records out instead of refusing the data.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        license: of the weights; by default that of ``source``.
        relicense: claim the right to grant a more permissive license than that of ``source``.
        settings: single values of the recipe as on the command line, such as ``engine.seed=3``; after ``sections``.
        stream: stream for progress lines; None: a progress bar on a terminal or in a notebook.
        **sections: fields of the recipe by section, such as ``schedule={"iterations": 2000}``.

    Raises:
        As `adept_training.finetuning.run.finetune`; DataError: ``data`` or ``labels`` are invalid.

    Example:
        >>> adept_training.finetune("adept_joint", "voc:bccd", "runs/bccd", labels="10%")  # doctest: +SKIP
    """
    folder = Path(out)
    loaded = load_finetune_recipe(recipe_of(recipe, folder, resume), [*sections_as_settings(sections), *settings])
    # Checked before the data, because their check reads every image.
    check_folder(folder, resume)
    open_finetune_start(source, like, loaded, Trained(license=license, relicense=relicense))
    if unlabeled is None and not resume:
        check_unused(loaded)
    if labels is not None and not _is_file(labels):
        parse_budget(str(labels))
    opened = open_data(data_words(data), skip_damaged=skip_damaged)
    subset = None if labels is None else _select(labels, opened, loaded, folder)
    others = None if unlabeled is None else open_unlabeled(unlabeled, opened, skip_damaged=skip_damaged)
    return finetune_data(
        source, opened, loaded, folder, subset=subset, unlabeled=others, like=like, resume=resume,
        stream=stream, accelerator=device, license=license, relicense=relicense,
    )  # fmt: skip


def _is_file(labels: str | Path) -> bool:
    """Check whether ``labels`` is a file name, existing or not, rather than a budget."""
    return Path(labels).is_file() or Path(labels).suffix == ".json"


def _select(labels: str | Path, data: Data, recipe: FinetuneRecipe, folder: Path) -> Split:
    """Select the labels, and record a draw in the run folder."""
    if _is_file(labels):
        return load_subset(Path(labels), data.train)
    budget = parse_budget(str(labels))
    subset = draw(data.train, budget, recipe.engine.seed)
    save_subset(folder / "subset.json", subset, budget, recipe.engine.seed)
    return subset


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
        skip_damaged: leave damaged images and records out instead of refusing the data.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        **sections: for a source: fields of the fine-tuning recipe, such as ``detector={"test_side": 600}``.

    Raises:
        DataError: the data lacks the split, or its classes are not those of the run.

    Example:
        >>> adept_training.evaluate("runs/bccd", "voc:bccd", split="val").flat()["AP"]  # doctest: +SKIP
    """
    recipe = load_finetune_recipe(None, sections_as_settings(sections))
    selected = open_data(data_words(data), skip_damaged=skip_damaged).split(split)
    return evaluate_source(source, selected, recipe, device)


def evaluate_source(source: str, split: Split, recipe: FinetuneRecipe, device: str) -> Evaluation:
    """Compute the metrics of a run, or of a source, on one split; see `evaluate`."""
    fabric, folder = make_fabric(recipe, device), find_detector(source)
    if folder is None:
        model = build_detector(source, len(split.classes), recipe.detector, seed=0)
        return evaluate_model(model.to(fabric.device), split, heads=False)
    model, config = read_detector(folder)
    if config.classes != split.classes and set(config.classes) == set(split.classes):
        split = split.with_classes(config.classes)  # the same classes may come in another order
    if config.classes != split.classes:
        raise DataError(
            f"{folder} has the classes {', '.join(config.classes[:6])}; the data set has others: "
            f"{', '.join(split.classes[:6])}.\nUse the data set that it was fine-tuned on."
        )
    return evaluate_model(model.to(fabric.device), split)
