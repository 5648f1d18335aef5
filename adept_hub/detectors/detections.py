"""Detections of one image.

Legend: D detections, best first; H x W of the image.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from adept_hub.detectors.masks import Rle, encode_mask

#: Least probability of a pixel inside a mask.
MASK_THRESHOLD = 0.5


@dataclass(frozen=True)
class Detections:
    """Boxes float64 xyxy in pixels of the image, continuous; labels from 1; masks as COCO RLE of the image's size."""

    boxes_D4: npt.NDArray[np.float64]
    scores_D: npt.NDArray[np.float64]
    labels_D: npt.NDArray[np.int64]
    masks: tuple[Rle, ...] | None = None

    @classmethod
    def none(cls) -> Detections:
        """Return zero detections."""
        return cls(np.zeros((0, 4)), np.zeros(0), np.zeros(0, np.int64))

    def __len__(self) -> int:
        return len(self.scores_D)


def as_detections(boxes_D4: Tensor, scores_D: Tensor, labels_D: Tensor, masks_D1HW: Tensor | None = None) -> Detections:
    """Return a detector's output as `Detections`; masks are probabilities in the whole image."""
    masks: tuple[Rle, ...] | None = None
    if masks_D1HW is not None:
        masks = tuple(map(encode_mask, (masks_D1HW[:, 0] > MASK_THRESHOLD).cpu().numpy()))
    return Detections(
        boxes_D4.double().cpu().numpy(), scores_D.double().cpu().numpy(), labels_D.to(torch.int64).cpu().numpy(), masks
    )
