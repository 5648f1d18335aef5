"""How a user's own model turns an image into its network's input, read off the model itself."""

from __future__ import annotations

from typing import Any

from torch import nn

from adept_hub.convert.facts import Facts
from adept_hub.convert.options import Framework
from adept_hub.doctor import diagnose
from adept_hub.spec import CheckpointConfig


def pixel_facts(model: nn.Module, framework: Framework) -> Facts:
    """Return mean, std (0-255) and channel order of a detector behind any wrapper; what it does not hold is None."""
    for module in model.modules():
        if framework == "torchvision" and hasattr(getattr(module, "transform", None), "image_mean"):
            transform: Any = module.transform
            mean, std = (tuple(255 * float(x) for x in v) for v in (transform.image_mean, transform.image_std))
            return Facts(framework, "rgb", mean, std)
        if framework == "detectron2" and hasattr(module, "pixel_mean"):
            order = getattr(module, "input_format", None)
            return Facts(
                framework, order and str(order).lower(), _numbers(module.pixel_mean), _numbers(module.pixel_std)
            )
        if framework == "mmdet" and hasattr(module, "data_preprocessor"):
            pixels: Any = module.data_preprocessor
            order = "rgb" if getattr(pixels, "_channel_conversion", False) else None
            if not getattr(pixels, "_enable_normalize", False):
                return Facts(framework, order)
            return Facts(framework, order, _numbers(pixels.mean), _numbers(pixels.std))
    return Facts(framework)


def pixel_notes(model: nn.Module, framework: Framework, config: CheckpointConfig) -> tuple[str, ...]:
    """Return one sentence for each disagreement between the model's pixels and those that the weights learned on."""
    return tuple(
        f"{finding.code} of the model's pixels is {finding.found}, the weights need {finding.wanted}: {finding.remedy}"
        for finding in diagnose(pixel_facts(model, framework), config)
    )


def _numbers(values: Any) -> tuple[float, ...]:
    return tuple(float(x) for x in values.flatten().tolist())
