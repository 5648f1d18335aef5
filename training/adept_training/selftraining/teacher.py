"""The mean teacher: its weights, its pseudo-labels, and the uncertainty of their boxes.

Legend: C channels, H x W of the image, D detections of an image, N jitters, R boxes of the batch.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN
from torchvision.ops import clip_boxes_to_image

from adept_hub.models.cascade import CascadeRoIHeads
from adept_training.selftraining.settings import SelfTraining


def momentum_of(settings: SelfTraining, step: int) -> float:
    """Return the teacher's momentum in iteration 1, 2, ... of self-training; at first it is the mean of all so far."""
    return min(settings.momentum, 1 - 1 / step)


@torch.no_grad()
def follow(teacher: nn.Module, student: nn.Module, momentum: float) -> None:
    """Move every tensor of the teacher, statistics of norms included, to the student by 1 - ``momentum``."""
    new = student.state_dict()
    for name, tensor in teacher.state_dict().items():
        if tensor.is_floating_point():
            tensor.lerp_(new[name], 1 - momentum)
        else:
            tensor.copy_(new[name])


@torch.no_grad()
def label(teacher: GeneralizedRCNN, images: Sequence[Tensor], settings: SelfTraining) -> list[dict[str, Tensor]]:
    """Return the detections of each image with their uncertainty, before any threshold.

    Args:
        teacher: a detector; set to evaluation mode.
        images: float32 (C, H, W) in [0, 1], on the teacher's device.

    Returns:
        ``boxes`` (D, 4) xyxy in pixels of the image, ``labels``, ``scores`` and ``uncertainty`` (D,), on the CPU;
                without ``box_uncertainty`` the last is infinite.
    """
    teacher.eval()
    sizes = [(image.shape[-2], image.shape[-1]) for image in images]
    shown, _ = teacher.transform(list(images))
    features = teacher.backbone(shown.tensors)
    proposals, _ = teacher.rpn(shown, features)
    found, _ = teacher.roi_heads(features, proposals, shown.image_sizes)
    for place, one in enumerate(found):
        one.pop("masks", None)
        uncertainty_D = torch.full_like(one["scores"], torch.inf)
        passing_D = passes(one["scores"], one["labels"], settings.thresholds)
        if settings.box_uncertainty and bool(passing_D.any()):
            boxes_D4 = one["boxes"][passing_D]
            jittered_ND4 = jittered(boxes_D4, settings.jitters, settings.jitter)
            own = {level: maps[place : place + 1] for level, maps in features.items()}
            refined_R4 = refined(
                teacher, own, jittered_ND4.flatten(0, 1), one["labels"][passing_D].repeat(settings.jitters),
                shown.image_sizes[place],
            )  # fmt: skip
            uncertainty_D[passing_D] = uncertainty(refined_R4.reshape(jittered_ND4.shape), boxes_D4)
        one["uncertainty"] = uncertainty_D
    rows = teacher.transform.postprocess(found, shown.image_sizes, sizes)
    return [{name: values.cpu() for name, values in row.items()} for row in rows]


def passes(scores_D: Tensor, labels_D: Tensor, thresholds: Sequence[float]) -> Tensor:
    """Return which detections have the score that their class needs, bool (D,); label 1 is the first class."""
    needed_C = scores_D.new_tensor(thresholds)
    return scores_D >= (needed_C if len(needed_C) == 1 else needed_C[labels_D - 1])


def jittered(boxes_D4: Tensor, times: int, share: float) -> Tensor:
    """Return ``times`` copies (N, D, 4) of boxes, each edge shifted by up to ``share`` of the width or height."""
    sizes_D4 = (boxes_D4[:, 2:] - boxes_D4[:, :2]).repeat(1, 2)
    shifts_ND4 = (2 * torch.rand((times, *boxes_D4.shape)) - 1).to(boxes_D4) * share
    return boxes_D4 + shifts_ND4 * sizes_D4


def uncertainty(refined_ND4: Tensor, boxes_D4: Tensor) -> Tensor:
    """Return the box uncertainty (D,) of Soft Teacher, section 3.3.

    It is the mean over the four coordinates of their standard deviation over N refined boxes, divided by half the sum
    of the box's width and height.
    """
    half_D = (boxes_D4[:, 2:] - boxes_D4[:, :2]).sum(dim=1).clamp(min=1e-6) / 2
    return refined_ND4.std(dim=0).mean(dim=1) / half_D


def refined(
    teacher: GeneralizedRCNN, features: dict[str, Tensor], boxes_R4: Tensor, labels_R: Tensor, size: tuple[int, int]
) -> Tensor:
    """Return the boxes (R, 4) that the box head of one image makes of ``boxes_R4``, for the class of each.

    Args:
        size: height and width of the network's input, whose pixels all boxes are in.
    """
    heads = teacher.roi_heads
    if isinstance(heads, CascadeRoIHeads):
        for stage in range(len(heads.box_head)):
            _, deltas_R4 = heads.run_stage(stage, features, [boxes_R4], [size])
            (boxes_R4,) = heads.refine(stage, deltas_R4, [boxes_R4], [size])
        return boxes_R4
    deltas_RC4: Tensor
    _, deltas_RC4 = heads.box_predictor(heads.box_head(heads.box_roi_pool(features, [boxes_R4], [size])))
    boxes_RC4: Tensor = heads.box_coder.decode(deltas_RC4, [boxes_R4])
    clipped_R4: Tensor = clip_boxes_to_image(boxes_RC4[torch.arange(len(labels_R)), labels_R], size)
    return clipped_R4
