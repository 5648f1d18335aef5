"""The kinds of problems of a labeled data set, each by name, and the report of all of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from adept_hub.words.text import one_line

Severity = Literal["error", "warning"]

#: Every kind of damage: its severity, and the effect of ``--skip-damaged``.
KINDS: dict[str, tuple[Severity, str]] = {
    # the files of the data set itself
    "unreadable-annotations": (
        "error",
        "the annotation file is missing or damaged; the image is left out",
    ),
    "missing-section": ("error", "a part of the annotations is missing, or not a list"),
    "malformed-record": ("error", "an image, annotation or category that is not in the format; left out"),
    # images
    "missing-image": ("error", "the file does not exist; the image is left out"),
    "unreadable-image": ("error", "the file is not an image, or damaged; the image is left out"),
    "path-outside-folder": ("error", "the file name leaves the image folder; the image is left out"),
    "bad-image-size": ("error", "width or height is not a positive integer, or the image is too large; left out"),
    "extreme-shape": ("error", "more than 50 times as long as wide: cut it into pieces; the image is left out"),
    "size-mismatch": ("error", "the file differs in size from the annotations; the image is left out"),
    "duplicate-image-id": ("error", "two images with one id; the second is left out"),
    "duplicate-image-file": ("error", "two images with one file, of pixels or of YOLO labels; the second is left out"),
    "duplicate-image-content": ("warning", "two files with the same bytes in one split"),
    "image-in-two-splits": ("warning", "the same file or the same bytes in two splits: metrics will be too high"),
    "image-without-objects": ("warning", "not trained on, as in Detectron2 and MMDetection; evaluated"),
    # categories
    "duplicate-category-id": ("error", "two categories with one id; the second is left out"),
    "duplicate-category-name": ("error", "two categories with one name; the second is left out"),
    "unknown-category": ("error", "an object of a category that is not declared; left out"),
    "category-without-objects": ("warning", "never seen in training"),
    "categories-differ": ("error", "two splits declare different categories"),
    # objects
    "duplicate-annotation-id": ("error", "two objects with one id; the second is left out"),
    "unknown-image": ("error", "an object of an image that is not declared; left out"),
    "malformed-box": ("error", "no box, or not four numbers; left out"),
    "non-finite-box": ("error", "NaN or infinity in a box; left out"),
    "degenerate-box": ("error", "no width or no height; left out"),
    "box-outside-image": ("error", "wholly outside the image; left out"),
    "box-out-of-range": ("error", "reaches over the image's edge by more than two pixels; clipped"),
    "tiny-box": ("warning", "a side below one pixel"),
    "duplicate-object": ("warning", "the same box with the same category twice in one image"),
    "malformed-flag": ("error", "iscrowd or difficult is neither 0 nor 1; the object is left out"),
    "malformed-mask": ("error", "a segmentation that cannot be drawn in the image; the object is left out"),
    "object-without-mask": ("warning", "no segmentation where most have one; trains boxes, not masks"),
    "bad-area": ("warning", "an area that is not a positive number; taken from the box"),
    # a whole split, once all that is damaged has been left out
    "empty-split": ("error", "no usable image"),
    "no-objects": ("error", "no object to train on"),
}


@dataclass(frozen=True)
class LabelProblem:
    """One problem. ``where`` names the image, object or file; ``detail`` is the value found."""

    kind: str
    split: str
    where: str
    detail: str = ""

    @property
    def severity(self) -> Severity:
        return KINDS[self.kind][0]

    def __str__(self) -> str:
        where, detail = one_line(self.where), one_line(self.detail, 200)
        return f"{self.split}: {where}" + (f": {detail}" if detail else "")


def of_kind(problems: Iterable[LabelProblem]) -> dict[str, list[LabelProblem]]:
    """Group problems by kind, in the order of `KINDS`."""
    by_kind: dict[str, list[LabelProblem]] = {kind: [] for kind in KINDS}
    for problem in problems:
        by_kind[problem.kind].append(problem)
    return {kind: rows for kind, rows in by_kind.items() if rows}


def report_lines(problems: Iterable[LabelProblem], examples: int = 3) -> list[str]:
    """Return a line per kind, followed by a few examples."""
    lines = []
    for kind, rows in of_kind(problems).items():
        severity, meaning = KINDS[kind]
        lines.append(f"{severity:7}  {len(rows):6}  {kind}: {meaning}")
        lines += [f"                   {row}" for row in rows[:examples]]
        if len(rows) > examples:
            lines.append(f"                   ... and {len(rows) - examples} more (--json lists all)")
    return lines


def as_json(problems: Iterable[LabelProblem]) -> dict[str, Any]:
    """Return every problem, by kind."""
    return {
        kind: {
            "severity": KINDS[kind][0], "meaning": KINDS[kind][1], "count": len(rows),
            "cases": [{"split": r.split, "where": r.where, "detail": r.detail} for r in rows],
        }
        for kind, rows in of_kind(problems).items()
    }  # fmt: skip
