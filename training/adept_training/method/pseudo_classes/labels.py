"""Give every box that is trained on a pseudo-class, before the first step.

Legend: I images, K boxes per image, M boxes of an image, B boxes of all images, D features.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from torch.utils.data import DataLoader, Dataset

from adept_hub.errors import ImageDecodeError, RecipeError
from adept_training.data.detector_view import DetectorSamples
from adept_training.data.views import Array, Ints, is_whole
from adept_training.method.pseudo_classes.clusters import fit_clusters
from adept_training.method.pseudo_classes.describe import describe_boxes

Labels = npt.NDArray[np.uint8]

#: Clusters are fitted to at most this many boxes, of images that are evenly spaced; all others are assigned to them.
_FITTED = 200_000


def label_boxes(samples: DetectorSamples, classes: int, workers: int) -> Labels:
    """Return the pseudo-class of the first K boxes of every image, uint8 (I, K), from 0; a function of the seed.

    Boxes that cover their whole image, missing boxes and those of unreadable images have 0 and are not trained on.

    Args:
        samples: the images and boxes of the run.
        classes: number of pseudo-classes, at most 255.
        workers: number of processes that read the images.

    Raises:
        RecipeError: there are fewer boxes than classes.
    """
    images, count = len(samples.keys), samples.views.boxes
    labels_IK = np.zeros((images, count), np.uint8)
    if classes == 1:
        return labels_IK
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
    for image, rank_M, features_MD in described:
        labels_IK[image, rank_M] = clusters.assign(features_MD)
    others = [image for image in range(images) if image % every]
    for image, rank_M, features_MD in _describe(samples, others, workers):
        labels_IK[image, rank_M] = clusters.assign(features_MD)
    return labels_IK


#: Number of an image, the ranks of its boxes in the image's list, and their features.
_Described = tuple[int, Ints, Array]


def _describe(samples: DetectorSamples, images: Sequence[int], workers: int) -> Iterator[_Described]:
    if not images:
        return
    loader: DataLoader[_Described | None] = DataLoader(
        _Boxes(samples, images), batch_size=16, num_workers=workers, collate_fn=list
    )
    for batch in loader:
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
