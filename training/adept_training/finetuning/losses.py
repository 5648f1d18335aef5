"""Detectron2's losses in torchvision's detectors: the paper's figures are Detectron2's.

Both frameworks sample anchors and boxes alike and have the same classification losses. Detectron2's box losses are L1
(``SMOOTH_L1_BETA`` 0) where torchvision's are smooth L1 with a beta of 1/9, and it divides the RPN's by the number of
anchors asked for in a batch, where torchvision divides by those found. Cascade R-CNN's heads have L1 as they are.

Legend: A anchors of the batch, R boxes of the batch, C classes with the background.
"""

from __future__ import annotations

from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.models.detection.rpn import RegionProposalNetwork

Module = TypeVar("Module", bound=nn.Module)


class Detectron2RPN(RegionProposalNetwork):  # type: ignore[misc]  # torchvision is untyped
    """torchvision's RPN with the losses of Detectron2's (``RPN.losses``)."""

    def compute_loss(
        self, objectness: Tensor, pred_bbox_deltas: Tensor, labels: list[Tensor], regression_targets: list[Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Log loss of the sampled anchors and L1 of the positive ones, both over ``batch_size_per_image`` x images."""
        positive_A, negative_A = (torch.cat(masks) > 0 for masks in self.fg_bg_sampler(labels))
        share, sampled_A = self.fg_bg_sampler.batch_size_per_image * len(labels), positive_A | negative_A
        log_loss = F.binary_cross_entropy_with_logits(
            objectness.flatten()[sampled_A], positive_A[sampled_A].to(objectness.dtype), reduction="sum"
        )
        goal_A4 = torch.cat(regression_targets)
        return log_loss / share, F.l1_loss(pred_bbox_deltas[positive_A], goal_A4[positive_A], reduction="sum") / share


class Detectron2RoIHeads(RoIHeads):  # type: ignore[misc]  # torchvision is untyped
    """torchvision's RoI heads with the box loss of Detectron2's (``FastRCNNOutputLayers.box_reg_loss``)."""

    def select_training_samples(self, proposals: list[Tensor], targets: Any) -> Any:
        """As torchvision; what was selected is kept until the loss is computed."""
        selected = super().select_training_samples(proposals, targets)
        self._labels_R, self._goal_R4 = torch.cat(selected[2]), torch.cat(selected[3])
        return selected

    def forward(self, features: Any, proposals: Any, image_shapes: Any, targets: Any = None) -> Any:
        """As torchvision; in training ``loss_box_reg`` is the L1 of the foreground's deltas over all boxes."""
        deltas: list[Tensor] = []
        handle = self.box_predictor.register_forward_hook(lambda _, __, outputs: deltas.append(outputs[1]))
        try:
            found, losses = super().forward(features, proposals, image_shapes, targets)
        finally:
            handle.remove()
        if self.training:
            deltas_RC4 = deltas[0].reshape(len(deltas[0]), -1, 4)
            row = torch.nonzero(self._labels_R > 0).flatten()
            error = F.l1_loss(deltas_RC4[row, self._labels_R[row]], self._goal_R4[row], reduction="sum")
            losses["loss_box_reg"] = error / max(len(self._labels_R), 1)
        return found, losses


def use_detectron2_losses(model: GeneralizedRCNN) -> None:
    """Exchange the losses of a detector of torchvision's; its tensors stay the same objects."""
    model.rpn = _as(Detectron2RPN, model.rpn)
    if type(model.roi_heads) is RoIHeads:
        model.roi_heads = _as(Detectron2RoIHeads, model.roi_heads)


def _as(kind: type[Module], old: nn.Module) -> Module:
    new = kind.__new__(kind)
    new.__dict__.update(old.__dict__)
    return new
