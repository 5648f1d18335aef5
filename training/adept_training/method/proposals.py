"""Boxes proposed by the RPN itself, for the ablation that adds them to selective search's (ADePT, Table 4).

Legend: N images, A anchors, R proposals per image.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.models.detection._utils import BoxCoder
from torchvision.ops import clip_boxes_to_image, nms

from adept_training.data.loader import BoxBatch

#: Ids of proposals begin here, above every row of a table of boxes.
FIRST_ID = 1 << 40


@torch.no_grad()
def propose(
    logits_NA: Tensor, deltas_NA4: Tensor, anchors_A4: Tensor, view: int, *, before: int = 64, after: int = 4
) -> BoxBatch:
    """Return the ``after`` best boxes of each image: the ``before`` of highest objectness, clipped, then NMS at 0.7.

    float32 xyxy in pixels of a view with ``view`` pixels per side. If fewer are left, whole views fill up, which are
    not real and have ids of -1.
    """
    top_NB = logits_NA.topk(min(before, logits_NA.shape[1]), dim=1).indices
    coder = BoxCoder((1.0, 1.0, 1.0, 1.0))
    boxes_NR4 = logits_NA.new_tensor([0.0, 0.0, view, view]).repeat(len(logits_NA), after, 1)
    real_NR = torch.zeros(boxes_NR4.shape[:2], dtype=torch.bool, device=boxes_NR4.device)
    for n, top_B in enumerate(top_NB):
        decoded = coder.decode_single(deltas_NA4[n, top_B], anchors_A4[top_B])
        decoded = clip_boxes_to_image(decoded, (view, view))
        wide_enough = (decoded[:, 2:] - decoded[:, :2]).amin(dim=1) >= 1
        decoded, scores = decoded[wide_enough], logits_NA[n, top_B][wide_enough]
        kept = nms(decoded, scores, 0.7)[:after]
        boxes_NR4[n, : len(kept)] = decoded[kept]
        real_NR[n, : len(kept)] = True
    ids_NR = (FIRST_ID + torch.arange(after, device=boxes_NR4.device)).expand_as(real_NR).masked_fill(~real_NR, -1)
    return BoxBatch(boxes_NR4, ids_NR, real_NR)


def carry(boxes: BoxBatch, source_N5: Tensor, goal_N5: Tensor, source_view: int, goal_view: int) -> BoxBatch:
    """Map boxes to another view, through the image: float32 xyxy in its pixels, clipped to it.

    A box that lies outside the other view becomes the whole view with an id of -1.

    Args:
        boxes: in pixels of the source view.
        source_N5, goal_N5: windows as in `Batch.windows_N35`.
        source_view, goal_view: sides in pixels.
    """
    share_NR4 = _mirror(boxes.boxes_NK4 / source_view, source_N5[:, 4])
    corner, span = source_N5[:, None, :2], source_N5[:, None, 2:4]
    photo_NR4 = share_NR4 * torch.cat([span, span], dim=2) + torch.cat([corner, corner], dim=2)
    corner, span = goal_N5[:, None, :2], goal_N5[:, None, 2:4]
    moved_NR4 = (photo_NR4 - torch.cat([corner, corner], dim=2)) / torch.cat([span, span], dim=2)
    clipped_NR4 = _mirror(moved_NR4.clamp(0, 1), goal_N5[:, 4]) * goal_view
    inside_NR = (clipped_NR4[..., 2:] > clipped_NR4[..., :2]).all(dim=2) & boxes.real_NK
    whole_4 = clipped_NR4.new_tensor([0.0, 0.0, goal_view, goal_view])
    clipped_NR4 = torch.where(inside_NR[..., None], clipped_NR4, whole_4)
    return BoxBatch(clipped_NR4, boxes.ids_NK.masked_fill(~inside_NR, -1), inside_NR)


def join(one: BoxBatch, two: BoxBatch) -> BoxBatch:
    """Concatenate both sets of boxes of each image."""
    return BoxBatch(*(torch.cat([a, b], dim=1) for a, b in zip(one, two, strict=True)))


def _mirror(share_NR4: Tensor, flip_N: Tensor) -> Tensor:
    mirrored = torch.stack([1 - share_NR4[..., 2], share_NR4[..., 1], 1 - share_NR4[..., 0], share_NR4[..., 3]], dim=-1)
    return torch.where(flip_N[:, None, None] > 0.5, mirrored, share_NR4)
