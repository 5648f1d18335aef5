"""Implement ``adept proposals evaluate``: print the recall of a table next to a blind grid's."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from adept_training.labels.records import Data, Split
    from adept_training.proposals.recall.evaluate import ProposalEvaluation

SHEET = "worst.png"


def evaluate_table(args: argparse.Namespace) -> int:
    """Print the recall of ``args.table`` on labeled images, and draw the worst ones into ``args.out`` if given.

    Raises:
        AdeptError: the table or the data are invalid, or have no image in common.
    """
    from adept_hub.cli.output import print_json, print_line
    from adept_training.labels.datasets import open_data
    from adept_training.proposals.fallbacks import fallback_warning
    from adept_training.proposals.recall.evaluate import evaluate_proposals, match_images
    from adept_training.proposals.recall.worst import write_sheet
    from adept_training.proposals.table.store import ProposalTable

    table = ProposalTable.open(args.table)
    split = choose_split(open_data(args.data, skip_damaged=args.skip_damaged), args.split)
    found = evaluate_proposals(table, split)
    sheet: Path | None = None if args.out is None else args.out / SHEET
    if sheet is not None:
        write_sheet(match_images(table, split)[0], sheet)
    if args.json:
        print_json({"table": str(args.table), "split": split.name, **found.as_json(), "sheet": sheet and str(sheet)})
        return 0
    for line in as_lines(found, split.name, table.metadata["preset"]["name"]):
        print_line(line)
    folder = split.images[0].path.parent
    if warning := fallback_warning(found.images, found.fallbacks, table.metadata["preset"]["name"], folder, args.table):
        print_line(f"caution: {warning}")
    if sheet is not None:
        print_line(f"the worst images: {sheet}")
    return 0


def choose_split(data: Data, name: str | None) -> Split:
    """Return the split of that name; by default val, or else train.

    Raises:
        DataError: the data lacks it.
    """
    from adept_hub.errors import DataError

    if name is None:
        return data.val or data.train
    split: Split | None = getattr(data, name)
    if split is None:
        raise DataError(f"{data.spec} has no {name} split.\nGive another --split, or its images with --data.")
    return split


def as_lines(found: ProposalEvaluation, split: str, preset: str) -> list[str]:
    """Return the report as lines."""
    share = 100 * found.fallbacks / found.images
    lines = [
        f"{split}: {found.images} images, {found.objects} objects, {found.fallbacks} images by fallback ({share:.0f}%)"
    ]
    if found.missing:
        lines.append(f"{found.missing} labeled images are not in the table and do not count")
    lines.append("recall in percent, and that of a blind grid of as many boxes")
    lines.append(
        f"{'first':>7} {'boxes':>6} {'IoU .5':>13} {'IoU .7':>13} {'class .5':>13} {'class .7':>13} {'AR':>13}"
    )
    for row in found.rows:
        pairs = [
            (getattr(row.recall, name), getattr(row.grid, name))
            for name in ("iou50", "iou70", "class50", "class70", "average")
        ]
        cells = " ".join(f"{_number(own):>5} / {_number(blind):>5}" for own, blind in pairs)
        lines.append(f"{row.limit:>7} {row.boxes:>6.1f} {cells}")
    middle = next(row for row in found.rows if row.limit == 50)
    sizes = ", ".join(
        f"{name} {_number(value)} / {_number(middle.grid.by_size[name])}"
        for name, value in middle.recall.by_size.items()
    )
    lines.append(f"by size, first 50 at IoU .5: {sizes}")
    if preset != "objects":
        lines.append(f"preset {preset} does not rank its boxes: the first are not its best")
    return lines


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.1f}"
