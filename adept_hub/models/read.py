"""Read the facts of a torchvision detector that are not in its tensors: preprocessing and anchors."""

from __future__ import annotations

from torch import nn

from adept_hub.errors import UnsupportedModelError
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
    """Return the anchors of the model's generator on P2-P5, to which its RPN's outputs refer.

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
    return AnchorSpec(tuple(size for (size,) in sizes[:4]), next(iter(ratios)))
