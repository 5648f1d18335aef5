"""Three-stage RoI heads of Cascade R-CNN, which torchvision lacks, with torchvision's interface.

The algorithm is Detectron2's ``CascadeROIHeads`` (class-agnostic boxes, IoU 0.5 / 0.6 / 0.7), after Cai and
Vasconcelos, "Cascade R-CNN", 2018, section 4.

Legend: R boxes of the whole batch, C classes including the background (first, as in torchvision), D head features.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.detection._utils import BoxCoder
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.ops import batched_nms, box_iou, clip_boxes_to_image

#: Minimum IoU of each stage's foreground boxes, and the weights by which each stage's deltas are scaled.
STAGE_IOUS = (0.5, 0.6, 0.7)
STAGE_WEIGHTS = ((10.0, 10.0, 5.0, 5.0), (20.0, 20.0, 10.0, 10.0), (30.0, 30.0, 15.0, 15.0))


class AgnosticPredictor(nn.Module):
    """Predictor of class logits (R, C) and class-agnostic box deltas (R, 4)."""

    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__()
        self.cls_score = nn.Linear(in_channels, num_classes)
        self.bbox_pred = nn.Linear(in_channels, 4)
        nn.init.normal_(self.cls_score.weight, std=0.01)
        nn.init.normal_(self.bbox_pred.weight, std=0.001)
        nn.init.zeros_(self.cls_score.bias)
        nn.init.zeros_(self.bbox_pred.bias)

    def forward(self, features_RD: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits and deltas of head features."""
        return self.cls_score(features_RD), self.bbox_pred(features_RD)


