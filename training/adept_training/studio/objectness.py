"""Objectness maps of an image: where an RPN expects objects, by level and over all of them.

Legend: H x W of the image as the network sees it; L levels.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN

from adept_hub.models.parts import STRIDES
from adept_hub.spec import DetectorSpec
from adept_training.finetuning.detector import SCRATCH, build_detector
from adept_training.finetuning.recipe import FinetuneRecipe
from adept_training.studio.pixels import data_address, heat_png

Pixels = npt.NDArray[np.uint8]
LEVELS = ("P2", "P3", "P4", "P5")


@torch.inference_mode()
def objectness(
    model: GeneralizedRCNN, pixels_HW3: Pixels, *, scale: GeneralizedRCNN | None = None
) -> list[Tensor]:  # fmt: skip
    """Return the largest logit of the anchors at each pixel for each of P2 to P5, float32 (H, W).

    Args:
        model: a torchvision detector in evaluation mode.
        pixels_HW3: RGB uint8.
        scale: the detector whose transform resizes the image; None: ``model``.
    """
    device = next(model.parameters()).device
    pixels = torch.from_numpy(pixels_HW3.copy()).to(device).permute(2, 0, 1).float() / 255
    batch, _ = (scale or model).transform([pixels])
    logits, _ = model.rpn.head(list(model.backbone(batch.tensors).values()))
    height, width = batch.image_sizes[0]
    maps = []
    for level, stride in zip(logits[: len(LEVELS)], STRIDES, strict=True):
        top = level.amax(dim=1, keepdim=True)
        large = torch.nn.functional.interpolate(top, scale_factor=stride, mode="bilinear")
        maps.append(large[0, 0, :height, :width].cpu())
    return maps


def as_ranks(map_HW: Tensor) -> Tensor:
    """Return the rank of each value as float32 in [0, 1]: the largest is 1."""
    return map_HW.flatten().argsort().argsort().reshape(map_HW.shape).float() / (map_HW.numel() - 1)


def largest(maps_L: Sequence[Tensor]) -> Tensor:
    """Return the largest value of all levels at each pixel, (H, W)."""
    return torch.stack(list(maps_L)).amax(dim=0)


def maps_document(model: GeneralizedRCNN, pixels_HW3: Pixels) -> dict[str, Any]:
    """Return a picture per level and one over all levels, with the range of the probabilities of each."""
    maps_L = objectness(model, pixels_HW3)
    named = {"all": largest(maps_L), **dict(zip(LEVELS, maps_L, strict=True))}
    return {
        name: {
            "image": data_address(heat_png(_small(as_ranks(map_HW))), "png"),
            "low": round(float(map_HW.sigmoid().min()), 3), "high": round(float(map_HW.sigmoid().max()), 3),
        }
        for name, map_HW in named.items()
    }  # fmt: skip


def untrained(model: GeneralizedRCNN, spec: DetectorSpec, images: Sequence[Pixels]) -> GeneralizedRCNN:
    """Return the same network with random weights; its norms are measured on ``images``, else it would see nothing."""
    fresh = build_detector(SCRATCH, 1, FinetuneRecipe().detector, 0, spec)
    other = copy.deepcopy(model)
    other.backbone.load_state_dict(fresh.backbone.state_dict())
    other.rpn.head.load_state_dict(fresh.rpn.head.state_dict())
    norms = [module for module in other.modules() if isinstance(module, torch.nn.modules.batchnorm._BatchNorm)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean over all images
        norm.train()
    for pixels_HW3 in images:
        objectness(other, pixels_HW3)
    return other.eval()


def _small(ranks_HW: Tensor) -> npt.NDArray[np.float32]:
    """Return a map at the resolution of P2, which the page enlarges smoothly."""
    size = [max(side // STRIDES[0], 1) for side in ranks_HW.shape]
    small = torch.nn.functional.interpolate(ranks_HW[None, None], size=size, mode="area")
    return np.asarray(small[0, 0].clamp(0, 1).numpy(), np.float32)
