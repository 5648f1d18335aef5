"""Compare sources over label budgets: runs, one table, one plot and one page."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from adept_hub.arguments.calls import checked
from adept_hub.errors import SourceError
from adept_hub.hub.fetch import fetch
from adept_hub.io.paths import resolved
from adept_hub.io.write import atomic_file
from adept_hub.spec import DetectorSpec, Preprocessing
from adept_training.comparing.plots import budget_plot
from adept_training.comparing.runs import ComparisonPlan, RunResult, run_plan
from adept_training.comparing.tables import Comparison, summary, tabulate, tone
from adept_training.finetuning.detector import SCRATCH
from adept_training.finetuning.recipe import FinetuneRecipe
from adept_training.labels.records import Data, Split
from adept_training.metrics.names import check_metric, title_of
from adept_training.metrics.stats import MIN_SEEDS
from adept_training.pages.page import Page
from adept_training.runtime.first_process import owns

#: Shown next to the main metric, if measured.
OTHERS = (
    "AP",
    "AP50",
    "AP75",
    "mask_AP",
    "VOC07_AP50",
    "RPN_AR100",
    "RPN_AR1000",
    "TIDE_Loc",
    "TIDE_Miss",
    "TIDE_Cls",
    "TIDE_Bkg",
)
RUNS, RESULT, HTML, PLOT = "runs.jsonl", "compare.json", "compare.html", "compare.svg"


@dataclass(frozen=True)
class Result:
    """All cells, and a comparison per variant of the recipe and per metric, the main one first."""

    cells: tuple[RunResult, ...]
    comparisons: tuple[Comparison, ...]
    summaries: tuple[str, ...]
    #: What to try if nothing could be compared or too few seeds were run.
    advice: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return everything that the page shows."""
        return {
            "summaries": list(self.summaries), "advice": list(self.advice),
            "comparisons": [c.as_json() for c in self.comparisons],
        }  # fmt: skip


def name_sources(words: Sequence[str]) -> dict[str, str]:
    """Parse ``NAME=SOURCE``, or a source, which is then its own name (a run's export: the name of the run).

    Raises:
        SourceError: two sources have the same name.
    """
    named: dict[str, str] = {}
    for word in words:
        name, sign, source = word.partition("=")
        if not sign:
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
    """Build the plan; ``scratch`` gets the architecture of the others, which must be one, and the pixels of the first.

    If a recipe has no anchors, all sources get the common default, 32-512 px. The anchors of pre-training, which
    `adept finetune` uses, would favor sources that were pre-trained with them: scratch does worse on them
    (docs/downstream.md).

    Raises:
        SourceError: the sources differ in architecture, so differences would not be due to pre-training.
        Others as in `adept_hub.hub.fetch.fetch`.
    """
    configs = {name: fetch(source).config for name, source in sources.items() if source != SCRATCH}
    specs = {name: config.spec for name, config in configs.items()}
    shapes = {name: (s.depth, s.fpn_channels, s.head_conv_channels, s.head_fc_channels) for name, s in specs.items()}
    if len(set(shapes.values())) > 1:
        shown = ", ".join(f"{name}: ResNet-{shape[0]}, FPN {shape[1]}" for name, shape in shapes.items())
        raise SourceError(f"The sources have different architectures ({shown}).\nCompare sources of one architecture.")
    variants = {n: replace(recipe, detector=recipe.detector.with_anchors(None)) for n, recipe in variants.items()}
    first = next(iter(configs.values()), None)  # model for scratch
    spec, pixels = (first.spec, first.preprocessing) if first else (DetectorSpec(), Preprocessing())
    return ComparisonPlan(sources, tuple(budgets), seeds, variants, spec, pixels)


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
    return result


def digest(cells: Sequence[RunResult], plan: ComparisonPlan, metric: str) -> Result:
    """Compute every comparison that the cells allow."""
    measured = {name for cell in cells for name, value in cell.metrics.items() if value is not None}
    metrics = [metric, *(name for name in OTHERS if name != metric and name in measured)]
    sources = list(plan.sources)
    comparisons = [tabulate(cells, sources, plan.budgets, m, variant) for variant in plan.variants for m in metrics]
    summaries = [
        (f"{c.variant}: " if len(plan.variants) > 1 else "") + summary(c) for c in comparisons if c.metric == metric
    ]
    return Result(tuple(cells), tuple(comparisons), tuple(summaries), tuple(_advice(cells, plan, comparisons)))


