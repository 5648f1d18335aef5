"""Batches of views. Every sample is a function of (seed, epoch, index): workers have no state, so an interrupted run
continues exactly, and the samples do not depend on the number of processes.

Legend: N images, K boxes, S sets of boxes on V1.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, NamedTuple, Protocol, TypeVar

import numpy as np
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate

from adept_hub.errors import ImageDecodeError, ImagesError
from adept_training.data.arrays import Array, Pixels
from adept_training.data.cache import PixelCache
from adept_training.data.photometric import ColorPlan, Colors, PhotometricRecipe, draw_colors, plan_colors
from adept_training.data.views import ViewsRecipe, draw_geometry, draw_views
from adept_training.images import ImageSource, decode
from adept_training.proposals.table.store import ProposalTable
from adept_training.runtime.workers import worker_options

_ATTEMPTS = 8


class BoxTable(Protocol):
    """Proposals by image key, float32 (M, 4) xyxy in pixels of the image."""

    def boxes(self, key: str) -> Array: ...


class ViewBatch(NamedTuple):
    """One view of N images."""

    pixels_NHWC: Tensor
    colors: Colors
    #: Made by `collate`; a sample has none yet.
    plan: ColorPlan | tuple[()] = ()


class BoxBatch(NamedTuple):
    """K boxes per image of N in one view: float32 xyxy in its pixels, ids int64, and which are real."""

    boxes_NK4: Tensor
    ids_NK: Tensor
    real_NK: Tensor


class Batch(NamedTuple):
    """Inputs of a training step."""

    views: tuple[ViewBatch, ViewBatch, ViewBatch]
    boxes1_S: tuple[BoxBatch, ...]
    boxes2: BoxBatch
    boxes3: BoxBatch
    #: V1's boxes without jitter, or all of the best.
    targets1: BoxBatch
    #: V1's boxes that are not targets.
    others1: BoxBatch
    #: float32 (N, 3, 5): x, y, w, h of each view's window as shares of the image, and whether it is flipped.
    windows_N35: Tensor
    #: One 62-bit number per image, the seed of the RPN's sampling.
    seed_N: Tensor
    #: Images that could not be read and were replaced by others.
    replaced_N: Tensor
    #: int64 number of each image in the training set.
    image_N: Tensor
    #: uint8 (N, S, S, 3): cached images, out of which the views are still to be cut (`adept_training.data.cuts`).
    squares_NSS3: Tensor | tuple[()] = ()


Sample = TypeVar("Sample")


class Sealed(Generic[Sample]):
    """A batch that Fabric's precision plugin does not touch: it would round boxes in pixels to bfloat16."""

    def __init__(self, batch: Sample) -> None:
        self.batch = batch


@dataclass(frozen=True)
class ImageSamples(Dataset[Sample]):
    """Samples of a run's images by (epoch, index); a subclass draws them."""

    source: ImageSource
    table: BoxTable
    keys: tuple[str, ...]
    views: ViewsRecipe
    colors: PhotometricRecipe
    seed: int
    #: Decoded images in the order of ``keys``.
    cache: PixelCache | None = None

    def __getitem__(self, place: tuple[int, int]) -> Sample:
        """Draw one sample as arrays without the leading N.

        Raises:
            ImagesError: eight images in a row cannot be read.
            ProposalsError: the image differs in size from the one that its boxes were computed on.
        """
        epoch, index = place
        for attempt in range(_ATTEMPTS):
            row = (index + attempt) % len(self.keys)
            try:
                pixels, size = self.read(row)
            except ImageDecodeError as error:
                last = error
                continue
            return self._sample(pixels, size, self.table.boxes(self.keys[row]), (epoch, index), row, attempt > 0)
        raise ImagesError(f"{_ATTEMPTS} images in a row cannot be read. The last: {last}")

    def read(self, row: int) -> tuple[Pixels, tuple[int, int]]:
        """Return an image, or its square of the cache, and the image's own width and height.

        Raises:
            ImageDecodeError: it cannot be read.
            ProposalsError: the image differs in size from the one that its boxes were computed on.
        """
        pixels, size = self._pixels(row)
        if isinstance(self.table, ProposalTable):
            self.table.check_size(self.keys[row], size)
        return pixels, size

    def _pixels(self, row: int) -> tuple[Pixels, tuple[int, int]]:
        key = self.keys[row]
        if self.cache is None:
            image = decode(self.source.read(key), key)
            return image, (image.shape[1], image.shape[0])
        size = self.cache.size(row)
        if size == (0, 0):
            raise ImageDecodeError(f"{key} was not readable when the cache was written.")
        return self.cache.square(row), size

    def _sample(
        self,
        pixels: Pixels,
        size: tuple[int, int],
        boxes_M4: Array,
        place: tuple[int, int],
        number: int,
        replaced: bool,
    ) -> Sample:
        raise NotImplementedError

    @staticmethod
    def collate(samples: list[Sample]) -> Sample:
        """Stack samples, and plan their colors while they are on the host."""
        raise NotImplementedError


