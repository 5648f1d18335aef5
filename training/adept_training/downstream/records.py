"""Labelled images as every reader gives them and every later stage takes them.

Legend: M objects of one image.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class LabelledImage:
    """One image and its objects.

    Attributes:
        id: what the data set calls it: COCO's image id in digits, VOC's file stem. Subsets are stored by it.
        boxes_M4: xyxy in pixels of the image, continuous, right and bottom edges exclusive.
        labels_M: 1 is the first class of the split; 0, the background, does not occur.
        crowd_M: COCO's ``iscrowd``: regions in which nothing is counted; never trained on.
        difficult_M: VOC's ``difficult``: trained on, not counted when evaluating.
        area_M: COCO's ``area`` (of the mask, where there is one), square pixels.
        masks: COCO segmentations (polygons or RLE), one an object (None for one that lacks it); None: a set of boxes.
    """

    id: str
    path: Path
    width: int
    height: int
    boxes_M4: Floats
    labels_M: Ints
    crowd_M: Bools
    difficult_M: Bools
    area_M: Floats
    masks: tuple[Any, ...] | None = None

    def __len__(self) -> int:
        return len(self.labels_M)

    def only(self, keep_M: Bools) -> LabelledImage:
        """The same image with these objects alone."""
        masks = None if self.masks is None else tuple(m for m, k in zip(self.masks, keep_M, strict=True) if k)
        return replace(
            self, boxes_M4=self.boxes_M4[keep_M], labels_M=self.labels_M[keep_M], crowd_M=self.crowd_M[keep_M],
            difficult_M=self.difficult_M[keep_M], area_M=self.area_M[keep_M], masks=masks,
        )  # fmt: skip


@dataclass(frozen=True)
class Split:
    """The images of one part of a data set. ``category_ids`` are the data set's own, in the order of ``classes``."""

    name: str
    images: tuple[LabelledImage, ...]
    classes: tuple[str, ...]
    category_ids: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.images)

    @property
    def objects(self) -> int:
        """Labelled objects, crowds included."""
        return sum(len(image) for image in self.images)

    @property
    def has_masks(self) -> bool:
        """Whether this is a set of masks, not of boxes alone."""
        return any(image.masks for image in self.images)

    def subset(self, ids: Iterable[str]) -> Split:
        """The images with these ids, in the order of the split."""
        wanted = set(ids)
        return replace(self, images=tuple(image for image in self.images if image.id in wanted))

    def only_classes(self, names: Iterable[str]) -> Split:
        """All images, with the objects of these classes alone, numbered anew in the order of the split's classes."""
        wanted = set(names)
        kept = [i for i, name in enumerate(self.classes) if name in wanted]
        number = np.zeros(len(self.classes) + 1, np.int64)
        number[[i + 1 for i in kept]] = np.arange(1, len(kept) + 1)
        images = []
        for image in self.images:
            chosen = image.only(number[image.labels_M] > 0)
            images.append(replace(chosen, labels_M=number[chosen.labels_M]))
        classes = tuple(self.classes[i] for i in kept)
        return Split(self.name, tuple(images), classes, tuple(self.category_ids[i] for i in kept))

    def joined(self, other: Split) -> Split:
        """Both splits' images, for those who need no validation set; the classes are the same."""
        return replace(self, name=f"{self.name}+{other.name}", images=(*self.images, *other.images))


@dataclass(frozen=True)
class Data:
    """A data set: what is trained on, what the best checkpoint is chosen by, and what is reported on."""

    spec: str
    train: Split
    val: Split | None = None
    test: Split | None = None

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes, background excluded; label 1 is the first."""
        return self.train.classes

    @property
    def report_split(self) -> Split:
        """What figures are reported on: test, or else val, or else the only split there is."""
        return self.test or self.val or self.train

    def pool(self) -> Split:
        """All labels that a run which chooses nothing by validation may train on: train, and val where test exists."""
        return self.train.joined(self.val) if self.val is not None and self.test is not None else self.train

    def splits(self) -> tuple[Split, ...]:
        """Those that there are."""
        return tuple(split for split in (self.train, self.val, self.test) if split is not None)
