"""A detector's losses without the boxes that its teacher is not sure of, which are neither objects nor background.

Without this an object that the teacher finds with a score below the threshold teaches the student, as background, not
to find it. Soft Teacher (arXiv 2106.09018, section 3.2) weights background by the teacher's certainty instead.

Legend: A anchors, K unsure boxes, M rows of a target, R boxes.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.models.detection.rpn import RegionProposalNetwork
from torchvision.ops import box_iou

from adept_hub.models.cascade import STAGE_IOUS, CascadeRoIHeads
from adept_training.finetuning.augment import View
from adept_training.finetuning.losses import as_subclass

Target = dict[str, Tensor]

#: Label of a target's rows that are not sure; they are its last rows, so that indices of objects remain.
UNSURE = -1


def objects(target: Target) -> Target:
    """Return a target without its unsure rows."""
    sure_M = target["labels"] != UNSURE
    return {name: rows[sure_M] for name, rows in target.items()}


def with_unsure(view: View) -> View:
    """Return a view whose ignored regions are unsure rows of its target, which keeps boxes and labels only."""
    labels_M, unsure_K4 = view.target["labels"], view.ignored_K4
    boxes_M4 = torch.cat([view.target["boxes"], unsure_K4])
    labels_M = torch.cat([labels_M, labels_M.new_full((len(unsure_K4),), UNSURE)])
    return View(view.pixels_CHW, {"boxes": boxes_M4, "labels": labels_M}, unsure_K4)


def on_unsure(boxes_R4: Tensor, target: Target, iou: float) -> Tensor:
    """Return which boxes overlap an unsure one by at least ``iou``, bool (R,)."""
    unsure_K4 = target["boxes"][target["labels"] == UNSURE]
    if not len(unsure_K4):
        return torch.zeros(len(boxes_R4), dtype=torch.bool, device=boxes_R4.device)
    ious_RK: Tensor = box_iou(boxes_R4, unsure_K4.to(boxes_R4.dtype))
    return ious_RK.amax(dim=1) >= iou


class IgnoringRPN(RegionProposalNetwork):  # type: ignore[misc]  # torchvision is untyped
    """An RPN in which anchors on unsure boxes are not background."""

    def assign_targets_to_anchors(self, anchors: list[Tensor], targets: list[Target]) -> Any:
        """Assign as torchvision does; an anchor that an unsure box keeps from being background has label -1."""
        labels, matched = super().assign_targets_to_anchors(anchors, [objects(target) for target in targets])
        iou = self.proposal_matcher.low_threshold
        for labels_A, anchors_A4, target in zip(labels, anchors, targets, strict=True):
            labels_A[(labels_A == 0) & on_unsure(anchors_A4, target, iou)] = -1
        return labels, matched


class IgnoringRoIHeads(RoIHeads):  # type: ignore[misc]  # torchvision is untyped
    """RoI heads in which boxes on unsure ones are not background."""

    def select_training_samples(self, proposals: list[Tensor], targets: Any) -> Any:
        """Select as torchvision does, from objects and certain background."""
        self._unsure = targets
        return super().select_training_samples(proposals, [objects(target) for target in targets])

    def assign_targets_to_proposals(self, proposals: list[Tensor], *ground_truth: Any) -> Any:
        """Assign as torchvision does; a box that an unsure one keeps from being background has label -1."""
        matched, labels = super().assign_targets_to_proposals(proposals, *ground_truth)
        iou = self.proposal_matcher.low_threshold
        for labels_R, boxes_R4, target in zip(labels, proposals, self._unsure, strict=True):
            labels_R[(labels_R == 0) & on_unsure(boxes_R4, target, iou)] = -1
        return matched, labels


class IgnoringCascade(IgnoringRoIHeads, CascadeRoIHeads):
    """The same for a cascade, by the IoU of each stage."""

    def stage_losses(
        self, stage: int, logits_RC: Tensor, deltas_R4: Tensor, proposals: list[Tensor], targets: list[Target]
    ) -> dict[str, Tensor]:
        """Compute the losses of the boxes that are not on unsure ones only."""
        kept = []
        for boxes_R4, target in zip(proposals, targets, strict=True):
            labels_R, _ = self.match(stage, boxes_R4, objects(target))
            kept.append((labels_R > 0) | ~on_unsure(boxes_R4, target, STAGE_IOUS[stage]))
        kept_R = torch.cat(kept)
        if not bool(kept_R.any()):
            names = (f"loss_classifier_stage{stage}", f"loss_box_reg_stage{stage}")
            return dict(zip(names, (logits_RC.sum() * 0, deltas_R4.sum() * 0), strict=True))
        boxes = [boxes_R4[kept_R] for boxes_R4, kept_R in zip(proposals, kept, strict=True)]
        sure = [objects(target) for target in targets]
        return super().stage_losses(stage, logits_RC[kept_R], deltas_R4[kept_R], boxes, sure)


def ignore_unsure(model: GeneralizedRCNN) -> None:
    """Leave unsure rows of targets out of a detector's losses; its tensors stay the same objects."""
    model.rpn = _with(IgnoringRPN, model.rpn)
    cascade = isinstance(model.roi_heads, CascadeRoIHeads)
    model.roi_heads = _with(IgnoringCascade if cascade else IgnoringRoIHeads, model.roi_heads)


def _with(kind: type[nn.Module], old: nn.Module) -> nn.Module:
    """Return a module whose class has ``kind`` before its present one."""
    bases = (kind,) if issubclass(kind, type(old)) else (kind, type(old))
    return as_subclass(type(f"{kind.__name__}Of{type(old).__name__}", bases, {}), old)
