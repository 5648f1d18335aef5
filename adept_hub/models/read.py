"""Read the facts of a torchvision detector that are not in its tensors: preprocessing and anchors."""

from __future__ import annotations

from typing import Literal

from torch import nn

from adept_hub.errors import UnsupportedModelError
from adept_hub.models.anchors import ExactAnchorGenerator
from adept_hub.models.pooling import PyramidRoIAlign
from adept_hub.spec import AnchorSpec, Preprocessing


def preprocessing_of(model: nn.Module) -> Preprocessing:
    """Return the mean and std of the model's own transform.

    Raises:
        UnsupportedModelError: the model has no transform, so it is not a torchvision detector.
    """
    transform = getattr(model, "transform", None)
    mean, std = (tuple(map(float, getattr(transform, name, ()))) for name in ("image_mean", "image_std"))
    if len(mean) != 3 or len(std) != 3:
        raise UnsupportedModelError("The model has no transform with mean and std: it is not a torchvision detector.")
    return Preprocessing(mean=mean, std=std)


def anchors_of(model: nn.Module) -> AnchorSpec:
    """Return the anchors of the model's generator, to which its RPN's outputs refer; P6's only if not twice P5's.

    Raises:
        UnsupportedModelError: the model has no such generator, or anchors that a checkpoint cannot describe: several
            sizes per level, or ratios that differ between levels.
    """
    generator = getattr(getattr(model, "rpn", None), "anchor_generator", None)
    sizes = [tuple(map(float, level)) for level in getattr(generator, "sizes", ())]
    ratios = {tuple(map(float, level)) for level in getattr(generator, "aspect_ratios", ())}
    if len(sizes) < 4 or any(len(level) != 1 for level in sizes) or len(ratios) != 1:
        raise UnsupportedModelError(
            f"The RPN's anchors have sizes {sizes} and ratios {sorted(ratios)}; a checkpoint has one size on each of "
            "P2-P5 and the same ratios on all levels.\nExclude the RPN: parts=('backbone', 'fpn', 'head')"
        )
    levels = tuple(size for (size,) in sizes[:5])
    kind: Literal["exact", "rounded"] = "exact" if isinstance(generator, ExactAnchorGenerator) else "rounded"
    anchors = AnchorSpec(levels, next(iter(ratios)), kind)
    shorter = AnchorSpec(levels[:4], anchors.ratios, kind)
    return shorter if len(levels) < 5 or shorter.with_p6 == levels else anchors


def pooling_of(model: nn.Module) -> Literal["aligned", "unaligned"]:
    """Return the RoIAlign of the model's RoI head.

    Raises:
        UnsupportedModelError: it is neither of the two that a checkpoint can describe.
    """
    pooler = getattr(getattr(model, "roi_heads", None), "box_roi_pool", None)
    if isinstance(pooler, PyramidRoIAlign):
        return "aligned"
    if getattr(pooler, "sampling_ratio", None) != 2:
        raise UnsupportedModelError(
            f"The RoI head's pooler samples {getattr(pooler, 'sampling_ratio', '?')} points per bin and side; a "
            "checkpoint describes torchvision's default of 2 and adept_hub's aligned pooler.\n"
            "Exclude the head: parts=('backbone', 'fpn', 'rpn')"
        )
    return "unaligned"
