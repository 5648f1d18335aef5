"""Few-shot detection: compare sources on K labeled objects per class, over many draws.

The paper's Table 2 follows TFA's Pascal VOC splits without training on base classes, but tunes the last layer of its
method and all layers of the one it compares with, on one draw. Here every source is tuned in the same layers, and
every metric is a mean over draws with an interval.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from adept_hub.arguments.calls import checked
from adept_hub.arguments.choices import check_choice
from adept_hub.errors import DataError, RecipeError
from adept_hub.words.spelling import did_you_mean
from adept_training.comparing.compare import compare, make_plan
from adept_training.comparing.result import Result
from adept_training.finetuning.recipe import FinetuneRecipe
from adept_training.labels.records import Data

#: The novel classes of TFA's three splits of Pascal VOC.
VOC_NOVEL = {
    "voc-1": ("bird", "bus", "cow", "motorbike", "sofa"),
    "voc-2": ("aeroplane", "bottle", "cow", "horse", "sofa"),
    "voc-3": ("boat", "cat", "motorbike", "sheep", "sofa"),
}
LAYERS = ("last", "all")


def layer_variants(recipe: FinetuneRecipe, layers: Sequence[str]) -> dict[str, FinetuneRecipe]:
    """Return a recipe per choice of layers; with ``last`` everything below is frozen, its norms included.

    Raises:
        RecipeError: a choice is neither ``last`` nor ``all``.
    """
    variants = {}
    for choice in layers:
        check_choice("layers", choice, LAYERS, RecipeError)
        norms = replace(recipe.norms, policy="frozen") if choice == "last" else recipe.norms
        optimizer = replace(recipe.optimizer, layers="last" if choice == "last" else "all")
        variants[f"{choice} layers" if choice == "all" else "last layer"] = replace(
            recipe, optimizer=optimizer, norms=norms
        )
    return variants


def restrict(data: Data, classes: Sequence[str]) -> Data:
    """Return the data set with these classes only.

    Raises:
        DataError: the data set lacks a class.
    """
    if unknown := [name for name in classes if name not in data.classes]:
        near = did_you_mean(unknown[0], data.classes)
        raise DataError(f"The data set has no class {unknown[0]!r}.{near}\nIt has: {', '.join(data.classes[:20])}.")
    # In the order of the data set, whatever that of the words: draws are a function of the label's number.
    kept = [name for name in data.classes if name in classes]
    return data.change_splits(lambda split: split.with_classes(kept))


@checked
def fewshot(
    sources: dict[str, str], data: Data, out: Path, shots: Sequence[int], seeds: int, recipe: FinetuneRecipe,
    layers: Sequence[str] = ("all",), *, metric: str = "AP50", command: str = "", accelerator: str = "auto",
    wait: bool = False,
) -> Result:  # fmt: skip
    """Fine-tune every source on every draw, per choice of layers; metrics are of `Data.report_split`.

    Args:
        data: restricted to the novel classes, if any (`restrict`).
        shots: numbers of objects per class.
        layers: choices of `LAYERS`.
        wait: if another process is writing ``out``, wait for it to end instead of refusing.
    """
    variants = layer_variants(recipe, layers)
    plan = make_plan(sources, [f"{k}shot" for k in shots], seeds, variants)
    return compare(plan, data, out, metric=metric, command=command, accelerator=accelerator, wait=wait)
