"""Scale-aware levels and RoIAlign (SoCo, ``bboxs_utils.py``, ``SoCo_FPN.py``).

Legend: N images, K boxes per image, L levels, C channels.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.ops import roi_align

from adept_hub.spec import DetectorSpec, LevelSpec
from adept_training.data.constants import constant
from adept_training.method.precision import full


def assign_levels(boxes_NK4: Tensor, levels: LevelSpec) -> Tensor:
    """Return the level index (N, K) int64 of each box: the first whose ``upper`` is at least sqrt(w h), else the last.

    Boxes are xyxy in pixels of their view: the same object may lie on different levels in two views, and the loss
    links it across them. This is about 1.2 levels coarser than FPN's canonical rule.
    """
    wh_NK2 = (boxes_NK4[..., 2:] - boxes_NK4[..., :2]).clamp(min=0)
    size_NK = wh_NK2.prod(dim=-1).sqrt()
    upper_L = constant(tuple(levels.upper[:-1]), size_NK)
    return torch.bucketize(size_NK, upper_L)


def pool_level(feat_NCHW: Tensor, boxes_NK4: Tensor, image_NK: Tensor, view: int) -> Tensor:
    """Compute RoIAlign (aligned, adaptive sampling, float32) of boxes in pixels of a view of side ``view``.

    Boxes are scaled by map side / view side, not by the stride, as SoCo does: if the view is not a multiple of the
    stride (112 / 32), a map covers it exactly. ``boxes_NK4`` and ``image_NK`` may be flattened selections.
    """
    height, width = feat_NCHW.shape[2:]
    scale_4 = constant((width, height, width, height), boxes_NK4) / view
    rois_K5 = torch.cat([image_NK.reshape(-1, 1).to(boxes_NK4.dtype), boxes_NK4.reshape(-1, 4) * scale_4], dim=1)
    size = DetectorSpec.ROI_SIZE
    feat = full(feat_NCHW)
    with torch.autocast(feat_NCHW.device.type, enabled=False):
        pooled: Tensor = roi_align(feat, rois_K5.to(feat.dtype), size, 1.0, -1, aligned=True)
    return pooled


def pool_assigned(feats_LNCHW: list[Tensor], boxes_NK4: Tensor, levels_NK: Tensor, view: int) -> Tensor:
    """Return pooled features (N * K, C, 7, 7), each box from its own level only, in the order of the boxes."""
    return pool_boxes(feats_LNCHW, boxes_NK4, _image_index(boxes_NK4), levels_NK, view)


def pool_boxes(feats_LNCHW: list[Tensor], boxes_NK4: Tensor, image_NK: Tensor, levels_NK: Tensor, view: int) -> Tensor:
    """Pool boxes of the given images, which may be flattened selections, each from its own level only."""
    # A box of no size takes no samples and pools to zero, so that the sum over levels is each box's own. Nothing here
    # waits for the device, as a selection would. Levels without boxes are pooled too: their layers keep a (zero)
    # gradient, which DDP relies on.
    pooled = None
    for level, feat in enumerate(feats_LNCHW):
        own_NK4 = boxes_NK4 * (levels_NK == level)[..., None]
        here = pool_level(feat, own_NK4, image_NK, view)
        pooled = here if pooled is None else pooled + here
    assert pooled is not None
    return pooled


def pool_everywhere(feats_LNCHW: list[Tensor], boxes_NK4: Tensor, view: int) -> list[Tensor]:
    """Return pooled features of every box from every level: L tensors (N * K, C, 7, 7)."""
    image_NK = _image_index(boxes_NK4)
    return [pool_level(feat, boxes_NK4, image_NK, view) for feat in feats_LNCHW]


def _image_index(boxes_NK4: Tensor) -> Tensor:
    return torch.arange(len(boxes_NK4), device=boxes_NK4.device)[:, None].expand(boxes_NK4.shape[:2])
