"""Read the facts of a torchvision model, or of its stock builder."""

from __future__ import annotations

from typing import Any

from torch import nn

from adept_hub.convert.facts import IMAGENET_MEAN, IMAGENET_STD, Facts
from adept_hub.convert.options import DOWNSTREAM_SIZES

#: torchvision has no configs; these are the facts of fasterrcnn_resnet50_fpn in torchvision 0.29.
TORCHVISION_STOCK = Facts(
    channel_order="rgb",
    mean=IMAGENET_MEAN,
    std=IMAGENET_STD,
    depth=50,
    stride_in_1x1=False,
    backbone_norm="FrozenBN",
    frozen_stages=2,
    fpn_norm="",
    fpn_channels=256,
    p6="pool",
    rpn_convs=1,
    rpn_softmax=False,
    anchor_sizes=tuple((size,) for size in DOWNSTREAM_SIZES),
    anchor_ratios=(0.5, 1.0, 2.0),
    anchors_rounded=True,
    head_convs=0,
    head_fcs=2,
    head_fc_channels=1024,
    head_norm="",
    roi_aligned=False,
    roi_sampling=2,
    p4_from=224.0,
)


def model_pixels(module: nn.Module) -> Facts | None:
    """Return mean and std of a detector; None for any other module."""
    if not hasattr(getattr(module, "transform", None), "image_mean"):
        return None
    transform: Any = module.transform
    mean, std = (tuple(255 * float(x) for x in v) for v in (transform.image_mean, transform.image_std))
    return Facts("rgb", mean, std)
