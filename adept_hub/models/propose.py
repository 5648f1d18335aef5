"""Run only the RPN of a detector: images in, class-agnostic proposals and their objectness out.

Legend: K proposals of one image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN
from torchvision.models.detection.rpn import concat_box_prediction_layers
from torchvision.models.detection.transform import resize_boxes


@dataclass(frozen=True)
class Proposals:
    """Boxes float32 xyxy in pixels of the input image, best first; scores are sigmoids of objectness."""

    boxes_K4: Tensor
    scores_K: Tensor


@torch.inference_mode()
def propose(model: GeneralizedRCNN, images: Sequence[Tensor]) -> list[Proposals]:
    """Propose regions with a torchvision detector's RPN: decoded, clipped and after NMS with its settings.

    Args:
        model: a torchvision two-stage detector in evaluation mode, such as that of `adept_hub.load_pretrained`.
        images: float32 RGB (3, H, W) in [0, 1].

    Returns:
        At most ``rpn_post_nms_top_n_test`` proposals per image.

    Raises:
        ValueError: the model is in training mode, in which batch norms would be updated.
    """
    if model.training:
        raise ValueError("propose() needs a model in evaluation mode: call model.eval() first")
    batch, _ = model.transform(list(images))
    features = list(model.backbone(batch.tensors).values())
    logits, deltas = model.rpn.head(features)
    anchors = model.rpn.anchor_generator(batch, features)
    per_level = [int(level[0].numel()) for level in logits]
    objectness, regression = concat_box_prediction_layers(logits, deltas)
    decoded = model.rpn.box_coder.decode(regression, anchors).view(len(anchors), -1, 4)
    boxes, scores = model.rpn.filter_proposals(decoded, objectness, batch.image_sizes, per_level)
    original = [(int(image.shape[-2]), int(image.shape[-1])) for image in images]
    rows = zip(boxes, scores, batch.image_sizes, original, strict=True)
    return [Proposals(resize_boxes(b, list(size), list(full)), s) for b, s, size, full in rows]
