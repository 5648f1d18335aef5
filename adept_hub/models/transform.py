"""The detector's own resizing, which does not alias: torchvision's takes single pixels of a larger image."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor
from torchvision.models.detection.transform import GeneralizedRCNNTransform


class AntialiasedTransform(GeneralizedRCNNTransform):  # type: ignore[misc]  # torchvision is untyped
    """torchvision's transform with pixels averaged over the area that each new one covers, as PIL resizes.

    Pre-training's views and Detectron2's images are resized by PIL. Without averaging, an image that shrinks to a half
    has horizontal gradients about 14 % larger. Sizes, boxes, masks, mean and std are torchvision's; an image that is
    enlarged is the same in both.
    """

    def resize(self, image: Tensor, target: dict[str, Tensor] | None = None) -> tuple[Tensor, dict[str, Tensor] | None]:
        """The image float (3, H, W) and its target at the side drawn (training) or at the last one (testing)."""
        one_channel, target = super().resize(image[:1], target)
        size = one_channel.shape[-2:]
        if size == image.shape[-2:]:
            return image, target
        return F.interpolate(image[None], size=size, mode="bilinear", align_corners=False, antialias=True)[0], target
