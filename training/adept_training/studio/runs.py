"""A comparison for the page: every run, means with intervals, and differences paired by seed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from adept_hub.errors import AdeptError, DataError
from adept_hub.io.read import MAX_LOG, BoundedReader
from adept_hub.io.schema import from_dict
from adept_training.comparing.result import OTHERS
from adept_training.comparing.runs import RUNS, RunResult, by_seed
from adept_training.comparing.tables import Comparison, summary, tabulate
from adept_training.labels.subsets import parse_budget
from adept_training.metrics.names import is_cost, title_of
from adept_training.metrics.stats import Interval
from adept_training.studio.image_sets import shown


def read_runs(folder: Path) -> list[RunResult]:
    """Return the finished runs of a comparison, also of one that is still going on.

    Raises:
        DataError: the file has no run.
    """
    path = folder / RUNS
    lines, _ = BoundedReader(DataError, MAX_LOG).json_lines(path)
    runs: dict[tuple[str, str, int, str], RunResult] = {}
    for content in lines:
        content.pop("plan", None)
        try:
            one = from_dict(RunResult, content, str(path))
        except AdeptError:
            continue  # a line that a killed process left
        runs[one.source, one.budget, one.seed, one.variant] = one
    if not runs:
        raise DataError(f"{path} has no finished run yet.\nLook again when adept compare has ended the first one.")
    return list(runs.values())


def runs_document(folder: Path) -> dict[str, Any]:
    """Return the runs and, for every metric, table, chart and verdicts; the first source is the baseline."""
    runs = read_runs(folder)
    sources = list(dict.fromkeys(one.source for one in runs))
    budgets = list(dict.fromkeys(one.budget for one in runs))
    variants = list(dict.fromkeys(one.variant for one in runs))
    metrics = [name for name in OTHERS if any(one.metrics.get(name) is not None for one in runs)]
    tables = [
        _table(runs, tabulate(runs, sources, budgets, metric, variant)) for variant in variants for metric in metrics
    ]
    return {
        "sources": [shown(source) for source in sources], "tables": tables, "several": len(variants) > 1,
        "runs": [
            {
                "source": shown(one.source), "budget": parse_budget(one.budget).in_words(), "seed": one.seed,
                "variant": one.variant, "images": one.images, "iterations": one.iterations, "seconds": one.seconds,
                "metrics": {name: one.metrics.get(name) for name in metrics},
            }
            for one in runs
        ],
    }  # fmt: skip


def _table(runs: list[RunResult], one: Comparison) -> dict[str, Any]:
    cells = []
    for budget in one.budgets:
        base = by_seed(runs, one.sources[0], budget, one.variant, one.metric)
        for source in one.sources:
            values = by_seed(runs, source, budget, one.variant, one.metric)
            mean, gain = one.means.get((source, budget)), one.gains.get((source, budget))
            cells.append(
                {
                    "source": shown(source), "budget": parse_budget(budget).in_words(),
                    "values": {str(seed): round(value, 3) for seed, value in sorted(values.items())},
                    "mean": _interval(mean), "gain": None if gain is None else _interval(gain.interval),
                    "pairs": {
                        str(seed): round(values[seed] - base[seed], 3) for seed in sorted(values.keys() & base.keys())
                    } if gain is not None else {},
                    "word": "" if gain is None else gain.word,
                }
            )  # fmt: skip
    return {
        "metric": one.metric, "title": title_of(one.metric), "variant": one.variant, "cost": is_cost(one.metric),
        "head": one.head(), "rows": [[shown(row[0]), *row[1:]] for row in one.rows()], "cells": cells,
        "summary": summary(one), "verdicts": one.verdicts(),
    }  # fmt: skip


def _interval(value: Interval | None) -> dict[str, float | None] | None:
    if value is None:
        return None
    return {"mean": round(value.mean, 3), "half": None if value.half != value.half else round(value.half, 3)}
