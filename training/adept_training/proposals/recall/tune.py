"""Compare presets and settings of proposals on a handful of labeled images, at an equal number of boxes.

Legend: I images, C classes, S settings, B resamples.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from adept_hub.arguments.calls import checked
from adept_hub.arguments.choices import check_choice
from adept_hub.errors import ProposalsError
from adept_hub.images.files import read_file
from adept_training.images import ImageSource, decode
from adept_training.labels.records import LabeledImage, Split
from adept_training.proposals.recall.blind_grid import blind_grid
from adept_training.proposals.recall.evaluate import best_overlaps, counted
from adept_training.proposals.search.boxes import Boxes, to_proposals
from adept_training.proposals.search.presets import Preset, get_preset
from adept_training.proposals.selective import selective_search
from adept_training.proposals.survey import with_size_prior
from adept_training.runtime.progress import counting

Floats = npt.NDArray[np.float64]

MOST_IMAGES, RESAMPLES = 60, 2000
COMPARED = ("paper", "fixed", "objects")
_MARGIN = 1.25  # of the labeled objects' sizes
_SMALLER = 0.08


@dataclass(frozen=True)
class Setting:
    """A preset and options of ``adept proposals``."""

    options: tuple[str, ...]
    preset: Preset


@dataclass(frozen=True)
class Compared:
    """One setting on the labeled images; recall in percent, mean over classes."""

    options: tuple[str, ...]
    boxes: float  # mean per image
    recall50: float
    recall70: float
    score: float  # their mean
    milliseconds: float  # median per image, this machine
    behind: tuple[float, float, float]  # the best: low, mean, high as `Tuned.lead`


@dataclass(frozen=True)
class Tuned:
    """The comparison, best first, and the lead of the best over the second: its 95 % interval over images."""

    images: int
    objects: int
    rows: tuple[Compared, ...]
    lead: tuple[float, float, float]  # low, mean, high; percentage points
    wins: float  # share of resamples of the images in which the best stays ahead of the second
    grid50: float  # recall at IoU 0.5 of a blind grid of ``boxes`` boxes per image, mean over classes

    @property
    def sure(self) -> bool:
        """Return whether the interval of the lead is above zero."""
        return self.lead[0] > 0


@checked
def tune(
    source: ImageSource,
    split: Split,
    *,
    boxes: int = 50,
    most: int = MOST_IMAGES,
    presets: Sequence[str] = COMPARED,
    progress: Callable[[str], None] | None = None,
) -> Tuned:
    """Search the labeled images of ``split`` with every setting, and compare the recall of ``boxes`` boxes.

    Bounds of size come from the labels of the other half of the images, so that they are no better here than later.

    Args:
        source: the images that the proposals are for: which sizes recur is looked up there, without labels.
        split: labeled images.
        boxes: boxes per image; presets that do not rank theirs have as many drawn at random.
        most: labeled images used at most, drawn at random.
        presets: compare only settings of these.
        progress: called with a line before each setting.

    Raises:
        ProposalsError: fewer than two images have objects. OptionValueError: a preset that is not compared.
    """
    for preset in presets:
        check_choice("presets", preset, COMPARED)
    useful = [image for image in split.images if counted(image).any()]
    if len(useful) < 2:
        raise ProposalsError(
            f"{split.name} has {len(useful)} images with objects: too few to compare presets.\n"
            "Label at least ten images, and give them with --data."
        )
    chosen = sorted(np.random.default_rng(0).permutation(len(useful))[:most].tolist())
    labeled = [useful[i] for i in chosen]
    rows: list[tuple[tuple[str, ...], float, float, float, float]] = []
    scores: list[Floats] = []
    labels = np.unique(np.concatenate([image.labels_M[counted(image)] for image in labeled]))
    draw = np.random.default_rng(0).integers(0, len(labeled), (RESAMPLES, len(labeled)))
    weight_BI = np.stack([np.bincount(one, minlength=len(labeled)) for one in draw]).astype(np.float64)
    once = np.ones((1, len(labeled)))
    for setting in settings(labeled, source, boxes):
        if setting.preset.name not in presets:
            continue
        if progress is not None:
            progress(" ".join(setting.options))
        found, milliseconds = _search(setting, labeled, boxes)
        overlaps = [best_overlaps(image, one) for image, one in zip(labeled, found, strict=True)]
        totals, hits50, hits70 = _counts(labeled, overlaps, labels)
        recall50, recall70 = _class_mean(once, hits50, totals)[0], _class_mean(once, hits70, totals)[0]
        mean_boxes = float(np.mean([len(one) for one in found]))
        rows.append((setting.options, mean_boxes, recall50, recall70, milliseconds))
        scores.append((_class_mean(weight_BI, hits50, totals) + _class_mean(weight_BI, hits70, totals)) / 2)
    mean = [(recall50 + recall70) / 2 for _, _, recall50, recall70, _ in rows]
    order = sorted(range(len(rows)), key=lambda s: -mean[s])
    first = order[0]
    compared = []
    for s in order:
        options, mean_boxes, recall50, recall70, milliseconds = rows[s]
        low, high = np.percentile(scores[first] - scores[s], [2.5, 97.5]).tolist()
        behind = (low, mean[first] - mean[s], high)
        compared.append(Compared(options, mean_boxes, recall50, recall70, mean[s], milliseconds, behind))
    second = min(1, len(order) - 1)
    wins = float((scores[first] > scores[order[second]]).mean())
    objects = sum(int(counted(image).sum()) for image in labeled)
    grids = [best_overlaps(image, blind_grid((image.width, image.height), boxes)) for image in labeled]
    totals, hits50, _ = _counts(labeled, grids, labels)
    grid50 = float(_class_mean(once, hits50, totals)[0])
    return Tuned(len(labeled), objects, tuple(compared), compared[second].behind, wins, grid50)


def settings(images: Sequence[LabeledImage], source: ImageSource, boxes: int) -> list[Setting]:
    """Return what is compared."""
    objects = get_preset("objects")
    assert objects.objects is not None
    objects = replace(objects, objects=replace(objects.objects, most=boxes))
    objects = with_size_prior(objects, source, None, "local", 1)
    number = () if boxes == 50 else ("--boxes", str(boxes))
    low, high = size_bounds(images)
    fixed = get_preset("fixed")
    smaller = replace(fixed, filter=replace(fixed.filter, min_scale=_SMALLER))
    return [
        Setting(("--preset", "paper"), get_preset("paper")),
        Setting(("--preset", "fixed", "--min-scale", str(_SMALLER)), smaller),
        Setting(("--preset", "objects", *number), objects),
        Setting(("--preset", "objects", *number, "--sizes", f"{100 * low:.0f}%..{100 * high:.0f}%"), objects),
    ]


def size_bounds(images: Sequence[LabeledImage]) -> tuple[float, float]:
    """Return bounds of sqrt(w h) / shorter side that hold all but a few labeled objects, in whole percents."""
    sizes = []
    for image in images:
        wh_M2 = image.boxes_M4[counted(image)]
        wh_M2 = wh_M2[:, 2:] - wh_M2[:, :2]
        sizes.append(np.sqrt(wh_M2.prod(axis=1)) / min(image.width, image.height))
    low, high = np.percentile(np.concatenate(sizes), [2, 98]).tolist()
    return max(1, np.floor(100 * low / _MARGIN)) / 100, np.ceil(100 * high * _MARGIN) / 100


def _search(setting: Setting, images: Sequence[LabeledImage], boxes: int) -> tuple[list[Boxes], float]:
    """Return the boxes of every image, and the median milliseconds."""
    halves = [images[::2], images[1::2]]
    rng = np.random.default_rng(0)
    found, seconds = [], []
    what = f"boxes of {' '.join(setting.options)}"
    for i, image in enumerate(counting(images, len(images), what, " images")):
        preset = setting.preset
        if "--sizes" in setting.options and preset.objects is not None:
            preset = replace(preset, objects=replace(preset.objects, sizes=size_bounds(halves[1 - i % 2])))
        pixels = decode(read_file(image.path, image.file_name), image.file_name)
        start = time.perf_counter()
        every, _ = to_proposals(selective_search(pixels, preset), (image.width, image.height), preset)
        seconds.append(time.perf_counter() - start)
        if preset.objects is None and len(every) > boxes:
            every = every[rng.permutation(len(every))[:boxes]]
        found.append(every[:boxes])
    return found, 1000 * float(np.median(seconds))


def _counts(
    images: Sequence[LabeledImage], overlaps: Sequence[Floats], labels: npt.NDArray[np.int64]
) -> tuple[Floats, Floats, Floats]:
    """Count objects, and those covered at IoU 0.5 and 0.7: (I, C) each."""
    totals, hits50, hits70 = (np.zeros((len(images), len(labels))) for _ in range(3))
    for i, (image, iou_M) in enumerate(zip(images, overlaps, strict=True)):
        class_M = np.searchsorted(labels, image.labels_M[counted(image)])
        for table, of_M in ((totals, iou_M >= 0), (hits50, iou_M >= 0.5), (hits70, iou_M >= 0.7)):
            table[i] = np.bincount(class_M, weights=of_M.astype(np.float64), minlength=len(labels))
    return totals, hits50, hits70


def _class_mean(weight_BI: Floats, hits_IC: Floats, totals_IC: Floats) -> Floats:
    """Return the recall in percent, mean over the classes that occur, of each weighting of the images: (B,)."""
    hits_BC, totals_BC = weight_BI @ hits_IC, weight_BI @ totals_IC
    recall_BC = np.divide(hits_BC, totals_BC, out=np.zeros_like(hits_BC), where=totals_BC > 0)
    return np.asarray(100 * recall_BC.sum(axis=1) / np.maximum((totals_BC > 0).sum(axis=1), 1))
