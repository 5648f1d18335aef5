"""Names and types of the options that a call passes on to torchvision's detectors.

torchvision itself accepts any other keyword and ignores it. Options that must match the weights (mean, std, anchors,
heads) are not included: the checkpoint determines them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict


class TorchvisionOptions(TypedDict, total=False):
    """Keywords of torchvision's FasterRCNN and MaskRCNN and of their transform."""

    min_size: int | Sequence[int]
    max_size: int
    size_divisible: int
    fixed_size: tuple[int, int] | None
    rpn_pre_nms_top_n_train: int
    rpn_pre_nms_top_n_test: int
    rpn_post_nms_top_n_train: int
    rpn_post_nms_top_n_test: int
    rpn_nms_thresh: float
    rpn_fg_iou_thresh: float
    rpn_bg_iou_thresh: float
    rpn_batch_size_per_image: int
    rpn_positive_fraction: float
    rpn_score_thresh: float
    box_score_thresh: float
    box_nms_thresh: float
    box_detections_per_img: int
    box_fg_iou_thresh: float
    box_bg_iou_thresh: float
    box_batch_size_per_image: int
    box_positive_fraction: float
    bbox_reg_weights: tuple[float, float, float, float] | None


class DetectorOptions(TorchvisionOptions, total=False):
    """Keywords of torchvision's detectors and of `adept_hub.models.assemble_detector`."""

    anchor_sizes: Sequence[float]
    levels: str
