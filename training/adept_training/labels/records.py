"""Labeled images, as returned by every reader and used by every later stage.

Legend: M objects of one image.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from adept_hub.errors import DataError
from adept_training.labels.identity import ImageKey, Part, spelled

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class LabeledImage:
    """One image and its objects.

    Attributes:
        key: identity: its part of the data set, and its id there as the data set writes it.
        path: path of the file.
        file_name: the path relative to the image folder of its part, sub-folders kept, as the data set writes it.
        boxes_M4: xyxy in pixels of the image, continuous, right and bottom edges exclusive.
        labels_M: 1 is the first class of the split; 0, the background, does not occur.
        crowd_M: COCO's ``iscrowd``: regions in which nothing is counted; never trained on.
        difficult_M: VOC's ``difficult``: trained on, not counted when evaluating.
        area_M: COCO's ``area`` (of the mask, where there is one), square pixels.
        masks: COCO segmentations (polygons or RLE), one per object (None if it lacks one); None: a set of boxes.
    """

    key: ImageKey
    path: Path
    file_name: str
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

    def only(self, keep_M: Bools) -> LabeledImage:
        """Return the same image with only these objects."""
        masks = None if self.masks is None else tuple(m for m, k in zip(self.masks, keep_M, strict=True) if k)
        return replace(
            self, boxes_M4=self.boxes_M4[keep_M], labels_M=self.labels_M[keep_M], crowd_M=self.crowd_M[keep_M],
            difficult_M=self.difficult_M[keep_M], area_M=self.area_M[keep_M], masks=masks,
        )  # fmt: skip


@dataclass(frozen=True)
class Split:
    """The images of one split of a data set, joined from one or more parts.

    Attributes:
        classes: label 1 is the first.
        parts: sources of the images, each with its own category ids, in the order of ``classes``.
        apart: whether one file cannot contain these parts, because two of them use an id for different images or number
                the categories differently. It describes the whole split: a subset keeps it.
    """

    name: str
    images: tuple[LabeledImage, ...]
    classes: tuple[str, ...]
    parts: tuple[Part, ...]
    apart: bool = False

    def __post_init__(self) -> None:
        keys = {image.key for image in self.images}
        if len(keys) < len(self.images) or not {key.part for key in keys} <= {part.number for part in self.parts}:
            raise ValueError(f"{self.name}: two images with one key, or an image of an unlisted part")

    @classmethod
    def join(cls, name: str, splits: Sequence[Split]) -> Split:
        """Join the images of all splits, each once, in order; the classes are the same."""
        images: dict[ImageKey, LabeledImage] = {}
        for image in (image for split in splits for image in split.images):
            images.setdefault(image.key, image)
        parts = {part.number: part for split in splits for part in split.parts}
        seen: dict[str, ImageKey] = {}
        repeated = any(seen.setdefault(spelled(key.id), key) != key for key in images)
        apart = repeated or len({part.category_ids for part in parts.values()}) > 1
        return cls(name, tuple(images.values()), splits[0].classes, tuple(parts.values()), apart)

    def __len__(self) -> int:
        return len(self.images)

    @property
    def objects(self) -> int:
        """Labeled objects, crowds included."""
        return sum(len(image) for image in self.images)

    @property
    def has_masks(self) -> bool:
        """True for a set of masks, not of boxes only."""
        return any(image.masks for image in self.images)

    def part(self, key: ImageKey) -> Part:
        """Return the part of an image."""
        return next(part for part in self.parts if part.number == key.part)

    def shown(self, key: ImageKey) -> str:
        """Return an image's id for messages and pages, with its part if there are several."""
        return spelled(key.id) if len(self.parts) == 1 else f"{spelled(key.id)} of {self.part(key).source}"

    def per_file(self, *, one_folder: bool = False) -> list[Split]:
        """Return the split, or one per part if one file cannot contain them all.

        Args:
            one_folder: the file contains image names, so that parts with different image folders need separate files.
        """
        if not self.apart and not (one_folder and len({part.folder for part in self.parts}) > 1):
            return [self]
        return [
            replace(self, parts=(part,), apart=False, images=tuple(i for i in self.images if i.key.part == part.number))
            for part in self.parts
        ]

    def subset(self, keys: Iterable[ImageKey]) -> Split:
        """Return the images with these keys, in the order of the split.

        Raises:
            KeyError: the split lacks a key.
        """
        selected = set(keys)
        if strangers := selected - {image.key for image in self.images}:
            raise KeyError(f"{self.name} has no image {min(strangers, key=str)}")
        return replace(self, images=tuple(image for image in self.images if image.key in selected))

    def with_classes(self, names: Sequence[str]) -> Split:
        """Return all images with only the objects of these classes, labels in this order; skip names it lacks."""
        class_indices = [self.classes.index(name) for name in names if name in self.classes]
        number = np.zeros(len(self.classes) + 1, np.int64)
        number[[i + 1 for i in class_indices]] = np.arange(1, len(class_indices) + 1)
        images = []
        for image in self.images:
            selected = image.only(number[image.labels_M] > 0)
            images.append(replace(selected, labels_M=number[selected.labels_M]))
        parts = tuple(
            replace(part, category_ids=tuple(part.category_ids[i] for i in class_indices)) for part in self.parts
        )
        return replace(self, images=tuple(images), classes=tuple(self.classes[i] for i in class_indices), parts=parts)


@dataclass(frozen=True)
class Data:
    """A data set: a split to train on, one to select the best checkpoint on, and one to report on."""

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
        """The split that metrics are reported on: test, else val, else train."""
        return next(split for split in (self.test, self.val, self.train) if split is not None)

    def split(self, role: str | None = None) -> Split:
        """Return the split of a role (``train``, ``val``, ``test``); by default `report_split`.

        Raises:
            DataError: there is no such split.
        """
        split = self.report_split if role is None else self.roles().get(role)
        if split is None:
            raise DataError(f"The data set has no split {role!r}.\nIt has: {', '.join(s.name for s in self.splits())}.")
        return split

    def roles(self) -> dict[str, Split]:
        """Return the existing splits by role: ``train``, ``val``, ``test``."""
        roles = {"train": self.train, "val": self.val, "test": self.test}
        return {role: split for role, split in roles.items() if split is not None}

    def pool(self) -> Split:
        """Return all labels that a run without model selection may train on: train, and val if test exists."""
        if self.val is None or self.test is None:
            return self.train
        return Split.join(f"{self.train.name}+{self.val.name}", [self.train, self.val])

    def change_splits(self, change: Callable[[Split], Split]) -> Data:
        """Return the data with every existing split changed; a split keeps its role, with or without the others."""
        train = change(self.train)
        val, test = (None if split is None else change(split) for split in (self.val, self.test))
        return Data(self.spec, train, val, test)

    def splits(self) -> tuple[Split, ...]:
        """Return the existing splits."""
        return tuple(self.roles().values())
