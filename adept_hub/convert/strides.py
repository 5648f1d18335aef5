"""Check what names and shapes of tensors do not show: the strides and dilations of a ResNet."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

from torch import nn

from adept_hub.convert.framework import Framework
from adept_hub.errors import UnsupportedModelError
from adept_hub.models.wrapped import plain_name

#: Stage and index of a block; torchvision and MMDetection count stages from 1, Detectron2 from 2.
_BLOCK = re.compile(r"(?:.*\.)?(?P<stage>layer[1-4]|res[2-5])\.(?P<block>\d+)")


def refuse_stride_in_1x1(model: nn.Module, framework: Framework) -> None:
    """Refuse a detector whose bottlenecks have the stride in the first 1x1 convolution, as Detectron2's default.

    All tensors would load, but all features would be wrong: the weights were trained with the stride in the 3x3.

    Raises:
        UnsupportedModelError: the detector has such bottlenecks.
    """
    for _, _, block in _blocks(model):
        if hasattr(block, "conv3") and _largest(block.conv1, "stride") > 1:
            raise UnsupportedModelError(
                "Your ResNet has its strides in the 1x1 convolutions, but the weights were trained with them in the "
                "3x3: all tensors would load, but all features would be wrong.\n"
                f"To fix it: {framework.remedy('stride_in_1x1')}."
            )


def refuse_other_strides(model: nn.Module, framework: Framework) -> None:
    """Refuse a detector with dilated stages, or with strides other than 2 at the start of each stage but the first.

    Raises:
        UnsupportedModelError: the detector has such stages.
    """
    for name, (first_stage, first_block), block in _blocks(model):
        convs = [child for child in (block.conv1, block.conv2) if hasattr(child, "stride")]
        if not convs:
            continue  # the block has no convolutions with these names; the plan for the tensors refuses it
        stride: int = math.prod([_largest(conv, "stride") for conv in convs])
        expected = 2 if first_block and not first_stage else 1
        if max(_largest(conv, "dilation") for conv in convs) > 1:
            what = "is dilated, but the weights were trained without dilation"
        elif stride != expected:
            what = f"has a stride of {stride}, but the weights were trained with {expected}"
        else:
            continue
        raise UnsupportedModelError(
            f"{name!r} {what}: all tensors would load, but the features would be wrong.\n"
            f"To fix it: {framework.remedy('dilation')}."
        )


def _blocks(model: nn.Module) -> Iterator[tuple[str, tuple[bool, bool], nn.Module]]:
    """Yield every residual block: its name, whether it is in the first stage and first in its stage, its module."""
    for name, block in model.named_modules():
        match = _BLOCK.fullmatch(plain_name(name))
        if match and hasattr(block, "conv1") and hasattr(block, "conv2"):
            yield name, (match["stage"] in ("layer1", "res2"), match["block"] == "0"), block


def _largest(conv: object, attribute: str) -> int:
    value = getattr(conv, attribute, 1)
    return max(value) if isinstance(value, tuple) else int(value)
