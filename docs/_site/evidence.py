"""Write the tables of docs/evidence.md and docs/evidence/ whose raw results are in results/.

    python docs/_site/evidence.py    # make evidence

A page has a pair of markers for each table; what is between them is written again. Gains are paired by seed, with the
half width of their 95 % interval, and bold where the interval excludes zero.
"""

from __future__ import annotations

import json
import re
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from adept_training.metrics.stats import Interval, compare_pairs

ROOT = Path(__file__).resolve().parents[2]
_MARKED = re.compile(r"(<!-- table (\w+): results/([\w.]+) -->\n).*?(\n<!-- end of table -->)", re.S)

#: Metrics of each seed of each source.
Draws = Mapping[str, Mapping[int, Mapping[str, float]]]

LADDER = (
    "scratch", "grid", "objects", "objects-classes", "byol", "infonce", "infonce-faster", "true-boxes", "true-classes",
)  # fmt: skip
LADDER_COLUMNS = {
    "steel AP": ("steel", "AP"),
    "AP50": ("steel", "AP50"),
    "RPN AR100": ("steel", "RPN_AR100"),
    "BCCD AP": ("bccd", "AP"),
    "BCCD RPN AR100": ("bccd", "RPN_AR100"),
}
BACKBONE = ("backbone", "ema", "ema_frozen", "teacher", "teacher_frozen")
BACKBONE_RUNS = {
    f"{name}, {iterations:,} iterations": (data, iterations)
    for data, name in (("steel", "steel"), ("bccd", "BCCD"))
    for iterations in (200, 1000)
}
BUNDLED = ("scratch", "detection", "backbone of detection", "adept_joint", "adept_separate", "soco")
SPEED = {
    "bare_r50": "bare ResNet-50, classification on as many pixels as three views have",
    "joint_r50": "`adept_joint`, ResNet-50, 224 px, eager",
    "soco_r50_all_levels": "`soco` in `all_levels`, separate box sets, eager",
    "joint_r18_112": "`adept_joint`, ResNet-18, 112 px, eager",
    "fed_r18_112_cached": "the same from JPEG files with `data.cache`",
}


def draws_of(rows: Iterable[Mapping[str, Any]]) -> Draws:
    """Sort runs of `adept compare` or of the ladder by source and seed."""
    draws: dict[str, dict[int, Mapping[str, float]]] = defaultdict(dict)
    for row in rows:
        draws[row["source"]][row["seed"]] = row["metrics"]
    return draws


def gain_of(draws: Draws, source: str, metric: str, base: str = "scratch") -> Interval:
    """Return the paired difference of a source to another one."""
    ours, theirs = ({seed: values[metric] for seed, values in draws[name].items()} for name in (source, base))
    return compare_pairs(source, ours, base, theirs).interval


def mean_of(draws: Draws, source: str, metric: str) -> float:
    """Return the mean of a metric over the seeds of a source."""
    return statistics.mean(metrics[metric] for metrics in draws[source].values())


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("|" + "|".join(f" {cell} " if cell != "---" else cell for cell in line) + "|" for line in lines)


def starts(
    draws: Mapping[str, Draws], sources: Sequence[str], columns: Mapping[str, tuple[str, str]], base: str
) -> str:
    """Return a table with a line per source; ``columns`` are a key of ``draws`` and a metric, gains are to ``base``."""

    def cell(where: str, source: str, metric: str) -> str:
        if source not in draws[where]:
            return "-"
        text, gain = f"{mean_of(draws[where], source, metric):.1f}", gain_of(draws[where], source, metric, base)
        return text if source == base else f"{text} ({gain.mean:+.1f} ± {gain.half:.1f})"

    lines = [[source, *(cell(where, source, metric) for where, metric in columns.values())] for source in sources]
    return table(["start", *columns], lines)


