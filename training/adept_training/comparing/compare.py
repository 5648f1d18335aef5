"""Compare sources over label budgets: runs, one table, one plot and one page."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

from adept_hub.arguments.calls import checked
from adept_hub.arguments.existing import is_file_source
from adept_hub.checkpoint.folder import read_tensors
from adept_hub.errors import SourceError
from adept_hub.hub.fetch import fetch
from adept_hub.io.paths import exists, resolved
from adept_hub.io.write import atomic_file
from adept_hub.models.determined import completed
from adept_hub.names import LAYOUTS
from adept_hub.spec import CheckpointConfig, DetectorSpec, Preprocessing
from adept_training.comparing.architectures import architectures_of
from adept_training.comparing.page import plot, write_page
from adept_training.comparing.result import Result, digest
from adept_training.comparing.runs import ComparisonPlan, run_plan
from adept_training.finetuning.detector import SCRATCH
from adept_training.finetuning.origin import check_freeze
from adept_training.finetuning.recipe import FinetuneRecipe
from adept_training.labels.records import Data, Split
from adept_training.metrics.names import check_metric
from adept_training.runtime.first_process import owns
from adept_training.selftraining.teaching import check_unused

RUNS, RESULT, HTML, PLOT = "runs.jsonl", "compare.json", "compare.html", "compare.svg"


def name_sources(words: Sequence[str]) -> dict[str, str]:
    """Parse ``NAME=SOURCE``, or a source, which is then its own name (a run's export: the name of the run).

    The name of a file may have a ``=``, as those of PyTorch Lightning: an existing file is a source, and so is one with
    its layout in front.

    Raises:
        SourceError: two sources have the same name.
    """
    named: dict[str, str] = {}
    for word in words:
        name, sign, source = word.partition("=")
        if not sign or is_file_source(word):
            name, source = _short(word), word
        if name in named:
            raise SourceError(
                f"Two sources have the name {name!r}.\nGive them names: first={named[name]} second={source}"
            )
        named[name] = source
    return named


def make_plan(
    sources: dict[str, str], budgets: Sequence[str], seeds: int, variants: dict[str, FinetuneRecipe]
) -> ComparisonPlan:
    """Build the plan; ``scratch`` gets the architecture and the pixels of the first of the others.

    Norms that are frozen in it are trained in ``scratch``, which has no statistics for them. What differs between the
    architectures of the sources is in ``plan.architectures``.

    Only what a source's parts determine is compared: a backbone gets the widths of the others.

    If a recipe has no anchors, all sources get the common default, 32-512 px. The anchors of pre-training, which
    `adept finetune` uses, would favor sources that were pre-trained with them: scratch does worse on them
    (docs/evidence/blood_cells.md).

    Raises:
        RecipeError: a recipe has settings of self-training, or freezes the backbone and a source has none.
        Others as in `adept_hub.hub.fetch.fetch` and `adept_hub.checkpoint.folder.read_tensors`.
    """
    for recipe in variants.values():
        check_unused(recipe)
    fetched = {name: None if source == SCRATCH else fetch(source) for name, source in sources.items()}
    configs = {name: one.config if one else None for name, one in fetched.items()}
    for recipe, (name, source) in product(variants.values(), sources.items()):
        check_freeze(recipe, configs[name], source)
    for one in filter(None, fetched.values()):
        read_tensors(one.folder, one.config)  # a damaged file is reported before the first run
    variants = {n: replace(recipe, detector=recipe.detector.with_anchors(None)) for n, recipe in variants.items()}
    found = [config for config in configs.values() if config]
    spec, pixels = _common(found).thawed(), found[0].preprocessing if found else Preprocessing()
    return ComparisonPlan(sources, tuple(budgets), seeds, variants, spec, pixels, architectures_of(configs, spec))


def _common(configs: Sequence[CheckpointConfig]) -> DetectorSpec:
    """Return the architecture of the first source, and of parts that it lacks that of the next one that has them."""
    common, held = DetectorSpec(), set[str]()
    for config in configs:
        common = completed(common, held, config.spec) if held else config.spec
        held |= set(config.parts)
    return common


@checked
@owns("out")
def compare(
    plan: ComparisonPlan, data: Data, out: Path, *, metric: str = "AP", command: str = "", pool: Split | None = None,
    accelerator: str = "auto", wait: bool = False,
) -> Result:  # fmt: skip
    """Run the plan (finished runs are kept) and write its table, plot and page to ``out``.

    Args:
        wait: if another process is writing ``out``, wait for it to end instead of refusing.

    Raises:
        RecipeError: unknown metric. FolderInUseError: another process is writing ``out``.
    """
    for recipe in plan.variants.values():
        check_metric(metric, recipe.detector.detector)
    cells = run_plan(plan, data, out, pool=pool, accelerator=accelerator)
    result = digest(cells, plan, metric)
    write_result(result, plan, data, out, command)
    return replace(result, page=out / HTML, plot=out / PLOT)


def write_result(result: Result, plan: ComparisonPlan, data: Data, out: Path, command: str) -> None:
    """Write ``compare.json``, ``compare.svg`` and ``compare.html``."""
    with atomic_file(out / RESULT) as temporary:
        temporary.write_text(json.dumps(result.as_json() | {"command": command}, indent=2) + "\n", encoding="utf-8")
    with atomic_file(out / PLOT) as temporary:
        temporary.write_text(plot(result.comparisons[0]), encoding="utf-8")
    write_page(result, plan, data, out / HTML, command)


def _short(word: str) -> str:
    path = Path(word.removeprefix("local-dir:"))
    layout, sign, file = word.partition(":")
    if sign and layout in LAYOUTS and not exists(path):
        return f"{layout}:{Path(file).name}"
    if path.exists() and path.name in ("export", "best", "last") and resolved(path).parent.name:
        return resolved(path).parent.name
    return path.name if path.exists() else word
