"""Run many small fine-tunings, one per source, label budget and seed, and save each as it ends.

Within a budget and a seed all sources see the same labels in the same order with the same recipe: only the initial
weights differ. The last detector is evaluated, not the best of several: nothing is selected on the test split.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shlex
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from adept_hub.errors import AdeptError, DataError, OutputExistsError
from adept_hub.hub.fetch import fetch
from adept_hub.io.read import MAX_LOG, BoundedReader
from adept_hub.io.schema import from_dict, to_dict
from adept_hub.io.write import append_line
from adept_hub.spec import DetectorSpec, Preprocessing
from adept_training.finetuning.detector import SCRATCH, build_detector
from adept_training.finetuning.loop import make_fabric, prepare, train
from adept_training.finetuning.recipe import FinetuneRecipe
from adept_training.finetuning.samples import LabeledSamples
from adept_training.labels.records import Data, Split
from adept_training.labels.subsets import Budget, draw, parse_budget, save_subset
from adept_training.metrics.evaluate import evaluate
from adept_training.runtime.first_process import owns

_log = logging.getLogger(__name__)

RUNS = "runs.jsonl"


@dataclass(frozen=True)
class RunResult:
    """One finished run: its identity, its metrics (percent, None: no objects) and its duration."""

    source: str
    budget: str
    seed: int
    variant: str
    images: int
    iterations: int
    seconds: float
    metrics: dict[str, float | None]
    #: First 16 digits of the SHA-256 of the initial weights; empty: scratch.
    weights: str = ""


@dataclass(frozen=True)
class ComparisonPlan:
    """All runs of an experiment. ``variants`` are recipes by name; ``sources`` maps a shown name to a source."""

    sources: dict[str, str]
    budgets: tuple[str, ...]
    seeds: int
    variants: dict[str, FinetuneRecipe]
    spec: DetectorSpec
    #: Mean and std of the input of ``scratch``.
    pixels: Preprocessing = field(default_factory=Preprocessing)

    def digest(self, data: Data) -> str:
        """Return the digest of the recipes and the data, which must match for a finished run to count."""
        recipes = {name: to_dict(recipe) for name, recipe in self.variants.items()}
        ids = [[image.key for image in split.images] for split in (data.pool(), data.report_split)]
        text = json.dumps([recipes, ids, data.classes], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@owns("out")
def run_plan(
    plan: ComparisonPlan,
    data: Data,
    out: Path,
    *,
    pool: Split | None = None,
    accelerator: str = "auto",
    wait: bool = False,
) -> list[RunResult]:
    """Run what is missing in ``out``/runs.jsonl; return every cell of the plan that finished.

    Seeds are the outer loop, so that an interrupted experiment has complete pairs; the image ids of each budget are
    stored in ``out``/subsets.

    Args:
        pool: labels that budgets are drawn from; by default `Data.pool`.
        wait: if another process is writing ``out``, wait for it to end instead of refusing.

    Raises:
        FolderInUseError: another process is writing ``out``.
        OutputExistsError: ``out`` contains runs of other data, another recipe or other weights of the same source.
    """
    done = _finished(out, plan.digest(data))
    weights = {name: _weights(source) for name, source in plan.sources.items()}
    _refuse_other_weights(out, done, weights)
    pool = pool or data.pool()
    total = len(plan.sources) * len(plan.budgets) * plan.seeds * len(plan.variants)
    count = 0
    for seed in range(plan.seeds):
        for word in plan.budgets:
            budget = parse_budget(word)
            subset = draw(pool, budget, seed)
            save_subset(out / "subsets" / f"{_file_name(budget)}-seed{seed}.json", subset, budget, seed)
            for variant, recipe in plan.variants.items():
                for name, source in plan.sources.items():
                    count += 1
                    key = (name, str(budget), seed, variant)
                    if key in done:
                        continue
                    cell = _one(name, source, budget, seed, variant, recipe, subset, data, plan, accelerator)
                    cell = replace(cell, weights=weights[name])
                    done[key] = cell
                    _keep(out, cell, plan.digest(data))
                    _log.info(
                        "%d/%d  %s, %s, seed %d%s: AP %.2f, AP50 %.2f  (%.0f s)", count, total, name, budget, seed,
                        f", {variant}" if len(plan.variants) > 1 else "", cell.metrics["AP"] or 0,
                        cell.metrics["AP50"] or 0, cell.seconds,
                    )  # fmt: skip
    planned = {
        (name, str(parse_budget(word)), seed, variant)
        for name in plan.sources for word in plan.budgets for seed in range(plan.seeds) for variant in plan.variants
    }  # fmt: skip
    return [cell for key, cell in done.items() if key in planned]


def _one(
    name: str, source: str, budget: Budget, seed: int, variant: str, recipe: FinetuneRecipe, subset: Split, data: Data,
    plan: ComparisonPlan, accelerator: str,
) -> RunResult:  # fmt: skip
    started = time.perf_counter()
    recipe = replace(recipe, engine=replace(recipe.engine, seed=seed))
    fabric = make_fabric(recipe, accelerator)
    masks = recipe.detector.detector == "mask_rcnn"
    samples = LabeledSamples.of(subset, masks, recipe.engine.flip, seed)
    recipe = recipe.resolved(len(samples), fabric.device.type != "cpu")
    model = build_detector(source, len(data.classes), recipe.detector, seed, plan.spec, plan.pixels)
    fit = prepare(model, samples, recipe, fabric)
    train(fit, lambda *_: False)
    with fit.precise():
        report = evaluate(fit.model, data.report_split)
    seconds = round(time.perf_counter() - started, 1)
    return RunResult(name, str(budget), seed, variant, len(subset), recipe.schedule.iterations, seconds, report.flat())


def _weights(source: str) -> str:
    return "" if source == SCRATCH else fetch(source).config.sha256[:16]


def _refuse_other_weights(out: Path, done: dict[tuple[str, str, int, str], RunResult], weights: dict[str, str]) -> None:
    """Check that the finished runs started from the weights that the sources have now."""
    for cell in done.values():
        if cell.weights != weights.get(cell.source, cell.weights):
            raise OutputExistsError(
                f"{out / RUNS} contains runs of {cell.source} with other weights than it has now.\n"
                f"Choose another --out, or remove it: rm -r {shlex.quote(str(out))}"
            )


def _keep(out: Path, cell: RunResult, digest: str) -> None:
    append_line(out / RUNS, json.dumps({"plan": digest, **asdict(cell)}, allow_nan=False))


def _finished(out: Path, digest: str) -> dict[tuple[str, str, int, str], RunResult]:
    path = out / RUNS
    if not path.exists():
        return {}
    done: dict[tuple[str, str, int, str], RunResult] = {}
    lines, torn = BoundedReader(
        DataError, MAX_LOG, remedy=f"Choose another --out, or remove it: rm -r {out}"
    ).json_lines(path)
    for content in lines:
        plan = content.pop("plan", None)
        try:
            cell = from_dict(RunResult, content, str(path))
        except AdeptError:
            torn += 1
            continue
        if plan != digest:
            raise OutputExistsError(
                f"{path} contains runs of another recipe or other data.\nChoose a new --out, or remove it: rm -r {out}"
            )
        done[(cell.source, cell.budget, cell.seed, cell.variant)] = cell
    if torn:  # such as by a killed process
        _log.warning("%d incomplete lines of %s are ignored; their runs are repeated.", torn, path)
    return done


def by_seed(cells: Sequence[RunResult], source: str, budget: str, variant: str, metric: str) -> dict[int, float]:
    """Return one metric of one source, budget and variant by seed, without undefined values."""
    values: dict[int, float] = {}
    for cell in cells:
        value = cell.metrics.get(metric)
        if (cell.source, cell.budget, cell.variant) == (source, budget, variant) and value is not None:
            values[cell.seed] = value
    return values


def _file_name(budget: Budget) -> str:
    return str(budget).replace("%", "pct")
