"""Implement ``adept proposals tune``: print the comparison, how sure it is, and the command of the best."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

from adept_hub.words.command_line import command_line

if TYPE_CHECKING:
    from adept_training.proposals.recall.tune import Tuned

TUNED_FILE = "tune.json"


def tune_proposals(args: argparse.Namespace) -> int:
    """Compare settings for the images ``args.table``; write ``tune.json`` into ``args.out`` if given.

    Raises:
        AdeptError: the images or the data are invalid.
    """
    from adept_hub.cli.output import print_json, print_line
    from adept_hub.io.write import atomic_file
    from adept_training.cli.recall.evaluate import choose_split
    from adept_training.images import open_images
    from adept_training.labels.datasets import open_data
    from adept_training.proposals.recall.tune import tune

    data = open_data(args.data, skip_damaged=args.skip_damaged)
    split = choose_split(data, args.split or "train")
    tuned = tune(
        open_images(args.table), split, boxes=args.boxes or 50,
        progress=None if args.quiet else lambda text: print_line(f"trying {text}", sys.stderr),
    )  # fmt: skip
    command = command_line("proposals", args.table, *tuned.rows[0].options, "--out", "BOXES")
    report = {**asdict(tuned), "sure": tuned.sure, "command": command}
    if args.out is not None:
        args.out.mkdir(parents=True, exist_ok=True)
        with atomic_file(args.out / TUNED_FILE) as temporary:
            temporary.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    if args.json:
        print_json(report)
        return 0
    for line in as_lines(tuned):
        print_line(line)
    print_line(f"The best:\n  {command}")
    return 0


def as_lines(tuned: Tuned) -> list[str]:
    """Return the comparison as lines."""
    width = max(len(" ".join(row.options)) for row in tuned.rows)
    lines = [
        f"{tuned.images} labeled images, {tuned.objects} objects; recall in percent, mean over classes",
        f"{'':<{width}} {'boxes':>6} {'IoU .5':>7} {'IoU .7':>7} {'mean':>6} {'ms':>6}",
    ]
    for row in tuned.rows:
        lines.append(
            f"{' '.join(row.options):<{width}} {row.boxes:>6.1f} {row.recall50:>7.1f} {row.recall70:>7.1f} "
            f"{row.score:>6.1f} {row.milliseconds:>6.0f}"
        )
    low, lead, high = tuned.lead
    words = "sure" if tuned.sure else "not sure; label more images, or take the simpler of the two"
    lines.append(
        f"The first leads the second by {lead:.1f} points (95% interval over images {low:.1f} to {high:.1f}; ahead in "
        f"{100 * tuned.wins:.0f}% of resamples): {words}."
    )
    return lines