class ScaleGradient(torch.autograd.Function):
    """Identity that multiplies the gradient by a factor."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, factor: float) -> Tensor:
        """Return the features unchanged."""
        ctx.factor = factor
        return features.view_as(features)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """Scale the gradient."""
        return gradient * ctx.factor, None


class CascadeRoIHeads(RoIHeads):  # type: ignore[misc]  # torchvision is untyped
    """A sequence of three box heads, each of which refines the boxes of the previous one.

    Args:
        single: the RoI heads of a Faster R-CNN, whose pooler, sampling and thresholds are reused. Its box head becomes
            that of the first stage; the others start as copies of it.
        in_channels: number of output features of the box head.
        num_classes: number of classes including the background.
    """

    def __init__(self, single: RoIHeads, in_channels: int, num_classes: int) -> None:
        nn.Module.__init__(self)
        self.__dict__.update({k: v for k, v in single.__dict__.items() if not k.startswith("_")})
        self.box_roi_pool = single.box_roi_pool
        self.mask_roi_pool = self.mask_head = self.mask_predictor = None
        self.keypoint_roi_pool = self.keypoint_head = self.keypoint_predictor = None
        self.box_head = nn.ModuleList([single.box_head, *(copy.deepcopy(single.box_head) for _ in STAGE_IOUS[1:])])
        self.box_predictor = nn.ModuleList([AgnosticPredictor(in_channels, num_classes) for _ in STAGE_IOUS])
        self.box_coders = [BoxCoder(weights) for weights in STAGE_WEIGHTS]

    def forward(
        self,
        features: dict[str, Tensor],
        proposals: list[Tensor],
        image_shapes: list[tuple[int, int]],
        targets: list[dict[str, Tensor]] | None = None,
    ) -> tuple[list[dict[str, Tensor]], dict[str, Tensor]]:
        """Compute detections in evaluation mode, or the losses of all stages in training mode.

        Args:
            features: the pyramid.
            proposals: xyxy boxes of each image, pixels of the padded network input.
            image_shapes: (height, width) of each image before padding.
            targets: ``boxes`` and ``labels`` of each image; only in training mode.
        """
        if self.training:
            proposals, _, _, _ = self.select_training_samples(proposals, targets)
        losses: dict[str, Tensor] = {}
        scores_RC: list[Tensor] = []
        for stage in range(len(self.box_head)):
            logits_RC, deltas_R4 = self.run_stage(stage, features, proposals, image_shapes)
            if self.training:
                losses |= self.stage_losses(stage, logits_RC, deltas_R4, proposals, targets or [])
            else:
                scores_RC.append(logits_RC.softmax(dim=1))
            proposals = self.refine(stage, deltas_R4.detach(), proposals, image_shapes)
        if self.training:
            return [], losses
        mean_RC = torch.split(torch.stack(scores_RC).mean(dim=0), [len(boxes) for boxes in proposals])
        return [self.detections(boxes, scores) for boxes, scores in zip(proposals, mean_RC, strict=True)], {}

    def run_stage(
        self, stage: int, features: dict[str, Tensor], proposals: list[Tensor], image_shapes: list[tuple[int, int]]
    ) -> tuple[Tensor, Tensor]:
        """Return the class logits (R, C) and deltas (R, 4) of one stage."""
        pooled = self.box_roi_pool(features, proposals, image_shapes)
        # The losses of the stages are summed, but their gradients on the shared features are averaged.
        pooled = ScaleGradient.apply(pooled, 1 / len(self.box_head))
        logits_RC, deltas_R4 = self.box_predictor[stage](self.box_head[stage](pooled))
        return logits_RC, deltas_R4

    def stage_losses(
        self,
        stage: int,
        logits_RC: Tensor,
        deltas_R4: Tensor,
        proposals: list[Tensor],
        targets: list[dict[str, Tensor]],
    ) -> dict[str, Tensor]:
        """Compute cross-entropy over all boxes, and L1 over foreground deltas divided by the number of all boxes."""
        labels, matched = zip(*(self.match(stage, b, t) for b, t in zip(proposals, targets, strict=True)), strict=True)
        labels_R, matched_R4 = torch.cat(labels), torch.cat(matched)
        goal_R4 = self.box_coders[stage].encode_single(matched_R4, torch.cat(proposals))
        foreground_R = labels_R > 0
        box_loss = (deltas_R4[foreground_R] - goal_R4[foreground_R]).abs().sum() / max(len(labels_R), 1)
        return {
            f"loss_classifier_stage{stage}": F.cross_entropy(logits_RC, labels_R),
            f"loss_box_reg_stage{stage}": box_loss,
        }

    def match(self, stage: int, boxes_R4: Tensor, target: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Return the label (0: background) and the matched ground truth of each box at the stage's IoU threshold."""
        if len(target["boxes"]) == 0:
            return boxes_R4.new_zeros(len(boxes_R4), dtype=torch.int64), boxes_R4
        iou_R, index_R = box_iou(boxes_R4, target["boxes"]).max(dim=1)
        labels_R = target["labels"][index_R].masked_fill(iou_R < STAGE_IOUS[stage], 0)
        return labels_R, target["boxes"][index_R].to(boxes_R4.dtype)

    def refine(
        self, stage: int, deltas_R4: Tensor, proposals: list[Tensor], image_shapes: list[tuple[int, int]]
    ) -> list[Tensor]:
        """Return the refined boxes: decoded, clipped, and in training mode without empty ones."""
        boxes_R4 = self.box_coders[stage].decode_single(deltas_R4, torch.cat(proposals))
        refined = []
        for boxes, shape in zip(torch.split(boxes_R4, [len(b) for b in proposals]), image_shapes, strict=True):
            clipped = clip_boxes_to_image(boxes, shape)
            # Not in evaluation mode, where the scores of all stages must refer to the same boxes.
            refined.append(clipped[(clipped[:, 2:] > clipped[:, :2]).all(dim=1)] if self.training else clipped)
        return refined

    def detections(self, boxes_R4: Tensor, scores_RC: Tensor) -> dict[str, Tensor]:
        """Return the best boxes of one image after non-maximum suppression per class."""
        index, label = torch.where(scores_RC[:, 1:] > self.score_thresh)
        boxes, scores, labels = boxes_R4[index], scores_RC[index, label + 1], label + 1
        keep = batched_nms(boxes, scores, labels, self.nms_thresh)[: self.detections_per_img]
        return {"boxes": boxes[keep], "labels": labels[keep], "scores": scores[keep]}
