"""RoIAlign over the pyramid, as Detectron2 and MMDetection do it, in torchvision's interface.

Legend: K boxes of the whole batch, C channels.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.ops import MultiScaleRoIAlign, roi_align

#: A box of this square-root area (pixels of the network input) belongs to P4 (FPN, Eq. 1).
CANONICAL_SIZE = 224.0


def canonical_levels(boxes_K4: Tensor, num_levels: int) -> Tensor:
    """Index (K,) int64 of the level of each xyxy box by FPN's rule: floor(4 + log2(sqrt(wh) / 224)), P2 = 0."""
    wh = boxes_K4[:, 2:] - boxes_K4[:, :2]
    size_K = wh.prod(dim=1).clamp(min=0).sqrt()
    levels_K = torch.floor(4 + torch.log2(size_K / CANONICAL_SIZE + 1e-8)) - 2
    return levels_K.clamp(0, num_levels - 1).to(torch.int64)


class PyramidRoIAlign(MultiScaleRoIAlign):  # type: ignore[misc]  # torchvision is untyped
    """RoIAlign with half-pixel alignment and adaptive sampling at fixed strides.

    torchvision's own MultiScaleRoIAlign has no alignment option and samples 2 x 2 points, which is not what the RoI
    head was pre-trained with (SoCo: aligned, adaptive).
    """

    def __init__(self, featmap_names: list[str], output_size: int, strides: tuple[int, ...]) -> None:
        super().__init__(featmap_names, output_size, sampling_ratio=0)
        self.strides = strides

    def forward(self, x: dict[str, Tensor], boxes: list[Tensor], image_shapes: list[tuple[int, int]]) -> Tensor:
        """Pooled features (K, C, output_size, output_size) of xyxy boxes in pixels of the padded network input."""
        feats = [x[name] for name in self.featmap_names]
        boxes_K4 = torch.cat(boxes)
        # Not len(): a trace for ONNX would make a constant of it.
        image_K1 = torch.cat([b.new_full((b.shape[0], 1), i) for i, b in enumerate(boxes)])
        rois_K5 = torch.cat([image_K1, boxes_K4], dim=1)
        levels_K = canonical_levels(boxes_K4, len(feats))
        pooled = feats[0].new_zeros((rois_K5.shape[0], feats[0].shape[1], *self.output_size))
        for level, (feat, stride) in enumerate(zip(feats, self.strides, strict=True)):
            (at,) = torch.where(levels_K == level)
            crops = roi_align(feat, rois_K5[at].to(feat.dtype), self.output_size, 1 / stride, 0, aligned=True)
            pooled = pooled.index_copy(0, at, crops)
        return pooled
