"""Unlabeled images of a run: identified by content, never those that the run is measured on, and read as weak views."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from adept_hub.errors import DataError, ImageDecodeError, ImagesError
from adept_hub.words.text import one_line
from adept_training.images import ImageSource, content_hash, decode, open_images, read_file
from adept_training.labels.records import Data, Split
from adept_training.runtime.progress import track

_log = logging.getLogger(__name__)
_THREADS = 8


@dataclass(frozen=True)
class Unlabeled:
    """Unlabeled images of a run.

    Attributes:
        spec: the images as given.
        source: readable images.
        sha256: digest of all contents, in order.
        labeled: number of images that are in the training split too.
    """

    spec: str
    source: ImageSource
    sha256: str
    labeled: int

    def __len__(self) -> int:
        return len(self.source.keys())

    def as_json(self) -> dict[str, object]:
        """Return the facts that the run records."""
        return {"images": self.spec, "count": len(self), "sha256": self.sha256, "in_training_split": self.labeled}


def open_unlabeled(where: str | Path, data: Data, *, skip_damaged: bool = False) -> Unlabeled:
    """Open unlabeled images; every one is decoded, and compared with the labeled ones by its bytes.

    Args:
        where: as `adept_training.images.open_images`.
        data: labeled images of the run; those of ``train`` may be among the unlabeled ones.
        skip_damaged: leave unreadable images out instead of raising.

    Raises:
        ImagesError: there are no images, or one cannot be read.
        DataError: an image is in ``val`` or ``test`` too, so that metrics would be of images that were trained on.
    """
    source = open_images(where)
    keys, found, damaged = source.keys(), [], []
    for key, digest, fault in _digests(source, keys):
        if fault:
            damaged.append((key, fault))
        else:
            found.append((key, digest))
    if damaged and (not skip_damaged or not found):
        raise ImagesError(
            f"{len(damaged)} of {len(keys)} unlabeled images cannot be read; the first: {damaged[0][1]}\n"
            "Leave them out with --skip-damaged."
        )
    if damaged:
        _log.warning("%d of %d unlabeled images cannot be read and are left out.", len(damaged), len(keys))
    for split in data.splits():
        if split is not data.train:
            _refuse_shared(found, split, str(where))
    own = _contents(data.train)
    total = hashlib.sha256(b"".join(digest for _, digest in found)).hexdigest()
    return Unlabeled(str(where), source.subset([key for key, _ in found]), total, sum(d in own for _, d in found))


def _digests(source: ImageSource, keys: Sequence[str]) -> list[tuple[str, bytes, str]]:
    """Return key, SHA-256 and fault of every image; an unreadable one has no digest."""

    def look(key: str) -> tuple[str, bytes, str]:
        try:
            content = source.read(key)
            decode(content, one_line(key))
        except ImageDecodeError as error:
            return key, b"", str(error).splitlines()[0]
        return key, content_hash(content), ""

    with ThreadPoolExecutor(_THREADS) as pool:
        return list(track(pool.map(look, keys), len(keys), "reading unlabeled images", " images"))


def _contents(split: Split) -> set[bytes]:
    with ThreadPoolExecutor(_THREADS) as pool:
        return set(pool.map(lambda image: content_hash(read_file(image.path, image.path.name)), split.images))


def _refuse_shared(found: Sequence[tuple[str, bytes]], split: Split, where: str) -> None:
    measured = _contents(split)
    shared = [key for key, digest in found if digest in measured]
    if shared:
        raise DataError(
            f"{len(shared)} of the unlabeled images in {one_line(where)} are also in {split.name}, the first: "
            f"{one_line(shared[0])}.\nIts metrics would be of images that were trained on. "
            "Write the paths of the others to a text file: --unlabeled others.txt"
        )


#: Pixels uint8 (C, H, W) of a weak view, and its (epoch, index).
WeakView = tuple[Tensor, tuple[int, int]]


@dataclass(frozen=True)
class WeakViews(Dataset[WeakView]):
    """Unlabeled images, mirrored at random as a function of (seed, epoch, index)."""

    source: ImageSource
    keys: tuple[str, ...]
    flip: float
    seed: int

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, place: tuple[int, int]) -> WeakView:
        """Read the view of (epoch, index).

        Raises:
            ImageDecodeError: the image cannot be read any more.
        """
        epoch, index = place
        pixels_HWC = decode(self.source.read(self.keys[index]), one_line(self.keys[index]))
        mirrored = np.random.default_rng([self.seed, epoch, index, 0x3EAC]).random() < self.flip
        pixels_CHW = (pixels_HWC[:, ::-1] if mirrored else pixels_HWC).transpose(2, 0, 1)
        return torch.from_numpy(pixels_CHW.copy()), place
