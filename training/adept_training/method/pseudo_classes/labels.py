"""Give every box that is trained on a pseudo-class, before the first step.

Legend: I images, K boxes per image, M boxes of an image, B boxes of all images, D features.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from torch.utils.data import DataLoader, Dataset

from adept_hub.errors import ImageDecodeError, RecipeError
from adept_training.data.arrays import Array, Ints
from adept_training.data.detector_view import DetectorSamples
from adept_training.data.views import is_whole
from adept_training.method.pseudo_classes.clusters import fit_clusters
from adept_training.method.pseudo_classes.describe import describe_boxes
from adept_training.runtime.progress import track
from adept_training.runtime.workers import worker_options

Labels = npt.NDArray[np.uint8]

#: Clusters are fitted to at most this many boxes, of images that are evenly spaced; all others are assigned to them.
_FITTED = 200_000
#: Images that a worker reads at a time.
_BATCH = 16


class Labeled(NamedTuple):
    """Pseudo-classes of boxes by image and rank, uint8 (I, K), from 0; and the number of boxes of each class."""

    labels_IK: Labels
    counts: list[int]


def label_boxes(samples: DetectorSamples, classes: int, workers: int) -> Labeled:
    """Return the pseudo-class of the first K boxes of every image, and the sizes of the classes.

    The result is a function of the images, the boxes and the seed.

    Boxes that cover their whole image, missing boxes and those of unreadable images have 0 and are not trained on.

    Args:
        samples: the images and boxes of the run.
        classes: number of pseudo-classes, from 2 to 255.
        workers: number of processes that read the images.

    Raises:
        RecipeError: there are fewer boxes than classes.
    """
    images, count = len(samples.keys), samples.views.boxes
    labels_IK = np.zeros((images, count), np.uint8)
    every = -(-images * count // _FITTED)
    fitted = range(0, images, every)
    described = list(_describe(samples, fitted, workers))
    features_BD = np.concatenate([features_MD for _, _, features_MD in described])
    if len(features_BD) < classes:
        raise RecipeError(
            f"The images have {len(features_BD)} boxes, too few for {classes} pseudo-classes.\n"
            "Train with one class: --set method.detection.pseudo_classes=1"
        )
    clusters = fit_clusters(features_BD, classes, samples.seed)
    counts = np.zeros(classes, np.int64)
    others = [image for image in range(images) if image % every]
    for image, rank_M, features_MD in itertools.chain(described, _describe(samples, others, workers)):
        labels_IK[image, rank_M] = assigned = clusters.assign(features_MD)
        counts += np.bincount(assigned, minlength=classes)
    return Labeled(labels_IK, counts.tolist())


#: Number of an image, the ranks of its boxes in the image's list, and their features.
_Described = tuple[int, Ints, Array]


def _describe(samples: DetectorSamples, images: Sequence[int], workers: int) -> Iterator[_Described]:
    if not images:
        return
    loader: DataLoader[_Described | None] = DataLoader(
        _Boxes(samples, images),
        batch_size=_BATCH,
        **worker_options(workers),
        collate_fn=list,
    )
    batches = -(-len(images) // _BATCH)
    for batch in track(loader, batches, "sorting boxes into pseudo-classes", f" batches of {_BATCH} images"):
        for described in batch:
            if described is not None:
                yield described


@dataclass(frozen=True)
class _Boxes(Dataset[_Described | None]):
    samples: DetectorSamples
    images: Sequence[int]

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, place: int) -> _Described | None:
        image = self.images[place]
        try:
            pixels, size = self.samples.read(image)
        except ImageDecodeError:
            return None
        boxes_M4 = self.samples.table.boxes(self.samples.keys[image])[: self.samples.views.boxes]
        rank_M = np.flatnonzero(~is_whole(boxes_M4, size))
        return image, rank_M, describe_boxes(pixels, boxes_M4[rank_M], size)