def write_result(result: Result, plan: ComparisonPlan, data: Data, out: Path, command: str) -> None:
    """Write ``compare.json``, ``compare.svg`` and ``compare.html``."""
    with atomic_file(out / RESULT) as temporary:
        temporary.write_text(json.dumps(result.as_json() | {"command": command}, indent=2) + "\n", encoding="utf-8")
    main = [c for c in result.comparisons if c.metric == result.comparisons[0].metric]
    with atomic_file(out / PLOT) as temporary:
        temporary.write_text(budget_plot(main[0]), encoding="utf-8")
    page = Page(
        "Gain from pre-training by number of labels",
        f"{data.spec}: labels from {len(data.pool())} images, metrics on {data.report_split.name} "
        f"({len(data.report_split)} images); {plan.seeds} seeds.",
    )
    for text, comparison in zip(result.summaries, main, strict=True):
        page.verdict(text, tone(comparison))
    for text in result.advice:
        page.text(text)
    for comparison in result.comparisons:
        page.heading(title_of(comparison.metric) + (f", {comparison.variant}" if len(plan.variants) > 1 else ""))
        if comparison in main:
            page.drawing(budget_plot(comparison))
        page.table(comparison.head(), comparison.rows())
        if comparison in main:
            page.items(comparison.verdicts())
    page.heading("How to read this")
    page.text(
        "Each cell is the mean over seeds with its 95% interval (Student's t), or the values of the seeds if there are "
        f"fewer than {MIN_SEEDS}. Better and worse mark a difference "
        f"from {next(iter(plan.sources))} whose paired 95% interval excludes zero: within a seed all sources train "
        "on the same labels in the same order with the same recipe. The last detector of each run is evaluated; "
        "nothing was selected on the images of the metrics."
    )
    page.text(_recipe_in_words(plan), "dim")
    minutes = sum(cell.seconds for cell in result.cells) / 60
    page.text(f"{len(result.cells)} runs, {minutes:.0f} minutes of compute.", "dim")
    if command:
        page.code(command)
    page.write(out / HTML)


def _advice(cells: Sequence[RunResult], plan: ComparisonPlan, found: Sequence[Comparison]) -> list[str]:
    gains = [gain for c in found if c.metric == found[0].metric for gain in c.gains.values()]
    advice = []
    if gains and all(gain.empty and not gain.cost for gain in gains):
        done = max(cell.iterations for cell in cells)
        advice.append(
            f"Nothing was learned in {done} iterations. Try more with another --out: --iterations {4 * done}. "
            "Objects of a few pixels need a larger --size."
        )
    if plan.seeds < MIN_SEEDS:
        advice.append("Run the same command with --seeds 5: finished runs are kept, so only new seeds are run.")
    return advice


def _recipe_in_words(plan: ComparisonPlan) -> str:
    """Describe the settings shared by all runs, if labels of every budget train equally long."""
    recipe = next(iter(plan.variants.values()))
    detector, iterations = recipe.detector, recipe.schedule.iterations
    sides = sorted(set(detector.train_sides))
    return (
        f"Every run: {detector.detector}, {iterations or 'twelve passes and at least 500'} iterations of "
        f"{recipe.engine.batch_size or 'as many'} images{'' if recipe.engine.batch_size else ' as the device allows'}, "
        f"shorter sides of {sides[0]}{f'-{sides[-1]}' if len(sides) > 1 else ''} px in training and "
        f"{detector.test_side} px in testing, anchors of {', '.join(f'{size:g}' for size in detector.anchors)} px on "
        f"P2-P6, learning rate {recipe.optimizer.lr:g} at a batch of {recipe.optimizer.lr_batch or 'any size'}."
    )


def _short(word: str) -> str:
    path = Path(word.removeprefix("local-dir:"))
    if path.exists() and path.name in ("export", "best", "last") and resolved(path).parent.name:
        return resolved(path).parent.name
    return path.name if path.exists() else word
