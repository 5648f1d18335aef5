"""Generate anchors exactly as Detectron2 and MMDetection do: unrounded, at fixed strides."""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.models.detection.anchor_utils import AnchorGenerator

from adept_hub.spec import AnchorSpec


class ExactAnchorGenerator(AnchorGenerator):  # type: ignore[misc]  # torchvision is untyped
    """torchvision's anchor generator without rounding and with fixed strides.

    torchvision rounds cell anchors to whole pixels and computes each level's stride as image size // grid size, which
    is wrong for P6 if P5 has an odd side (224 px: 56 instead of 64). Anchors are float32 xyxy in pixels of the padded
    network input, centered on (column * stride, row * stride).

    Args:
        sizes: square-root area of the anchors of each level, pixels.
        ratios: height / width, in channel order.
        strides: pixels between neighboring locations of each level.
    """

    def __init__(self, sizes: tuple[float, ...], ratios: tuple[float, ...], strides: tuple[int, ...]) -> None:
        if len(sizes) != len(strides):
            raise ValueError(f"{len(sizes)} anchor sizes for {len(strides)} strides")
        self.strides = strides
        super().__init__(tuple((size,) for size in sizes), (ratios,) * len(sizes))

    def generate_anchors(
        self,
        scales: tuple[float, ...],
        aspect_ratios: tuple[float, ...],
        dtype: torch.dtype = torch.float32,
        device: torch.device | None = None,
    ) -> Tensor:
        """Return the unrounded cell anchors (len(ratios) * len(scales), 4) around the origin."""
        device = device or torch.device("cpu")
        scale = torch.tensor(scales, dtype=torch.float64, device=device)
        root = torch.tensor(aspect_ratios, dtype=torch.float64, device=device).sqrt()
        w = (scale[None, :] / root[:, None]).flatten()
        h = (scale[None, :] * root[:, None]).flatten()
        return (torch.stack([-w, -h, w, h], dim=1) / 2).to(dtype)

    def grid_anchors(self, grid_sizes: list[list[int]], strides: list[list[Tensor]]) -> list[Tensor]:
        """Return the anchors (H * W * A, 4) of each level, row by row; torchvision's ``strides`` are ignored."""
        fixed = [
            [torch.tensor(s, device=cell.device)] * 2 for s, cell in zip(self.strides, self.cell_anchors, strict=True)
        ]
        anchors: list[Tensor] = super().grid_anchors(grid_sizes, fixed)
        return anchors


def make_generator(anchors: AnchorSpec, sizes: tuple[float, ...], strides: tuple[int, ...]) -> AnchorGenerator:
    """Return the anchor generator of a spec for anchors of ``sizes``, one per level."""
    if anchors.generator == "exact":
        return ExactAnchorGenerator(sizes, anchors.ratios, strides)
    if len(sizes) != len(strides):
        raise ValueError(f"{len(sizes)} anchor sizes for {len(strides)} strides")
    return AnchorGenerator(tuple((size,) for size in sizes), (anchors.ratios,) * len(sizes))
