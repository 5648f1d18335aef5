"""TIDE: the cost in AP50 of each kind of error (Bolya et al., ECCV 2020), as its package ``tidecv`` computes it.

Main errors, at most one per detection: Cls (right location, wrong class), Loc (right class, IoU between 0.1 and 0.5),
Both (neither quite), Dupe (the object was already found), Bkg (background), and Miss for an object that no other error
explains. Special errors overlap with those: FalsePos and FalseNeg. A cost is the AP50 in points gained if an oracle
fixed all errors of that kind and no other.

Legend: D detections and M objects of one image.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from adept_hub.detectors.detections import Detections
from adept_training.labels.identity import ImageKey
from adept_training.labels.records import LabeledImage, Split
from adept_training.metrics.detections import Found
from adept_training.metrics.voc import box_iou

MAIN = ("Cls", "Loc", "Both", "Dupe", "Bkg", "Miss")
SPECIAL = ("FalsePos", "FalseNeg")
RIGHT, WRONG = 0.5, 0.1
MAX_DETECTIONS = 100


@dataclass(slots=True)
class TideError:
    """One error. ``detection`` and ``object`` are indices into the image's arrays, -1 if there is none."""

    kind: str
    image: ImageKey
    detection: int
    object: int
    label: int
    score: float = 0.0
    #: Inside an ignored region, without cost.
    ignored: bool = False
    #: The class it would be right for, if an oracle fixed it; 0: it would be dropped.
    repaired: int = 0


@dataclass(frozen=True)
class TideResult:
    """AP50 in percent, the cost of each error in points, how often each occurs, and every error."""

    ap50: float
    main: dict[str, float]
    special: dict[str, float]
    counts: dict[str, int]
    errors: tuple[TideError, ...] = field(repr=False)


@dataclass
class _Tally:
    """The inputs of AP."""

    objects: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    missed: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    points: list[tuple[int, float, bool]] = field(default_factory=list)
    errors: list[TideError] = field(default_factory=list)


def tide(split: Split, found: Found) -> TideResult:
    """Classify every detection (the best 100 per image) and compute the cost of each kind of error."""
    tally = _Tally()
    for image in split.images:
        _count_errors(image, found.get(image.key, Detections.none()), tally)
    base = _mean_ap(tally.points, tally.objects)
    right = [point for point in tally.points if point[2]]
    main = {kind: max(_repaired(kind, tally, right) - base, 0.0) for kind in MAIN}
    perfect = [(label, 1.0 if ok else 0.0, ok) for label, _, ok in tally.points]
    found_all = {label: count - tally.missed[label] for label, count in tally.objects.items()}
    special = {
        "FalsePos": _mean_ap(perfect, tally.objects) - base,
        "FalseNeg": _mean_ap(tally.points, found_all) - base,
    }
    counts = {kind: sum(error.kind == kind for error in tally.errors) for kind in MAIN}
    return TideResult(base, main, special, counts, tuple(tally.errors))


def _count_errors(image: LabeledImage, found: Detections, tally: _Tally) -> None:
    ignore_M = image.crowd_M | image.difficult_M
    objects = np.flatnonzero(~ignore_M)
    for label in image.labels_M[objects].tolist():
        tally.objects[label] += 1
    order = np.argsort(-found.scores_D, kind="stable")[:MAX_DETECTIONS]
    boxes_D4, labels_D = found.boxes_D4[order], found.labels_D[order]
    iou_DM = box_iou(boxes_D4, image.boxes_M4[objects])
    same_DM = labels_D[:, None] == image.labels_M[objects][None]
    used_M, state_D = _match(iou_DM * same_DM)
    ignored_D = _ignored(image, ignore_M, boxes_D4, labels_D) & ~state_D
    claimed: set[int] = set()
    for d in range(len(order)):
        label, score = int(labels_D[d]), float(found.scores_D[order[d]])
        if not ignored_D[d]:
            tally.points.append((label, score, bool(state_D[d])))
        if state_D[d]:
            continue
        kind, m = _kind(iou_DM[d], same_DM[d], used_M)
        error = TideError(kind, image.key, int(order[d]), -1, label, score, bool(ignored_D[d]))
        if kind in ("Cls", "Loc", "Dupe"):
            error.object = int(objects[m])
        # Only the most confident of the errors that point at an unfound object can be fixed into finding it.
        if kind in ("Cls", "Loc") and not used_M[m] and m not in claimed:
            error.repaired = int(image.labels_M[objects[m]])
            claimed.add(m)
        tally.errors.append(error)
    for m in np.flatnonzero(~used_M).tolist():
        label = int(image.labels_M[objects[m]])
        tally.missed[label] += 1
        if m not in claimed:
            tally.errors.append(TideError("Miss", image.key, -1, int(objects[m]), label))


