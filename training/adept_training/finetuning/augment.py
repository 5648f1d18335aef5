"""Strong augmentation of a training image: torchvision's transforms, with boxes, masks and ignored regions following.

Legend: C channels, H x W of the image, M objects, K regions to ignore, B both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.ops import masks_to_boxes
from torchvision.transforms import v2

Target = dict[str, Tensor]

#: Soft Teacher's range of the strong view's size (arXiv 2106.09018): 0.5 to 1.5 times the image.
SCALES = (0.5, 1.5)
#: Color of what is behind a smaller image and of erased rectangles: the mean of ImageNet, near zero for the network.
_FILL = (124, 116, 104)
#: Images with a shorter side, in pixels, are only flipped: the blur's kernel does not fit in smaller ones.
_SMALLEST = 16
#: Unbiased Teacher's strong colors (arXiv 2102.09480).
_COLORS = v2.Compose([
    v2.RandomApply([v2.ColorJitter(0.4, 0.4, 0.4, 0.1)], p=0.8),
    v2.RandomGrayscale(p=0.2),
    v2.RandomApply([v2.GaussianBlur(9, sigma=(0.1, 2.0))], p=0.5),
])  # fmt: skip
#: Unbiased Teacher's three rectangles, filled with the mean color instead of noise.
_ERASE = v2.Compose([
    v2.RandomErasing(p=0.7, scale=(0.05, 0.2), ratio=(0.3, 3.3), value=_FILL),
    v2.RandomErasing(p=0.5, scale=(0.02, 0.2), ratio=(0.1, 6.0), value=_FILL),
    v2.RandomErasing(p=0.3, scale=(0.02, 0.2), ratio=(0.05, 8.0), value=_FILL),
])  # fmt: skip


@dataclass(frozen=True)
class View:
    """An image and what is on it.

    Attributes:
        pixels_CHW: RGB uint8.
        target: ``boxes`` (M, 4), float32 xyxy in pixels, right and bottom edges exclusive; ``labels`` (M,); ``masks``
            uint8 (M, H, W) of detectors of masks; any other tensor has one row per object.
        ignored_K4: boxes of crowds and of objects that are not trained on.
    """

    pixels_CHW: Tensor
    target: Target
    ignored_K4: Tensor


def strong_view(view: View, flip: float, key: Sequence[int]) -> View:
    """Return an image flipped, scaled, cropped or padded to its own size, recolored and erased outside boxes.

    Objects of which less than a pixel is left are dropped. With masks, boxes are those of the remaining masks.

    Args:
        flip: probability of a mirrored image.
        key: numbers that all random choices are a function of, such as (seed, epoch, index).
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(np.random.default_rng([*key, 0x57406]).integers(2**63)))
        pixels_CHW, target, ignored_K4 = _moved(view, flip)
        if min(pixels_CHW.shape[1:]) >= _SMALLEST:
            pixels_CHW = _COLORS(tv_tensors.Image(pixels_CHW))
            boxes_B4 = torch.cat([target["boxes"], ignored_K4])
            # The rectangles go behind the boxes: no label is on pixels that are gone.
            pixels_CHW = torch.where(inside(boxes_B4, pixels_CHW), pixels_CHW, _ERASE(pixels_CHW))
    return View(pixels_CHW.as_subclass(Tensor), target, ignored_K4)


def _moved(view: View, flip: float) -> tuple[Tensor, Target, Tensor]:
    height, width = view.pixels_CHW.shape[1:]
    steps: list[Any] = [v2.RandomHorizontalFlip(flip)]
    if min(height, width) >= _SMALLEST:
        # A square target is the image's own longer side in every version, whichever of its sides comes first.
        fill = {tv_tensors.Image: _FILL, "others": 0}
        steps += [
            v2.ScaleJitter((max(height, width),) * 2, SCALES, antialias=True),
            v2.RandomCrop((height, width), pad_if_needed=True, fill=fill),
        ]
    extra = {name: rows for name, rows in view.target.items() if name not in ("boxes", "masks")}
    objects: dict[str, Any] = {"boxes": _boxes(view.target["boxes"], height, width), **extra}
    if "masks" in view.target:
        objects["masks"] = tv_tensors.Mask(view.target["masks"])
    ignored = {"boxes": _boxes(view.ignored_K4, height, width)}
    pixels_CHW, objects, ignored = v2.Compose(steps)(tv_tensors.Image(view.pixels_CHW), objects, ignored)
    objects = v2.SanitizeBoundingBoxes(labels_getter=lambda rows: tuple(rows[name] for name in extra))(objects)
    ignored = v2.SanitizeBoundingBoxes(labels_getter=None)(ignored)
    target = {name: rows.as_subclass(Tensor) for name, rows in objects.items()}
    return pixels_CHW, of_masks(target), ignored["boxes"].as_subclass(Tensor)


def _boxes(boxes_B4: Tensor, height: int, width: int) -> Any:
    return tv_tensors.BoundingBoxes(boxes_B4, format="XYXY", canvas_size=(height, width))


def of_masks(target: Target) -> Target:
    """Return the objects whose masks have pixels, with the boxes of those; a target without masks is unchanged."""
    if "masks" not in target:
        return target
    seen_M = (target["masks"] > 0).flatten(1).any(dim=1)
    kept = {name: rows[seen_M] for name, rows in target.items()}
    boxes_M4 = masks_to_boxes(kept["masks"])
    boxes_M4[:, 2:] += 1  # torchvision's are the last pixels' own coordinates
    return {**kept, "boxes": boxes_M4.to(target["boxes"].dtype)}


def inside(boxes_B4: Tensor, pixels_CHW: Tensor) -> Tensor:
    """Return which pixels, bool (H, W), a box touches."""
    inside_HW = torch.zeros(pixels_CHW.shape[1:], dtype=torch.bool)
    for x1, y1, x2, y2 in whole(boxes_B4).tolist():
        inside_HW[y1:y2, x1:x2] = True
    return inside_HW


def whole(boxes_B4: Tensor) -> Tensor:
    """Return boxes as int64, enlarged to whole pixels."""
    return torch.cat([boxes_B4[:, :2].floor(), boxes_B4[:, 2:].ceil()], dim=1).long().clamp(min=0)
