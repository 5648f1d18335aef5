"""The page of a comparison."""

from __future__ import annotations

from dataclasses import asdict, fields
from pathlib import Path

from adept_training.comparing.architectures import Architecture, differing
from adept_training.comparing.plots import budget_plot, pairs_plot
from adept_training.comparing.result import Result
from adept_training.comparing.runs import ComparisonPlan
from adept_training.comparing.tables import Comparison, all_metrics, headline, tone
from adept_training.labels.records import Data
from adept_training.labels.subsets import parse_budget
from adept_training.metrics.names import title_of
from adept_training.metrics.stats import MIN_SEEDS
from adept_training.pages.page import Page


def plot(comparison: Comparison) -> str:
    """Plot pairs of runs if there is one budget, means over the budgets if there are several."""
    return pairs_plot(comparison) if len(comparison.budgets) == 1 else budget_plot(comparison)


def write_page(result: Result, plan: ComparisonPlan, data: Data, path: Path, command: str) -> None:
    """Write the page: winner, plot and table of the main metric, then all metrics, a table per budget.

    Args:
        path: of the HTML file.
        command: shown at the end, to copy; may be empty.
    """
    page = Page(
        "Gain from pre-training by number of labels",
        f"{data.spec}: labels from {len(data.pool())} images, metrics on {data.report_split.name} "
        f"({len(data.report_split)} images); {plan.seeds} seeds.",
    )
    main = [c for c in result.comparisons if c.metric == result.comparisons[0].metric]
    for text, comparison in zip(result.summaries, main, strict=True):
        page.verdict(text, tone(comparison), headline(comparison))
    for text in (*result.advice, *filter(None, [result.caution])):
        page.text(text)
    if differing(plan.architectures):
        page.heading("Architectures")
        rows = [list(map(str, asdict(one).values())) for one in plan.architectures]
        page.table([f.name for f in fields(Architecture)], rows)
    for comparison in main:
        name = f", {comparison.variant}" if len(main) > 1 else ""
        page.heading(title_of(comparison.metric) + name)
        page.drawing(plot(comparison))
        if len(plan.budgets) > 1:
            page.table(comparison.head(), comparison.rows())
        page.items(comparison.verdicts())
        for budget in plan.budgets:
            page.heading(f"All metrics with {parse_budget(budget).in_words()}{name}")
            page.cards(*all_metrics([c for c in result.comparisons if c.variant == comparison.variant], budget))
    page.heading("How to read this")
    page.text(_reading(plan))
    page.text(_recipe_in_words(plan), "dim")
    minutes = sum(cell.seconds for cell in result.cells) / 60
    page.text(f"{len(result.cells)} runs, {minutes:.0f} minutes of compute.", "dim")
    if command:
        page.code(command)
    page.write(path)


def _reading(plan: ComparisonPlan) -> str:
    base = next(iter(plan.sources))
    return (
        "Each value is the mean over seeds; after ± is half of a 95% interval (Student's t), which needs at least "
        f"{MIN_SEEDS} seeds. Within a seed all sources train on the same labels in the same order with the same "
        f"recipe, so that differences from {base}, in parentheses, are means of pairs: better or worse if their "
        "interval excludes zero. The intervals of two sources may overlap although every pair differs. The last "
        "detector of each run is evaluated; nothing was selected on the images of the metrics."
    )


def _recipe_in_words(plan: ComparisonPlan) -> str:
    """Describe the settings shared by all runs, if labels of every budget train equally long."""
    recipe = next(iter(plan.variants.values()))
    detector, iterations = recipe.detector, recipe.schedule.iterations
    sides = sorted(set(recipe.training_sides))
    return (
        f"Every run: {detector.detector}, {iterations or 'twelve passes and at least 500'} iterations of "
        f"{recipe.engine.batch_size or 'as many'} images{'' if recipe.engine.batch_size else ' as the device allows'}, "
        f"shorter sides of {sides[0]}{f'-{sides[-1]}' if len(sides) > 1 else ''} px in training and "
        f"{detector.test_side} px in testing, augmentation {recipe.engine.augment}, "
        f"anchors of {', '.join(f'{size:g}' for size in detector.anchors)} px on "
        f"P2-P6, learning rate {recipe.optimizer.lr:g} at a batch of {recipe.optimizer.lr_batch or 'any size'}."
    )
