"""Copy-paste between training images (Ghiasi et al., arXiv 2012.07177; of boxes, Dwibedi et al., 1708.01642).

Legend: C channels, H x W of the image, M objects.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from adept_training.finetuning.augment import Target, View, of_masks, whole

#: Probability that an object is pasted.
SHARE = 0.5
#: Largest share of a box that pasted boxes may hide; without masks, the box of what remains is not known.
_HIDDEN = 0.5
#: Locations that are tried per object.
_TRIES = 5


def paste_objects(onto: View, donor: View, key: Sequence[int]) -> View:
    """Return ``onto`` with objects of ``donor`` pasted at random locations, in their own size.

    With masks, the pixels of a mask are pasted, and masks and boxes below lose what is hidden. Without masks, those of
    a box are, only if it overlaps no other object or ignored region of ``donor``, so that nothing unlabeled comes
    along, and only where it hides no object by more than half. Ignored regions are never pasted.

    Args:
        onto: image to paste on.
        donor: image whose objects are copied; it may be the same.
        key: numbers that all random choices are a function of, such as (seed, epoch, index).
    """
    rng = np.random.default_rng([*key, 0xC0B7])
    pixels_CHW, target = onto.pixels_CHW.clone(), dict(onto.target)
    height, width = pixels_CHW.shape[1:]
    hidden_M = torch.zeros(len(target["labels"]))
    for place, (x1, y1, x2, y2) in enumerate(whole(donor.target["boxes"]).tolist()):
        room_y, room_x = height - (y2 - y1), width - (x2 - x1)
        if rng.random() >= SHARE or min(room_y, room_x) < 0 or not _alone(donor, place):
            continue
        for _ in range(_TRIES):
            dy, dx = int(rng.integers(room_y + 1)) - y1, int(rng.integers(room_x + 1)) - x1
            area_M, over_M = _overlap(target["boxes"], (x1 + dx, y1 + dy, x2 + dx, y2 + dy))
            if "masks" in target or bool((hidden_M + over_M <= _HIDDEN * area_M).all()):
                break
        else:
            continue
        there = (slice(y1 + dy, y2 + dy), slice(x1 + dx, x2 + dx))
        shape_HW = torch.ones(y2 - y1, x2 - x1, dtype=torch.bool)
        if "masks" in target:
            shape_HW = donor.target["masks"][place, y1:y2, x1:x2] > 0
        window_CHW = pixels_CHW[:, there[0], there[1]]
        window_CHW[:] = torch.where(shape_HW, donor.pixels_CHW[:, y1:y2, x1:x2], window_CHW)
        row = {name: rows[place : place + 1] for name, rows in donor.target.items() if name != "masks"}
        row["boxes"] = row["boxes"] + row["boxes"].new_tensor([dx, dy, dx, dy])
        target = _joined(target, row, there, shape_HW)
        hidden_M = torch.cat([hidden_M + over_M, hidden_M.new_zeros(1)])
    return View(pixels_CHW, of_masks(target), onto.ignored_K4)


def _alone(donor: View, place: int) -> bool:
    """Check that the pixels of an object contain no other; a mask's never do."""
    if "masks" in donor.target:
        return True
    boxes_M4 = donor.target["boxes"]
    others = torch.cat([boxes_M4[:place], boxes_M4[place + 1 :], donor.ignored_K4])
    corners = whole(boxes_M4[place : place + 1])[0].tolist()
    return not bool(_overlap(others, corners)[1].any())


def _overlap(boxes_M4: Tensor, corners: Sequence[float]) -> tuple[Tensor, Tensor]:
    """Return the areas of boxes, and of their intersections with one rectangle, in square pixels."""
    x1, y1, x2, y2 = corners
    wide_M = boxes_M4[:, 2].clamp(max=x2) - boxes_M4[:, 0].clamp(min=x1)
    high_M = boxes_M4[:, 3].clamp(max=y2) - boxes_M4[:, 1].clamp(min=y1)
    area_M = (boxes_M4[:, 2] - boxes_M4[:, 0]) * (boxes_M4[:, 3] - boxes_M4[:, 1])
    return area_M, wide_M.clamp(min=0) * high_M.clamp(min=0)


def _joined(target: Target, row: Target, there: tuple[slice, slice], shape_HW: Tensor) -> Target:
    """Return the objects with one more, which hides those below."""
    joined = {name: torch.cat([target[name], one]) for name, one in row.items()}
    if "masks" in target:
        mask_HW = torch.zeros_like(target["masks"][:1])
        mask_HW[0][there] = shape_HW.to(mask_HW.dtype)
        joined["masks"] = torch.cat([target["masks"] * (1 - mask_HW), mask_HW])
    return joined
