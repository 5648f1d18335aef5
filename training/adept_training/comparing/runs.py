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
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import NamedTuple

from adept_hub.errors import AdeptError, DataError, OutputExistsError, RecipeError
from adept_hub.hub.fetch import fetch
from adept_hub.io.read import MAX_LOG, BoundedReader
from adept_hub.io.schema import from_dict
from adept_hub.io.write import append_line
from adept_hub.spec import PARTS, DetectorSpec, Preprocessing
from adept_training.comparing.architectures import Architecture, digest_of
from adept_training.comparing.queue import Queue
from adept_training.finetuning.detector import SCRATCH, build_detector
from adept_training.finetuning.digests import settings_for_digest
from adept_training.finetuning.loop import make_fabric, prepare, train
from adept_training.finetuning.recipe import FinetuneRecipe
from adept_training.finetuning.samples import LabeledSamples
from adept_training.labels.records import Data, Split
from adept_training.labels.subsets import Budget, draw, parse_budget, save_subset
from adept_training.metrics.evaluate import evaluate
from adept_training.runtime.first_process import owns
from adept_training.runtime.progress import progress_bar

_log = logging.getLogger(__name__)

RUNS = "runs.jsonl"
MAX_SEEDS = 10_000


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
    #: Digest of the plan's architecture, in scratch and where the source lacks parts; empty: it has all, or the run is
    #: of an earlier version.
    architecture: str = ""


class Cell(NamedTuple):
    """A planned run; ``source`` and ``variant`` are names in its plan."""

    source: str
    budget: Budget
    seed: int
    variant: str

    @property
    def key(self) -> tuple[str, str, int, str]:
        """The first four fields of its `RunResult`."""
        return self.source, str(self.budget), self.seed, self.variant


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
    #: Those of all sources, for the page.
    architectures: tuple[Architecture, ...] = ()

    def cells(self) -> Iterator[Cell]:
        """Yield the runs in order. Seeds are the outer loop, so that an interrupted experiment has complete pairs."""
        for seed, word, variant, source in product(range(self.seeds), self.budgets, self.variants, self.sources):
            yield Cell(source, parse_budget(word), seed, variant)

    def digest(self, data: Data) -> str:
        """Return the digest of the recipes and the data, which must match for a finished run to count."""
        recipes = {name: settings_for_digest(recipe) for name, recipe in self.variants.items()}
        ids = [[image.key for image in split.images] for split in (data.pool(), data.report_split)]
        text = json.dumps([recipes, ids, data.classes], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def check_seeds(seeds: int) -> None:
    """Check the number of seeds.

    Raises:
        RecipeError: ``seeds`` is below one or above the maximum.
    """
    if not 1 <= seeds <= MAX_SEEDS:
        raise RecipeError(f"--seeds is {seeds}; it must be 1..{MAX_SEEDS}, use five or more for a useful interval.")


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

    The image ids of each budget are stored in ``out``/subsets.

    Args:
        pool: labels that budgets are drawn from; by default `Data.pool`.
        wait: if another process is writing ``out``, wait for it to end instead of refusing.

    Raises:
        FolderInUseError: another process is writing ``out``.
        OutputExistsError: ``out`` contains runs of other data, another recipe or other weights of the same source.
    """
    done = _finished(out, plan.digest(data))
    weights = {name: _weights(source) for name, source in plan.sources.items()}
    _refuse_other_weights(out, done, weights, digest_of(plan.spec))
    pool = pool or data.pool()
    cells = list(plan.cells())
    missing = sum(cell.key not in done for cell in cells)
    _log.info("%d runs, %d of them finished before", len(cells), len(cells) - missing)
    queue = Queue(len(cells), missing)
    for queue.number, cell in enumerate(cells, start=1):
        subset = draw(pool, cell.budget, cell.seed)
        save_subset(out / "subsets" / f"{_file_name(cell.budget)}-seed{cell.seed}.json", subset, cell.budget, cell.seed)
        if cell.key in done:
            continue
        result = run_cell(cell, plan, data, subset, accelerator=accelerator, queue=queue)
        done[cell.key] = result
        _keep(out, result, plan.digest(data))
        queue.finished += 1
        _log.info(
            "%d/%d  %s, %s, seed %d%s: AP %.2f, AP50 %.2f  (%.0f s)%s", queue.number, len(cells), cell.source,
            cell.budget, cell.seed, f", {cell.variant}" if len(plan.variants) > 1 else "",
            result.metrics["AP"] or 0, result.metrics["AP50"] or 0, result.seconds, queue.left(),
        )  # fmt: skip
    planned = {cell.key for cell in cells}
    return [result for key, result in done.items() if key in planned]


def run_cell(
    cell: Cell,
    plan: ComparisonPlan,
    data: Data,
    subset: Split,
    *,
    accelerator: str = "auto",
    queue: Queue | None = None,
) -> RunResult:
    """Fine-tune one source on one subset, and evaluate the last detector on ``data.report_split``.

    Args:
        queue: the run's position among others, for the bar.
    """
    started = time.perf_counter()
    source, recipe = plan.sources[cell.source], plan.variants[cell.variant]
    recipe = replace(recipe, engine=replace(recipe.engine, seed=cell.seed))
    fabric = make_fabric(recipe, accelerator)
    masks = recipe.detector.detector == "mask_rcnn"
    samples = LabeledSamples.of(subset, masks, recipe.engine.flip, cell.seed, recipe.engine.augment)
    recipe = recipe.resolved(len(samples), fabric.device.type != "cpu")
    model = build_detector(source, len(data.classes), recipe.detector, cell.seed, plan.spec, plan.pixels)
    fit = prepare(model, samples, recipe, fabric)
    what, total = f"{cell.source}, {cell.budget}, seed {cell.seed}", recipe.schedule.iterations
    with progress_bar(total, f"{queue.place()}: {what}" if queue else what, " iterations") as bar:

        def count(step: int, _: object) -> bool:
            if queue is not None:
                bar.set_description_str(f"{queue.place(step / total)}: {what}", refresh=False)
            bar.update(step - bar.n)
            return False

        train(fit, count)
        with fit.precise():
            report = evaluate(fit.model, data.report_split)
    return RunResult(
        *cell.key, len(subset), recipe.schedule.iterations, round(time.perf_counter() - started, 1), report.flat(),
        _weights(source), digest_of(plan.spec) if _lacks_parts(source) else "",
    )  # fmt: skip


def _lacks_parts(source: str) -> bool:
    """Check whether some of a source's parts have the architecture of the plan."""
    return source == SCRATCH or set(fetch(source).config.parts) != set(PARTS)


def _weights(source: str) -> str:
    return "" if source == SCRATCH else fetch(source).config.sha256[:16]


def _refuse_other_weights(
    out: Path, done: dict[tuple[str, str, int, str], RunResult], weights: dict[str, str], scratch: str
) -> None:
    """Check that the finished runs started from the weights that the sources have now, those of scratch from its spec.

    Args:
        out: the folder of the runs.
        done: the finished runs.
        weights: digest of the weights of each source.
        scratch: digest of the architecture of scratch.
    """
    for cell in done.values():
        if cell.architecture not in ("", scratch):
            raise OutputExistsError(
                f"{out / RUNS} contains runs of {cell.source} in another architecture than now: it takes that of the "
                "first source with weights.\nPut that source first again, or choose another --out."
            )
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
