"""Training samples: a function of (seed, epoch, index), so that an interrupted run continues exactly.

Legend: C channels, H x W of the image, M objects, K regions to ignore.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from pycocotools import mask as mask_api
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from adept_hub.errors import DataError
from adept_training.finetuning.augment import Target, View, strong_view
from adept_training.finetuning.paste import paste_objects
from adept_training.labels.pixels import readable_pixels
from adept_training.labels.records import Floats, LabeledImage, Split
from adept_training.metrics.detections import to_rle
from adept_training.runtime.workers import worker_options

#: An image uint8 (C, H, W) in RGB, and its objects.
Sample = tuple[Tensor, Target]


@dataclass(frozen=True)
class LabeledSamples(Dataset[Sample]):
    """Images with their objects, augmented at random; crowds and images without objects are left out."""

    images: tuple[LabeledImage, ...]
    masks: bool
    flip: float
    seed: int
    #: As ``engine.augment``.
    augment: str = "flip_scale"
    #: Boxes (K, 4) of the left-out objects of each image.
    ignored: tuple[Floats, ...] = ()

    @classmethod
    def of(cls, split: Split, masks: bool, flip: float, seed: int, augment: str = "flip_scale") -> LabeledSamples:
        """Select the training samples of a split.

        Raises:
            DataError: there are no objects, or no masks although ``masks`` is set.
        """
        if masks and not split.has_masks:
            raise DataError(f"{split.name} has boxes but no masks.\nTrain a detector of boxes: --detector faster_rcnn")
        images, ignored = [], []
        for image in split.images:
            keep_M = ~image.crowd_M
            if masks and image.masks is not None:
                keep_M &= np.array([mask is not None for mask in image.masks], np.bool_)
            if keep_M.any():
                images.append(image.only(keep_M))
                ignored.append(image.boxes_M4[~keep_M])
        if not images:
            raise DataError(f"{split.name} has no objects to train on.")
        return cls(tuple(images), masks, flip, seed, augment, tuple(ignored))

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, place: tuple[int, int]) -> Sample:
        """Read the sample of (epoch, index); see `__getitems__`."""
        return self.__getitems__([place])[0]

    def __getitems__(self, places: Sequence[tuple[int, int]]) -> list[Sample]:
        """Read the samples of a batch's (epoch, index); strong ones have objects of the one before pasted on them.

        Raises:
            DataError: an image cannot be read, or its size differs from that in the annotations.
        """
        if self.augment != "strong":
            return [self._weak(*place) for place in places]
        views = [self._strong(*place) for place in places]
        pairs = zip(places, views, [*views[-1:], *views[:-1]], strict=True)
        pasted = [paste_objects(onto, donor, (self.seed, *place)) for place, onto, donor in pairs]
        return [(view.pixels_CHW, view.target) for view in pasted]

    def _weak(self, epoch: int, index: int) -> Sample:
        image, flip = self.images[index], 0.0 if self.augment == "none" else self.flip
        mirrored = np.random.default_rng([self.seed, epoch, index]).random() < flip
        return _sample(image, readable_pixels(image), bool(mirrored), self.masks)

    def _strong(self, epoch: int, index: int) -> View:
        image = self.images[index]
        ignored_K4 = torch.from_numpy(self.ignored[index].astype(np.float32))
        plain = View(*_sample(image, readable_pixels(image), False, self.masks), ignored_K4)
        return strong_view(plain, self.flip, (self.seed, epoch, index))


def _sample(image: LabeledImage, pixels_HWC: Any, mirrored: bool, with_masks: bool) -> Sample:
    height, width = pixels_HWC.shape[:2]
    boxes_M4 = image.boxes_M4
    if mirrored:
        pixels_HWC = pixels_HWC[:, ::-1]
        boxes_M4 = np.stack([width - boxes_M4[:, 2], boxes_M4[:, 1], width - boxes_M4[:, 0], boxes_M4[:, 3]], axis=1)
    # Always a copy: numpy considers a flipped view of one pixel contiguous, and torch takes no negative strides.
    pixels_CHW = torch.from_numpy(pixels_HWC.transpose(2, 0, 1).copy())
    target = {
        "boxes": torch.from_numpy(boxes_M4.astype(np.float32)),
        "labels": torch.from_numpy(image.labels_M),
    }
    if with_masks:
        assert image.masks is not None
        masks_MHW = np.stack([mask_api.decode(to_rle(mask, height, width)) for mask in image.masks])
        target["masks"] = torch.from_numpy((masks_MHW[:, :, ::-1] if mirrored else masks_MHW).copy())
    return pixels_CHW, target


@dataclass(frozen=True)
class Batches:
    """A batch sampler over iterations ``start`` to ``stop``: an endless series of epochs, each in a new order.

    The last batch of an epoch is filled from the next one, so that even a single image can be trained on.
    """

    images: int
    batch_size: int
    seed: int
    start: int
    stop: int
    rank: int = 0
    world_size: int = 1

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        share = self.batch_size // self.world_size
        for step in range(self.start, self.stop):
            first = step * self.batch_size + self.rank * share
            yield [self._place(at) for at in range(first, first + share)]

    def __len__(self) -> int:
        return self.stop - self.start

    def _place(self, at: int) -> tuple[int, int]:
        epoch, place = divmod(at, self.images)
        return epoch, int(np.random.default_rng([self.seed, epoch, 0x5EED]).permutation(self.images)[place])


def make_batches(samples: Dataset[Any], batches: Batches, workers: int) -> DataLoader[list[Sample]]:
    """Create the loader of lists of samples, in order."""
    return DataLoader(
        samples,
        batch_sampler=batches,
        **worker_options(workers),
        collate_fn=list,
    )
