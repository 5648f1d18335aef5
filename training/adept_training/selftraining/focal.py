"""Focal class loss of Unbiased Teacher (arXiv 2102.09480) in torchvision's RoI heads.

Legend: R boxes of the batch, C classes with the background.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN

from adept_training.finetuning.losses import Detectron2RoIHeads, OtherRoIHeads, as_subclass

#: Exponent of their code.
GAMMA = 1.5


def focal_loss(logits_RC: Tensor, labels_R: Tensor) -> Tensor:
    """Return the mean over boxes of (1 - p) ** gamma * -log(p), p being the probability of the label."""
    log_R = F.cross_entropy(logits_RC, labels_R, reduction="none")
    return ((1 - torch.exp(-log_R)) ** GAMMA * log_R).sum() / max(len(labels_R), 1)


class FocalRoIHeads(OtherRoIHeads):
    """torchvision's RoI heads with a focal class loss."""

    def other_losses(self, logits_RC: Tensor, deltas_RD: Tensor) -> dict[str, Tensor]:
        """Return the focal ``loss_classifier``."""
        loss = focal_loss(logits_RC, self._labels_R)
        return super().other_losses(logits_RC, deltas_RD) | {"loss_classifier": loss}


class FocalDetectron2RoIHeads(FocalRoIHeads, Detectron2RoIHeads):
    """The same with Detectron2's box loss."""


def use_focal_loss(model: GeneralizedRCNN) -> None:
    """Replace the class loss of a detector with one box predictor; its tensors stay the same objects."""
    kind = FocalDetectron2RoIHeads if isinstance(model.roi_heads, Detectron2RoIHeads) else FocalRoIHeads
    model.roi_heads = as_subclass(kind, model.roi_heads)
