"""Measure how many labeled objects the boxes of a table cover, next to a blind grid of as many boxes.

Legend: N boxes and M objects of one image; T IoU thresholds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from adept_hub.arguments.calls import checked
from adept_hub.errors import ProposalsError
from adept_hub.images.files import read_file
from adept_training.images import content_hash
from adept_training.labels.records import LabeledImage, Split
from adept_training.proposals.measure import Floats, box_iou
from adept_training.proposals.recall.blind_grid import blind_grid
from adept_training.proposals.search.boxes import Boxes
from adept_training.proposals.table.store import ProposalTable

LIMITS = (10, 30, 50, 100, 200)  # the first boxes of an image
IOUS_T = np.linspace(0.5, 0.95, 10)
#: Bounds of sqrt(w h) / sqrt(W H) of an object.
SIZES = {"small": (0.0, 0.1), "medium": (0.1, 0.3), "large": (0.3, float("inf"))}


@dataclass(frozen=True)
class Judged:
    """The boxes and objects of one image."""

    image: LabeledImage
    boxes: Boxes  # best first, if the preset ranks
    fallback: bool


@dataclass(frozen=True)
class Recall:
    """Shares of objects, in percent."""

    iou50: float
    iou70: float
    class50: float  # mean over classes
    class70: float
    average: float  # mean over IoU 0.5, 0.55, ..., 0.95
    by_size: dict[str, float]  # at IoU 0.5; sizes without objects are absent


@dataclass(frozen=True)
class AtLimit:
    """Recall by the first boxes of every image."""

    limit: int
    boxes: float  # mean number per image
    recall: Recall
    grid: Recall  # of as many boxes, image by image


@dataclass(frozen=True)
class ProposalEvaluation:
    """Recall of one split."""

    images: int
    objects: int
    missing: int  # labeled images that the table lacks
    fallbacks: int
    rows: tuple[AtLimit, ...]

    def as_json(self) -> dict[str, Any]:
        """Return JSON-ready values."""
        return asdict(self)


@checked
def match_images(table: ProposalTable, split: Split) -> tuple[list[Judged], int]:
    """Match labeled images with rows of a table by content; return them, and how many the table lacks.

    Raises:
        ProposalsError: the table has none of them. ImageDecodeError: a file cannot be read.
    """
    key_of = {table.sha256(key): key for key in reversed(table.keys())}
    judged, missing = [], 0
    for image in split.images:
        key = key_of.get(content_hash(read_file(image.path, image.file_name)))
        if key is None:
            missing += 1
        else:
            table.check_size(key, (image.width, image.height))
            judged.append(Judged(image, table.boxes(key), table.fallback(key)))
    if not judged:
        raise ProposalsError(
            f"{table.folder} has boxes for none of the {len(split)} labeled images of {split.name}.\n"
            f"Make them for the folder of these images: adept proposals {_folder(split)} --out ANOTHER"
        )
    return judged, missing


@checked
def evaluate_proposals(table: ProposalTable, split: Split) -> ProposalEvaluation:
    """Compute the recall of a table on the labeled images of ``split`` that it has. Raises as `match_images`."""
    judged, missing = match_images(table, split)
    return ProposalEvaluation(
        images=len(judged),
        objects=sum(int(counted(one.image).sum()) for one in judged),
        missing=missing,
        fallbacks=sum(one.fallback for one in judged),
        rows=tuple(_at(judged, limit) for limit in LIMITS),
    )


def counted(image: LabeledImage) -> npt.NDArray[np.bool_]:
    """Return a mask of the objects that count: neither crowds nor difficult ones."""
    return np.asarray(~image.crowd_M & ~image.difficult_M)


def best_overlaps(image: LabeledImage, boxes: Boxes) -> Floats:
    """Return the IoU of each object that counts with the box that covers it best, (M,)."""
    objects_M4 = image.boxes_M4[counted(image)]
    if len(boxes) == 0 or len(objects_M4) == 0:
        return np.zeros(len(objects_M4))
    return np.asarray(box_iou(np.asarray(boxes, np.float64), objects_M4).max(axis=0))


def recall_of(images: Sequence[LabeledImage], overlaps: Sequence[Floats]) -> Recall:
    """Return recall from the best overlap of every object that counts; NaN without objects."""
    iou_M = np.concatenate([np.empty(0), *overlaps])
    label_M = np.concatenate([np.empty(0, np.int64), *(image.labels_M[counted(image)] for image in images)])
    size_M = np.concatenate([np.empty(0), *map(_sizes, images)])

    def share(of_M: npt.NDArray[np.bool_]) -> float:
        return 100 * float(of_M.mean()) if len(of_M) else float("nan")

    def by_class(iou: float) -> float:
        shares = [share(iou_M[label_M == label] >= iou) for label in np.unique(label_M)]
        return float(np.mean(shares)) if shares else float("nan")

    by_size = {}
    for name, (low, high) in SIZES.items():
        of_M = (low <= size_M) & (size_M < high)
        if of_M.any():
            by_size[name] = share(iou_M[of_M] >= 0.5)
    average = float(np.mean([share(iou_M >= iou) for iou in IOUS_T]))
    return Recall(share(iou_M >= 0.5), share(iou_M >= 0.7), by_class(0.5), by_class(0.7), average, by_size)


def _at(judged: Sequence[Judged], limit: int) -> AtLimit:
    images = [one.image for one in judged]
    used = [one.boxes[:limit] for one in judged]
    grids = [
        blind_grid((one.image.width, one.image.height), len(boxes)) for one, boxes in zip(judged, used, strict=True)
    ]
    return AtLimit(
        limit,
        float(np.mean([len(boxes) for boxes in used])),
        recall_of(images, [best_overlaps(image, boxes) for image, boxes in zip(images, used, strict=True)]),
        recall_of(images, [best_overlaps(image, boxes) for image, boxes in zip(images, grids, strict=True)]),
    )


def _sizes(image: LabeledImage) -> Floats:
    wh_M2 = image.boxes_M4[counted(image)]
    wh_M2 = wh_M2[:, 2:] - wh_M2[:, :2]
    return np.asarray(np.sqrt(wh_M2.prod(axis=1) / (image.width * image.height)))


def _folder(split: Split) -> Path:
    return split.images[0].path.parent if len(split) else Path("IMAGES")