def ladder(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the table of starts on two domains, at 500 iterations and a rate of .08."""
    runs = [(row["name"].split("/")[0], row["result"]) for row in rows if "metrics" in row["result"]]
    same = [(domain, run) for domain, run in runs if (run["length"], run["lr"]) == (500, 0.08)]
    draws = {domain: draws_of(run for name, run in same if name == domain) for domain, _ in LADDER_COLUMNS.values()}
    return starts(draws, LADDER, LADDER_COLUMNS, "scratch")


def existing_backbone(rows: Sequence[Mapping[str, Any]], *, metric: str) -> str:
    """Return the table of what pre-training behind an existing backbone gains in one metric, by data and length."""
    draws = {
        name: draws_of(row for row in rows if (row["data"], row["iterations"]) == of)
        for name, of in BACKBONE_RUNS.items()
    }
    return starts(draws, BACKBONE, {name: (name, metric) for name in BACKBONE_RUNS}, BACKBONE[0])


def compared(rows: Sequence[Mapping[str, Any]], *, names: Mapping[str, str], metrics: Mapping[str, str]) -> str:
    """Return the table of one budget of `adept compare`: two sources, and their paired difference."""
    draws = draws_of(rows)
    lines = [[names[name], *(f"{mean_of(draws, name, key):.1f}" for key in metrics.values())] for name in names]
    gains = [gain_of(draws, list(names)[-1], key) for key in metrics.values()]
    shown = [f"{gain.mean:+.1f} ± {gain.half:.1f}" for gain in gains]
    bold = [f"**{text}**" if abs(gain.mean) > gain.half else text for text, gain in zip(shown, gains, strict=True)]
    return table(["start", *metrics], [*lines, ["gain", *bold]])


def bundled(rows: Sequence[Mapping[str, Any]], *, data: str) -> str:
    """Return the table of the bundled weights on one data set, next to scratch."""
    draws = {data: draws_of(row for row in rows if row["data"] == data)}
    columns = {name: (data, key) for name, key in _STEEL.items() if name not in ("AP75", "AR100")}
    return starts(draws, BUNDLED, columns, "scratch")


def speed(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the table of images per second on a GPU."""
    found = {row["variant"]: row for row in rows}
    lines = []
    for variant, text in SPEED.items():
        row = found[variant]
        rate = f"{row['images_per_s']:,.0f}"
        if "least" in row:
            rate += f" ({row['least']:,.0f}-{row['most']:,.0f})"
        else:
            rate += f", of its time {row['data_wait']:.1%} waiting for data ({row['workers']} workers)"
        teraflops = f"{row['tflop_per_s']:.0f}" if "tflop_per_s" in row else ""
        lines.append([text, str(row["asked"]["batch"]), rate, teraflops])
    return table(["variant", "batch", "images/s (least to most)", "TFLOP/s"], lines)


_STEEL = {
    "AP": "AP", "AP50": "AP50", "AP75": "AP75", "AR100": "AR100", "TIDE Loc": "TIDE_Loc", "TIDE Miss": "TIDE_Miss",
    "RPN AR100": "RPN_AR100",
}  # fmt: skip
#: The tables by the names of their markers.
TABLES: Mapping[str, Callable[[Sequence[Mapping[str, Any]]], str]] = {
    "existing_backbone": partial(existing_backbone, metric="AP"),
    "existing_backbone_rpn": partial(existing_backbone, metric="RPN_AR100"),
    "ladder": ladder,
    "steel_60_labels": partial(
        compared, names={"scratch": "scratch", "det": "`own_photos_detection`"}, metrics=_STEEL
    ),
    "steel_bundled": partial(compared, names={"scratch": "scratch", "bundled": "`detection`"}, metrics=_STEEL),
    "bundled_steel": partial(bundled, data="steel"),
    "bundled_bccd": partial(bundled, data="bccd"),
    "speed": speed,
}  # fmt: skip


def render(page: str, results: Path = ROOT / "results") -> str:
    """Return a page with all of its marked tables made again."""

    def made(match: re.Match[str]) -> str:
        lines = (results / match[3]).read_text(encoding="utf-8").splitlines()
        rows = TABLES[match[2]]([json.loads(line) for line in lines])
        return f"{match[1]}\n{rows}\n\n*Raw results: `results/{match[3]}`.*\n{match[4]}"

    return _MARKED.sub(made, page)


def main() -> None:
    """Write every page of evidence again."""
    for page in (ROOT / "docs/evidence.md", *sorted((ROOT / "docs/evidence").glob("*.md"))):
        page.write_text(render(page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
