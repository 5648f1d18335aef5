"""How well the RPN finds selective-search boxes on photographs that it was not trained on.

Legend: N images, M boxes, A anchors, R proposals.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.rpn import RegionProposalNetwork
from torchvision.ops import box_iou

from adept_hub.errors import ImageDecodeError
from adept_hub.models.anchors import ExactAnchorGenerator
from adept_hub.models.parts import LEVELS, STRIDES, DetectorParts
from adept_hub.spec import Preprocessing
from adept_training.data.loader import BoxTable
from adept_training.images import ImageSource, decode

_BATCH = 25


@dataclass(frozen=True)
class HeldOut:
    """Photographs squashed to V1 without colour changes, and all of their boxes in its pixels, each once."""

    pixels_NHWC: Tensor
    boxes_M4: tuple[Tensor, ...]


def split_keys(keys: list[str], most: int) -> tuple[list[str], list[str]]:
    """Keys to train on and keys held out: by a hash of the key, so that a photograph stays on its side."""
    count = min(most, len(keys) // 20)
    ranked = sorted(keys, key=lambda key: hashlib.sha256(key.encode()).digest())
    held = set(ranked[:count])
    return [key for key in keys if key not in held], [key for key in keys if key in held]


def load_held_out(source: ImageSource, table: BoxTable, keys: list[str], size: int) -> HeldOut:
    """The photographs of ``keys`` that can be read and have boxes, ``size`` pixels a side."""
    pixels, boxes = [], []
    for key in keys:
        try:
            image = decode(source.read(key), key)
        except ImageDecodeError:
            continue
        height, width = image.shape[:2]
        found = np.unique(table.boxes(key), axis=0)
        found = found[(found[:, 2] - found[:, 0] < width - 1) | (found[:, 3] - found[:, 1] < height - 1)]
        if len(found) == 0:
            continue
        scale = np.array([size / width, size / height] * 2, dtype=np.float32)
        small = Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR)
        pixels.append(torch.from_numpy(np.asarray(small).copy()))
        boxes.append(torch.from_numpy(found * scale))
    stacked = torch.stack(pixels) if pixels else torch.zeros((0, size, size, 3), dtype=torch.uint8)
    return HeldOut(stacked, tuple(boxes))


@torch.no_grad()
def rpn_recall(
    features: DetectorParts, rpn: nn.Module, held: HeldOut, preprocessing: Preprocessing, top: int = 100
) -> dict[str, float]:
    """Share of the boxes that the first ``top`` proposals (NMS 0.7) cover with IoU 0.5 and 0.7, and the objectness AUC.

    Args:
        features: backbone and FPN; norms use running statistics here, and every mode is put back.
        rpn: the RPN head, which may belong to another network.
    """
    modes = [(module, module.training) for module in (*features.modules(), *rpn.modules())]
    features.eval()
    rpn.eval()
    finder = RegionProposalNetwork(
        ExactAnchorGenerator(features.spec.anchors.sizes, features.spec.anchors.ratios, STRIDES), rpn,
        fg_iou_thresh=0.7, bg_iou_thresh=0.3, batch_size_per_image=256, positive_fraction=0.5,
        pre_nms_top_n={"training": 1000, "testing": 1000}, post_nms_top_n={"training": top, "testing": top},
        nms_thresh=0.7,
    ).eval()  # fmt: skip
    device = next(features.parameters()).device
    mean = torch.tensor(preprocessing.mean, device=device)[:, None, None]
    std = torch.tensor(preprocessing.std, device=device)[:, None, None]
    size = held.pixels_NHWC.shape[1]
    best: list[Tensor] = []
    for first in range(0, len(held.pixels_NHWC), _BATCH):
        pixels = held.pixels_NHWC[first : first + _BATCH].to(device)
        images = ((pixels.permute(0, 3, 1, 2).float() / 255 - mean) / std).contiguous(memory_format=torch.channels_last)
        feats = dict(zip(LEVELS, features.pyramid(images), strict=True))
        proposals, _ = finder(ImageList(images, [(size, size)] * len(images)), feats)
        for found_R4, boxes_M4 in zip(proposals, held.boxes_M4[first : first + _BATCH], strict=True):
            overlap = box_iou(boxes_M4.to(device), cast(Tensor, found_R4))
            best.append(overlap.amax(dim=1) if found_R4.numel() else overlap.new_zeros(len(boxes_M4)))
    for module, mode in modes:
        module.training = mode
    iou_M = torch.cat(best)
    return {
        f"recall{top}_iou50": float((iou_M >= 0.5).float().mean()),
        f"recall{top}_iou70": float((iou_M >= 0.7).float().mean()),
    }
