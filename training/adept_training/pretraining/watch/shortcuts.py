"""Measure shortcuts in the RoI head's features: the color of a box, and the image that it comes from.

Legend: N images, M boxes, B boxes of all images, D dimensions.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from adept_training.pretraining.watch.probe import HeldOut

#: Nearest boxes whose images are compared.
NEAREST = 10
#: Boxes, evenly spaced, whose nearest are searched among all: there may be tens of thousands.
_MOST = 1000


def same_image_share(features_BD: Tensor, image_B: Tensor) -> float:
    """Return the share of the same image among the `NEAREST` other boxes of a box, by the cosine.

    The mean over all boxes is subtracted first. Of more than 1,000 boxes some are searched for, evenly spaced. NaN
    without ten other boxes.
    """
    if len(features_BD) <= NEAREST:
        return math.nan
    unit_BD = F.normalize(features_BD - features_BD.mean(dim=0), dim=1)
    rows = torch.arange(0, len(unit_BD), math.ceil(len(unit_BD) / _MOST), device=unit_BD.device)
    cosine = unit_BD[rows] @ unit_BD.T
    cosine[torch.arange(len(rows), device=rows.device), rows] = -math.inf
    nearest = cosine.topk(NEAREST, dim=1).indices
    return float((image_B[nearest] == image_B[rows][:, None]).float().mean())


def color_r2(features_BD: Tensor, color_B3: Tensor) -> float:
    """Return the share of the features' variance that a linear function of three colors explains (R², all dimensions).

    NaN with too few boxes for a regression, or without variance.
    """
    if len(features_BD) <= 4:
        return math.nan
    centered_BD, color_B3 = (x.double() - x.double().mean(dim=0) for x in (features_BD, color_B3))
    total = float(centered_BD.square().sum())
    if total == 0:
        return math.nan
    # The projection on an orthonormal basis of the colors; gray images have one color only.
    basis_B3, scale_3, _ = torch.linalg.svd(color_B3, full_matrices=False)
    basis_BC = basis_B3[:, scale_3 > 1e-6 * scale_3.max()]
    return float((basis_BC.T @ centered_BD).square().sum()) / total


def mean_colors(held: HeldOut) -> Tensor:
    """Return the mean RGB of all boxes, float32 (B, 3) in [0, 255], over the pixels whose centers they contain.

    A box that contains none has the color of the nearest pixel.
    """
    colors = []
    for pixels_HWC, boxes_M4 in zip(held.pixels_NHWC, held.boxes_M4, strict=True):
        height, width = pixels_HWC.shape[:2]
        for x1, y1, x2, y2 in boxes_M4.tolist():
            left, top = (min(max(math.ceil(low - 0.5), 0), most - 1) for low, most in ((x1, width), (y1, height)))
            right, bottom = max(math.ceil(x2 - 0.5), left + 1), max(math.ceil(y2 - 0.5), top + 1)
            colors.append(pixels_HWC[top:bottom, left:right].float().mean(dim=(0, 1)))
    return torch.stack(colors) if colors else torch.zeros(0, 3)


def measure_head(features_BD: Tensor, held: HeldOut, color_B3: Tensor) -> dict[str, float]:
    """Return both measurements by the log's names; those that are not numbers are left out.

    Args:
        features_BD: of all boxes of ``held``, in their order.
        color_B3: from `mean_colors`.
    """
    image_B = torch.cat([torch.full((len(boxes_M4),), i) for i, boxes_M4 in enumerate(held.boxes_M4)])
    image_B, color_B3 = image_B.to(features_BD.device), color_B3.to(features_BD.device)
    values = {
        "head_same_image": same_image_share(features_BD, image_B),
        "head_color_r2": color_r2(features_BD, color_B3),
    }
    return {name: value for name, value in values.items() if math.isfinite(value)}
