"""Open labeled data: return sound records, or raise an error that names every kind of damage."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from adept_hub.arguments.calls import checked
from adept_hub.errors import DataError
from adept_hub.words.command_line import command_line
from adept_training.labels.check import check_data
from adept_training.labels.problems import of_kind
from adept_training.labels.records import Data


@checked
def open_data(specs: str | Path | Sequence[str], *, skip_damaged: bool = False) -> Data:
    """Open the data set of ``specs``, with every record sound.

    Args:
        specs: one to three words of ``--data`` (train, val, test); commas may stand for spaces.
        skip_damaged: leave damaged images and objects out instead of raising. Decodes every image, whereas otherwise
                the headers are read, and damaged contents raise when they are used.

    Raises:
        DataError: the data set is invalid or damaged; ``adept data check`` lists every case.
    """
    data, problems = check_data(specs, decode_all=skip_damaged)
    errors = of_kind(p for p in problems if p.severity == "error")
    hopeless = {"empty-split", "no-objects", "missing-section", "categories-differ"} & errors.keys()
    coco_unreadable = any(p.where.endswith(".json") for p in errors.get("unreadable-annotations", []))
    if errors and (hopeless or coco_unreadable or not skip_damaged):
        counts = ", ".join(f"{len(rows)} {kind}" for kind, rows in errors.items())
        first = next(iter(errors.values()))[0]
        way = "" if hopeless or coco_unreadable else "Leave the damaged ones out with --skip-damaged. "
        words = [specs] if isinstance(specs, str | Path) else specs
        raise DataError(
            f"The data set is damaged: {counts}.\nThe first: {first}\n"
            f"{way}List every problem: {command_line('data', 'check', *words)}"
        )
    return data
