"""Train a RoI head on pseudo-labeled boxes: sampling of its boxes, and its two losses (Fast R-CNN, section 2.3).

Legend: N images, K objects, O other boxes, P candidates per image, R sampled boxes of all images, C classes.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torchvision.models.detection._utils import BoxCoder
from torchvision.models.detection.roi_heads import fastrcnn_loss
from torchvision.ops import box_iou

from adept_training.data.loader import BoxBatch
from adept_training.method.precision import full
from adept_training.method.rpn import IGNORED, NEGATIVE, POSITIVE, RPNRecipe, sample_anchors

#: A candidate is an object at this IoU with one, and background below it with all.
POSITIVE_IOU = 0.5
#: Largest share of objects among the sampled boxes.
POSITIVE_FRACTION = 0.25
#: Weights of x, y, w, h in the boxes' deltas: those of every framework's box head.
DELTA_WEIGHTS = (10.0, 10.0, 5.0, 5.0)


class RoIs(NamedTuple):
    """Sampled boxes of all images.

    Attributes:
        boxes_R4: float32 xyxy in pixels of the view.
        image_R: int64 number of the image in the batch.
        class_R: int64, 0 for background.
        goal_R4: the object that a box is matched with; of background, any box.
    """

    boxes_R4: Tensor
    image_R: Tensor
    class_R: Tensor
    goal_R4: Tensor


@torch.no_grad()
def sample_rois(
    proposals: BoxBatch, objects: BoxBatch, class_NK: Tensor, others: BoxBatch, seed_N: Tensor, count: int
) -> RoIs:
    """Sample at most ``count`` boxes per image out of the proposals and the objects themselves.

    An object is a candidate with an IoU of at least 0.5 with some object; background are all others, except those that
    overlap a box in ``others`` by as much. An image without objects has no background either and is not sampled from.

    Args:
        proposals, objects, others: boxes in the view; those that are not real are left out.
        class_NK: int64 class of every object, from 1.
        seed_N: one number per image.
        count: number of boxes per image.
    """
    boxes_NP4 = torch.cat([proposals.boxes_NK4, objects.boxes_NK4], dim=1)
    real_NP = torch.cat([proposals.real_NK, objects.real_NK], dim=1) & objects.real_NK.any(dim=1, keepdim=True)
    overlap_NP, index_NP = _overlaps(boxes_NP4, objects).max(dim=2)
    apart_NP = _overlaps(boxes_NP4, others).amax(dim=2) < POSITIVE_IOU
    label_NP = torch.full_like(index_NP, IGNORED, dtype=torch.int8)
    label_NP.masked_fill_(real_NP & apart_NP & (overlap_NP < POSITIVE_IOU), NEGATIVE)
    label_NP.masked_fill_(real_NP & (overlap_NP >= POSITIVE_IOU), POSITIVE)
    recipe = RPNRecipe(batch_per_image=count, positive_fraction=POSITIVE_FRACTION)
    positive_NP, negative_NP = sample_anchors(label_NP, seed_N, recipe)
    image_R, place_R = torch.nonzero(positive_NP | negative_NP, as_tuple=True)
    match_R = index_NP[image_R, place_R]
    class_R = torch.where(positive_NP[image_R, place_R], class_NK[image_R, match_R], 0)
    return RoIs(boxes_NP4[image_R, place_R], image_R, class_R, objects.boxes_NK4[image_R, match_R])


def _overlaps(boxes_NP4: Tensor, others: BoxBatch) -> Tensor:
    """Compute IoU (N, P, K), -1 for boxes that are not real."""
    overlap_NPK = torch.stack([box_iou(a, b) for a, b in zip(boxes_NP4, others.boxes_NK4, strict=True)])
    return overlap_NPK.masked_fill(~others.real_NK[:, None], -1.0)


def roi_losses(logits_RC: Tensor, deltas_R4: Tensor, rois: RoIs) -> tuple[Tensor, Tensor]:
    """Return torchvision's class and box losses; the deltas are the same for all classes."""
    goals_R4 = BoxCoder(DELTA_WEIGHTS).encode_single(rois.goal_R4, rois.boxes_R4)
    every_class = full(deltas_R4).repeat(1, logits_RC.shape[1])
    class_loss, box_loss = fastrcnn_loss(full(logits_RC), every_class, [rois.class_R], [goals_R4.to(every_class.dtype)])
    return class_loss, box_loss
