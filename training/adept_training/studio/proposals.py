"""Boxes of an image's tables, and how many labeled objects the first N of them cover.

Legend: N boxes of one image, M objects that count.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from adept_training.images import content_hash
from adept_training.labels.records import LabeledImage
from adept_training.proposals.measure import box_iou
from adept_training.proposals.recall.blind_grid import blind_grid
from adept_training.proposals.recall.evaluate import best_overlaps, counted, recall_of
from adept_training.proposals.search.boxes import Boxes
from adept_training.proposals.table.store import ProposalTable
from adept_training.studio.image_sets import ImageSet, rounded, truth_of

#: Least IoU of a box that covers an object.
COVERED = 0.5
#: Boxes of an image that the page gets at most, and images whose recall is computed.
MOST, MOST_IMAGES = 1000, 2000
LIMITS = (1, 3, 10, 30, 100, 200)


class Tables:
    """Tables with their rows by content, so that the names of files do not matter."""

    def __init__(self, tables: Sequence[tuple[str, ProposalTable]]) -> None:
        self._tables = tables
        self._keys: dict[int, dict[bytes, str]] = {}

    @property
    def names(self) -> list[str]:
        """The names of the tables."""
        return [name for name, _ in self._tables]

    def row(self, t: int, content: bytes) -> str | None:
        """Return the key of an image in a table, None if the table lacks it."""
        table = self._tables[t][1]
        if t not in self._keys:
            self._keys[t] = {table.sha256(key): key for key in reversed(table.keys())}
        return self._keys[t].get(content_hash(content))

    def table(self, t: int) -> ProposalTable:
        """Return a table."""
        return self._tables[t][1]


def boxes_document(tables: Tables, images: ImageSet, i: int) -> dict[str, Any]:
    """Return the boxes of an image in every table, best first, and the rank of the first box that covers an object."""
    content, image = images.read(i), images.labeled(i)
    classes = images.split.classes if images.split is not None else ()
    found: list[dict[str, Any] | None] = []
    for t, name in enumerate(tables.names):
        key = tables.row(t, content)
        if key is None:
            found.append(None)
            continue
        table = tables.table(t)
        boxes = table.boxes(key)[:MOST]
        ranks = None if image is None else first_ranks(image, boxes)
        found.append(
            {
                "table": name, "preset": table.metadata["preset"]["name"], "fallback": table.fallback(key),
                "boxes": [rounded(box) for box in boxes], "first": ranks, "size": list(table.size(key)),
            }
        )  # fmt: skip
    return {"tables": found, "truth": truth_of(image, classes)}


def first_ranks(image: LabeledImage, boxes: Boxes) -> list[int | None]:
    """Return for every object, of all M, the rank from 1 of the first box that covers it; None if none does.

    Objects that do not count (crowds, difficult ones) have 0.
    """
    ranks: list[int | None] = [0] * len(image)
    objects = np.flatnonzero(counted(image))
    if not len(objects):
        return ranks
    iou_NM = box_iou(np.asarray(boxes, np.float64), image.boxes_M4[objects]) if len(boxes) else np.zeros((0, 0))
    for column, m in enumerate(objects.tolist()):
        covers = np.flatnonzero(iou_NM[:, column] >= COVERED) if len(boxes) else np.zeros(0, np.int64)
        ranks[m] = int(covers[0]) + 1 if len(covers) else None
    return ranks


def recall_document(tables: Tables, images: ImageSet) -> dict[str, Any]:
    """Return recall at IoU 0.5 by the first N boxes of every table, next to a blind grid of as many boxes."""
    if images.split is None:
        return {"tables": [], "limits": list(LIMITS)}
    every = images.split.images[:MOST_IMAGES]
    rows = []
    for t, name in enumerate(tables.names):
        pairs = []
        for i, image in enumerate(every):
            key = tables.row(t, images.read(i))
            if key is not None:
                pairs.append((image, tables.table(t).boxes(key)))
        if pairs:
            rows.append({"table": name, "images": len(pairs), "of": len(images), **_recall(pairs)})
    return {"tables": rows, "limits": list(LIMITS)}


def _recall(pairs: Sequence[tuple[LabeledImage, Boxes]]) -> dict[str, list[float | None]]:
    labeled = [image for image, _ in pairs]
    recall: list[float | None] = []
    grid: list[float | None] = []
    for limit in LIMITS:
        used = [boxes[:limit] for _, boxes in pairs]
        blind = [blind_grid((one.width, one.height), len(b)) for one, b in zip(labeled, used, strict=True)]
        for out, boxes in ((recall, used), (grid, blind)):
            overlaps = [best_overlaps(one, b) for one, b in zip(labeled, boxes, strict=True)]
            value = recall_of(labeled, overlaps).iou50
            out.append(None if value != value else round(value, 2))
    return {"recall": recall, "grid": grid}