@dataclass(frozen=True)
class Samples(ImageSamples[Batch]):
    """Three views by (epoch, index)."""

    def _sample(
        self,
        pixels: Pixels,
        size: tuple[int, int],
        boxes_M4: Array,
        place: tuple[int, int],
        number: int,
        replaced: bool,
    ) -> Batch:
        rng = np.random.default_rng([self.seed, *place])
        if self.cache is None:
            drawn = draw_views(rng, pixels, boxes_M4, self.views)
        else:
            drawn = draw_geometry(rng, size, boxes_M4, self.views)[1]
        in_view = (drawn.boxes1_S[0], drawn.boxes2, drawn.boxes3)
        views = tuple(
            ViewBatch(cut, draw_colors(rng, self.colors, i, boxes.boxes_K4, side))  # type: ignore[arg-type]  # an array
            for i, (cut, boxes, side) in enumerate(zip(drawn.pixels, in_view, self.views.sizes, strict=True))
        )
        return Batch(
            views,  # type: ignore[arg-type]  # three of them
            tuple(BoxBatch(*boxes) for boxes in drawn.boxes1_S),  # type: ignore[arg-type]  # arrays until collated
            BoxBatch(*drawn.boxes2),  # type: ignore[arg-type]
            BoxBatch(*drawn.boxes3),  # type: ignore[arg-type]
            BoxBatch(*drawn.targets1),  # type: ignore[arg-type]
            BoxBatch(*drawn.others1),  # type: ignore[arg-type]
            drawn.windows_35,  # type: ignore[arg-type]
            rng.integers(1 << 62),  # type: ignore[arg-type]
            np.bool_(replaced),  # type: ignore[arg-type]
            np.int64(number),  # type: ignore[arg-type]
            () if self.cache is None else pixels,  # type: ignore[arg-type]
        )

    @staticmethod
    def collate(samples: list[Batch]) -> Batch:
        """Stack samples, and plan their colors while they are on the host."""
        batch: Batch = default_collate(samples)
        one, two, three = (view._replace(plan=plan_colors(view.colors)) for view in batch.views)
        return batch._replace(views=(one, two, three))


@dataclass(frozen=True)
class Order:
    """The order of images: a new permutation per epoch, cut into global batches, the incomplete one dropped."""

    images: int
    batch_size: int
    seed: int
    rank: int = 0
    world_size: int = 1

    @property
    def steps_per_epoch(self) -> int:
        return self.images // self.batch_size

    def places(self, step: int) -> list[tuple[int, int]]:
        """Return the (epoch, index) pairs of this process's share of the global batch of ``step``."""
        epoch, batch = divmod(step, self.steps_per_epoch)
        order = np.random.default_rng([self.seed, epoch, 0x5EED]).permutation(self.images)
        share = self.batch_size // self.world_size
        first = batch * self.batch_size + self.rank * share
        return [(epoch, int(i)) for i in order[first : first + share]]


@dataclass(frozen=True)
class Steps:
    """A batch sampler over the steps ``start`` to ``stop`` of a run."""

    order: Order
    start: int
    stop: int

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        return (self.order.places(step) for step in range(self.start, self.stop))

    def __len__(self) -> int:
        return self.stop - self.start


def make_loader(samples: ImageSamples[Sample], steps: Steps, workers: int, *, pin: bool = False) -> DataLoader[Sample]:
    """Create the loader of the batches of the given steps, in order."""
    return DataLoader(
        samples,
        batch_sampler=steps,
        **worker_options(workers),
        collate_fn=samples.collate,
        pin_memory=pin,
        prefetch_factor=4 if workers else None,
    )
