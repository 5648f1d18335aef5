"""The result of a comparison: its cells and every comparison that they allow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from adept_training.comparing.architectures import Architecture, caution
from adept_training.comparing.runs import ComparisonPlan, RunResult
from adept_training.comparing.tables import Comparison, summary, tabulate, tone
from adept_training.metrics.names import title_of
from adept_training.metrics.stats import MIN_SEEDS
from adept_training.pages.inline import drawing, files, inline, paragraphs, table

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


@dataclass(frozen=True)
class Result:
    """All cells, and a comparison per variant of the recipe and per metric, the main one first.

    ``caution`` is what differs between the sources besides their weights.
    """

    cells: tuple[RunResult, ...]
    comparisons: tuple[Comparison, ...]
    summaries: tuple[str, ...]
    #: What to try if nothing could be compared or too few seeds were run.
    advice: tuple[str, ...] = ()
    caution: str = ""
    architectures: tuple[Architecture, ...] = ()
    #: Files that were written: the page (HTML) and its plot (SVG).
    page: Path | None = None
    plot: Path | None = None

    def _repr_html_(self) -> str:
        """Show the conclusion, the gains with their intervals and the plot, in a notebook."""
        main = [c for c in self.comparisons if c.metric == self.comparisons[0].metric]
        parts = [
            part
            for text, one in zip(self.summaries, main, strict=True)
            for part in (
                paragraphs([text], tone(one)),
                table(one.head(), one.rows()),
                table([f"minus {one.sources[0]}", *one.head()[1:]], one.gain_rows()),
            )
        ]
        title = f"{title_of(self.comparisons[0].metric)}, {len(self.cells)} runs"
        cautions = paragraphs([self.caution] if self.caution else [], "caution")
        return inline(
            title, *parts, cautions, paragraphs(self.advice), drawing(self.plot, title), files({"Page": self.page})
        )

    def as_json(self) -> dict[str, Any]:
        """Return everything that the page shows."""
        return {
            "summaries": list(self.summaries), "advice": list(self.advice),
            "caution": self.caution, "architectures": [asdict(one) for one in self.architectures],
            "comparisons": [c.as_json() for c in self.comparisons],
        }  # fmt: skip


def digest(cells: Sequence[RunResult], plan: ComparisonPlan, metric: str) -> Result:
    """Compute every comparison that the cells allow."""
    measured = {name for cell in cells for name, value in cell.metrics.items() if value is not None}
    metrics = [metric, *(name for name in OTHERS if name != metric and name in measured)]
    sources = list(plan.sources)
    comparisons = [tabulate(cells, sources, plan.budgets, m, variant) for variant in plan.variants for m in metrics]
    summaries = [
        (f"{c.variant}: " if len(plan.variants) > 1 else "") + summary(c) for c in comparisons if c.metric == metric
    ]
    advice = tuple(_advice(cells, plan, comparisons))
    return Result(
        tuple(cells), tuple(comparisons), tuple(summaries), advice, caution(plan.architectures), plan.architectures
    )


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
