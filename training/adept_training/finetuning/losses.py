"""Detectron2's losses in torchvision's detectors, because the paper's results were obtained with Detectron2.

Both frameworks sample anchors and boxes in the same way and have the same classification losses. Detectron2's box
losses are L1 (``SMOOTH_L1_BETA`` 0) where torchvision's are smooth L1 with a beta of 1/9, and it divides the RPN's by
the requested number of anchors in a batch, where torchvision divides by the sampled number. Cascade R-CNN already
uses L1.

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
    """torchvision's RPN with Detectron2's losses (``RPN.losses``)."""

    def compute_loss(
        self, objectness: Tensor, pred_bbox_deltas: Tensor, labels: list[Tensor], regression_targets: list[Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Compute the log loss of sampled anchors and L1 of positive ones over ``batch_size_per_image`` x images."""
        positive_A, negative_A = (torch.cat(masks) > 0 for masks in self.fg_bg_sampler(labels))
        share, sampled_A = self.fg_bg_sampler.batch_size_per_image * len(labels), positive_A | negative_A
        log_loss = F.binary_cross_entropy_with_logits(
            objectness.flatten()[sampled_A], positive_A[sampled_A].to(objectness.dtype), reduction="sum"
        )
        goal_A4 = torch.cat(regression_targets)
        return log_loss / share, F.l1_loss(pred_bbox_deltas[positive_A], goal_A4[positive_A], reduction="sum") / share


class OtherRoIHeads(RoIHeads):  # type: ignore[misc]  # torchvision is untyped
    """torchvision's RoI heads, some of whose losses a subclass computes from the predictor's outputs."""

    def select_training_samples(self, proposals: list[Tensor], targets: Any) -> Any:
        """Select samples as torchvision does, and keep them until the losses are computed."""
        selected = super().select_training_samples(proposals, targets)
        self._labels_R, self._goal_R4 = torch.cat(selected[2]), torch.cat(selected[3])
        return selected

    def forward(self, features: Any, proposals: Any, image_shapes: Any, targets: Any = None) -> Any:
        """Run torchvision's forward; in training `other_losses` replace those of the same name."""
        outputs: list[tuple[Tensor, Tensor]] = []
        handle = self.box_predictor.register_forward_hook(lambda _, __, output: outputs.append(output))
        try:
            detections, losses = super().forward(features, proposals, image_shapes, targets)
        finally:
            handle.remove()
        if self.training:
            losses |= self.other_losses(*outputs[0])
        return detections, losses

    def other_losses(self, logits_RC: Tensor, deltas_RD: Tensor) -> dict[str, Tensor]:
        """Return losses by torchvision's names."""
        return {}


class Detectron2RoIHeads(OtherRoIHeads):
    """torchvision's RoI heads with Detectron2's box loss (``FastRCNNOutputLayers.box_reg_loss``)."""

    def other_losses(self, logits_RC: Tensor, deltas_RD: Tensor) -> dict[str, Tensor]:
        """Return ``loss_box_reg``: the L1 of foreground deltas over all boxes."""
        deltas_RC4 = deltas_RD.reshape(len(deltas_RD), -1, 4)
        row = torch.nonzero(self._labels_R > 0).flatten()
        error = F.l1_loss(deltas_RC4[row, self._labels_R[row]], self._goal_R4[row], reduction="sum")
        return super().other_losses(logits_RC, deltas_RD) | {"loss_box_reg": error / max(len(self._labels_R), 1)}


def use_detectron2_losses(model: GeneralizedRCNN) -> None:
    """Replace the losses of a torchvision detector; its tensors stay the same objects."""
    model.rpn = as_subclass(Detectron2RPN, model.rpn)
    if type(model.roi_heads) is RoIHeads:
        model.roi_heads = as_subclass(Detectron2RoIHeads, model.roi_heads)


def as_subclass(kind: type[Module], old: nn.Module) -> Module:
    """Return a module of another class with the same tensors."""
    new = kind.__new__(kind)
    new.__dict__.update(old.__dict__)
    return new