def _match(iou_DM: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Return matched objects and correct detections: by decreasing score, each takes the object it overlaps most."""
    left_DM = iou_DM.copy()
    used_M, right_D = np.zeros(iou_DM.shape[1], np.bool_), np.zeros(iou_DM.shape[0], np.bool_)
    if iou_DM.shape[1] == 0:
        return used_M, right_D
    for d in range(iou_DM.shape[0]):
        m = int(left_DM[d].argmax())
        if left_DM[d, m] >= RIGHT:
            used_M[m] = right_D[d] = True
            left_DM[:, m] = 0
    return used_M, right_D


def _kind(
    iou_M: npt.NDArray[np.float64], same_M: npt.NDArray[np.bool_], used_M: npt.NDArray[np.bool_]
) -> tuple[str, int]:
    """Return the error of a wrong detection and the object it refers to."""
    if len(iou_M) == 0:
        return "Bkg", -1
    own_M, others_M = iou_M * same_M, iou_M * ~same_M
    m = int(own_M.argmax())
    if WRONG <= own_M[m] <= RIGHT:
        return "Loc", m
    m = int(others_M.argmax())
    if others_M[m] >= RIGHT:
        return "Cls", m
    m = int((own_M * used_M).argmax())
    if own_M[m] * used_M[m] >= RIGHT:
        return "Dupe", m
    return ("Bkg" if iou_M.max() <= WRONG else "Both"), -1


def _ignored(
    image: LabeledImage, ignore_M: npt.NDArray[np.bool_], boxes_D4: npt.NDArray[np.float64],
    labels_D: npt.NDArray[np.int64],
) -> npt.NDArray[np.bool_]:  # fmt: skip
    """Return the detections of which more than half lies in an ignored region of their class."""
    regions_R4, labels_R = image.boxes_M4[ignore_M], image.labels_M[ignore_M]
    if len(regions_R4) == 0 or len(boxes_D4) == 0:
        return np.zeros(len(boxes_D4), np.bool_)
    low = np.maximum(boxes_D4[:, None, :2], regions_R4[None, :, :2])
    high = np.minimum(boxes_D4[:, None, 2:], regions_R4[None, :, 2:])
    inside_DR = np.prod(np.clip(high - low, 0, None), axis=2)
    share_DR = inside_DR / np.maximum(np.prod(boxes_D4[:, 2:] - boxes_D4[:, :2], axis=1), 1e-12)[:, None]
    return np.asarray(((share_DR > RIGHT) & (labels_D[:, None] == labels_R[None])).any(axis=1))


def _repaired(kind: str, tally: _Tally, right: list[tuple[int, float, bool]]) -> float:
    objects = dict(tally.objects)
    points: list[tuple[int, float, bool]] = []
    for error in tally.errors:
        if error.kind == "Miss":
            if kind == "Miss":
                objects[error.label] -= 1
        elif error.kind != kind:
            points += [] if error.ignored else [(error.label, error.score, False)]
        elif error.repaired:
            points.append((error.repaired, error.score, True))
    return _mean_ap([*points, *right], objects)


def _mean_ap(points: list[tuple[int, float, bool]], objects: dict[int, int]) -> float:
    """Compute mean AP at 101 recalls, in percent, over the classes that occur among objects or detections."""
    by_class: dict[int, list[tuple[float, bool]]] = defaultdict(list)
    for label, score, ok in points:
        by_class[label].append((score, ok))
    labels = set(by_class) | {label for label, count in objects.items() if count}
    if not labels:
        return float("nan")
    return 100 * float(np.mean([_ap(by_class[label], objects.get(label, 0)) for label in sorted(labels)]))


def _ap(points: list[tuple[float, bool]], objects: int) -> float:
    if objects <= 0 or not points:
        return 0.0
    points.sort(key=lambda point: -point[0])
    hits = np.cumsum([ok for _, ok in points])
    recall, precision = hits / objects, hits / np.arange(1, len(points) + 1)
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    at = np.searchsorted(recall, np.arange(101) / 100, side="left")
    return float(np.where(at < len(precision), precision[np.minimum(at, len(precision) - 1)], 0.0).mean())
