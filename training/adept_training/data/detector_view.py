"""One view of an image for a detector's own losses: a random crop, mirrored at random, with the boxes that it shows.

The table lists an image's boxes from the best on: the first `ViewsRecipe.boxes` are objects. Boxes that the crop cuts
off, and the next `ViewsRecipe.other_boxes` of the list, are neither objects nor background.

Legend: N images, M boxes of the image, K objects, O other boxes. Boxes are float32 xyxy as in
`adept_training.data.views`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from PIL import Image
from torch import Tensor
from torch.utils.data import default_collate

from adept_training.data.arrays import Array, Bools, Pixels
from adept_training.data.loader import BoxBatch, ImageSamples, ViewBatch
from adept_training.data.photometric import draw_colors, plan_colors
from adept_training.data.views import UNCUT, Boxes, ViewsRecipe, Window, is_whole, random_crop

#: A box of which the crop shows a smaller share of its area is not an object.
VISIBLE = 0.5


class DetectorBatch(NamedTuple):
    """Inputs of a training step; see `adept_training.data.loader.Batch` for the fields that both have."""

    view: ViewBatch
    #: Objects; ids are ranks in the image's list, from 0.
    objects: BoxBatch
    #: Boxes that are neither objects nor background, O of them.
    others: BoxBatch
    window_N5: Tensor
    seed_N: Tensor
    replaced_N: Tensor
    image_N: Tensor
    squares_NSS3: Tensor | tuple[()] = ()


@dataclass(frozen=True)
class DetectorSamples(ImageSamples[DetectorBatch]):
    """One view by (epoch, index), of the side of V1."""

    def _sample(
        self,
        pixels: Pixels,
        size: tuple[int, int],
        boxes_M4: Array,
        place: tuple[int, int],
        number: int,
        replaced: bool,
    ) -> DetectorBatch:
        rng = np.random.default_rng([self.seed, *place])
        window = draw_window(rng, size, self.views)
        objects, others = show_boxes(window, boxes_M4, size, self.views)
        view = UNCUT if self.cache is not None else window.cut(Image.fromarray(pixels))
        share = [window.x / size[0], window.y / size[1], window.w / size[0], window.h / size[1], window.flip]
        return DetectorBatch(
            ViewBatch(view, draw_colors(rng, self.colors, 0, objects.boxes_K4, window.size)),  # type: ignore[arg-type]  # arrays until collated
            BoxBatch(*objects),  # type: ignore[arg-type]
            BoxBatch(*others),  # type: ignore[arg-type]
            np.array(share, np.float32),  # type: ignore[arg-type]
            rng.integers(1 << 62),  # type: ignore[arg-type]
            np.bool_(replaced),  # type: ignore[arg-type]
            np.int64(number),  # type: ignore[arg-type]
            () if self.cache is None else pixels,  # type: ignore[arg-type]
        )

    @staticmethod
    def collate(samples: list[DetectorBatch]) -> DetectorBatch:
        """Stack samples, and plan their colors while they are on the host."""
        batch: DetectorBatch = default_collate(samples)
        return batch._replace(view=batch.view._replace(plan=plan_colors(batch.view.colors)))


def draw_window(rng: np.random.Generator, size: tuple[int, int], recipe: ViewsRecipe) -> Window:
    """Draw a crop of an image of ``size`` (width, height) and whether it is mirrored."""
    crop = random_crop(rng, size, recipe.crop_scale, recipe.crop_ratio)
    return Window(*crop, recipe.sizes[0], bool(rng.random() < recipe.flip))


def show_boxes(window: Window, boxes_M4: Array, size: tuple[int, int], recipe: ViewsRecipe) -> tuple[Boxes, Boxes]:
    """Return the objects in a window, K of them, and the other boxes, O = K + ``other_boxes``.

    Rows that are filled up, or are outside the window, are the whole view and not real.

    Args:
        window: the view's.
        boxes_M4: the image's boxes in its pixels, the best first.
        size: width and height of the image in pixels.
        recipe: numbers of boxes.
    """
    boxes_M4 = boxes_M4[: recipe.boxes + recipe.other_boxes]
    shown_M4 = window.project(boxes_M4)
    area_M = np.prod(boxes_M4[:, 2:].astype(np.float64) - boxes_M4[:, :2], axis=1)
    scale = (window.size / window.w) * (window.size / window.h)
    share_M = np.prod(shown_M4[:, 2:].astype(np.float64) - shown_M4[:, :2], axis=1) / np.maximum(area_M * scale, 1e-9)
    listed_M = (np.arange(len(boxes_M4)) < recipe.boxes) & ~is_whole(boxes_M4, size)
    object_M = listed_M & (share_M >= VISIBLE)
    other_M = ~object_M & ~is_whole(boxes_M4, size) & (share_M > 0)
    most = recipe.boxes + recipe.other_boxes
    return _filled(shown_M4, object_M, recipe.boxes, window.size), _filled(shown_M4, other_M, most, window.size)


def _filled(shown_M4: Array, use_M: Bools, count: int, side: int) -> Boxes:
    """Return the boxes in use at the ranks that they have, and whole views, which are not real, for all other ranks."""
    boxes_K4 = np.tile(np.array([0, 0, side, side], np.float32), (count, 1))
    real_K = np.zeros(count, np.bool_)
    rank = np.flatnonzero(use_M)
    boxes_K4[rank], real_K[rank] = shown_M4[rank], True
    return Boxes(boxes_K4, np.arange(count), real_K)
