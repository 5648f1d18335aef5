"""RoIAlign over the pyramid as in Detectron2 and MMDetection, with torchvision's interface.

Legend: K boxes of the whole batch, C channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torchvision.ops import MultiScaleRoIAlign, roi_align

from adept_hub.errors import UnsupportedDetectorError
from adept_hub.spec import LevelSpec

#: A box of this square-root area (pixels of the network input) is assigned to P4 (FPN, Eq. 1).
CANONICAL_SIZE = 224.0


def canonical_size_of(levels: LevelSpec) -> float:
    """Return the canonical size with which FPN's rule assigns boxes as ``levels``, but for boxes exactly at a limit.

    Raises:
        UnsupportedDetectorError: the limits are not an octave apart, which FPN's rule cannot express.
    """
    finest, canonical, coarsest = levels.upper[:3]
    if (2 * finest, 2 * canonical) != (canonical, coarsest):
        raise UnsupportedDetectorError(
            f"Level limits of {levels.upper} px are not an octave apart: no framework's pooler supports them.\n"
            "Use levels='stock'."
        )
    return canonical


def canonical_levels(boxes_K4: Tensor, num_levels: int, canonical_size: float = CANONICAL_SIZE) -> Tensor:
    """Return the level (K,) int64, P2 = 0, of each xyxy box by FPN's rule: floor(4 + log2(sqrt(wh) / canonical))."""
    wh = boxes_K4[:, 2:] - boxes_K4[:, :2]
    size_K = wh.prod(dim=1).clamp(min=0).sqrt()
    levels_K = torch.floor(4 + torch.log2(size_K / canonical_size + 1e-8)) - 2
    return levels_K.clamp(0, num_levels - 1).to(torch.int64)


class PyramidRoIAlign(MultiScaleRoIAlign):  # type: ignore[misc]  # torchvision is untyped
    """RoIAlign with half-pixel alignment and adaptive sampling at fixed strides.

    torchvision's MultiScaleRoIAlign has no option for alignment and samples 2 x 2 points, unlike the pre-training of
    the RoI head (SoCo: aligned, adaptive).

    Args:
        featmap_names: levels to pool from, P2 first.
        output_size: side of the pooled features.
        strides: pixels between neighboring locations of each level.
        canonical_size: minimum square-root area (pixels) of a box on P4.
    """

    def __init__(
        self,
        featmap_names: list[str],
        output_size: int,
        strides: tuple[int, ...],
        canonical_size: float = CANONICAL_SIZE,
    ) -> None:
        super().__init__(featmap_names, output_size, sampling_ratio=0)
        self.strides = strides
        self.canonical_size = canonical_size

    def forward(self, x: dict[str, Tensor], boxes: list[Tensor], image_shapes: list[tuple[int, int]]) -> Tensor:
        """Pool features (K, C, output_size, output_size) of xyxy boxes in pixels of the padded network input."""
        feats = [x[name] for name in self.featmap_names]
        boxes_K4 = torch.cat(boxes)
        # Not len(), which would become a constant in a trace for ONNX.
        image_K1 = torch.cat([b.new_full((b.shape[0], 1), i) for i, b in enumerate(boxes)])
        rois_K5 = torch.cat([image_K1, boxes_K4], dim=1)
        levels_K = canonical_levels(boxes_K4, len(feats), self.canonical_size)
        pooled = feats[0].new_zeros((rois_K5.shape[0], feats[0].shape[1], *self.output_size))
        for level, (feat, stride) in enumerate(zip(feats, self.strides, strict=True)):
            (at,) = torch.where(levels_K == level)
            crops = roi_align(feat, rois_K5[at].to(feat.dtype), self.output_size, 1 / stride, 0, aligned=True)
            pooled = pooled.index_copy(0, at, crops)
        return pooled


def make_pooler(
    pooling: Literal["aligned", "unaligned"],
    levels: Sequence[str],
    size: int,
    strides: tuple[int, ...],
    canonical_size: float = CANONICAL_SIZE,
) -> MultiScaleRoIAlign:
    """Return the RoIAlign of a spec (``DetectorSpec.pooling``), with the other arguments of `PyramidRoIAlign`."""
    if pooling == "aligned":
        return PyramidRoIAlign(list(levels), size, strides, canonical_size)
    return MultiScaleRoIAlign(list(levels), size, sampling_ratio=2, canonical_scale=canonical_size)
