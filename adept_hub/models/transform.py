"""Antialiased resizing for the detector; torchvision's samples single pixels when an image is reduced."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor
from torchvision.models.detection.transform import GeneralizedRCNNTransform


class AntialiasedTransform(GeneralizedRCNNTransform):  # type: ignore[misc]  # torchvision is untyped
    """torchvision's transform with antialiasing, as in PIL's resize.

    Pre-training's views and Detectron2's images are resized by PIL. Without antialiasing, an image reduced to half its
    size has horizontal gradients about 14 % larger. Sizes, boxes, masks, mean and std are torchvision's; an image that
    is enlarged is the same in both.
    """

    def resize(self, image: Tensor, target: dict[str, Tensor] | None = None) -> tuple[Tensor, dict[str, Tensor] | None]:
        """Resize an image float (3, H, W) and its target to a random side (training) or the last one (evaluation)."""
        one_channel, target = super().resize(image[:1], target)
        size = one_channel.shape[-2:]
        if size == image.shape[-2:]:
            return image, target
        return F.interpolate(image[None], size=size, mode="bilinear", align_corners=False, antialias=True)[0], target
