"""The disagreements that no name or shape shows: where a ResNet strides, and whether it is dilated."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

from torch import nn

from adept_hub.convert.framework import Framework
from adept_hub.errors import UnsupportedModelError
from adept_hub.models.wrapped import plain_name

#: Stage and number of a block; torchvision and MMDetection count stages from 1, Detectron2 from 2.
_BLOCK = re.compile(r"(?:.*\.)?(?P<stage>layer[1-4]|res[2-5])\.(?P<block>\d+)")


def refuse_stride_in_1x1(model: nn.Module, framework: Framework) -> None:
    """Refuse a detector whose bottlenecks stride in the first 1x1 convolution, as Detectron2's default ones do.

    Every tensor would load, and every feature be wrong: the weights were learned with the stride in the 3x3.

    Raises:
        UnsupportedModelError: such a detector.
    """
    for _, _, block in _blocks(model):
        if hasattr(block, "conv3") and _largest(block.conv1, "stride") > 1:
            raise UnsupportedModelError(
                "Your ResNet has its strides in the 1x1 convolutions, the weights were learned with them in the 3x3: "
                f"all tensors would fit and all features be wrong.\nWhat to do: {framework.remedy('stride_in_1x1')}."
            )


def refuse_other_strides(model: nn.Module, framework: Framework) -> None:
    """Refuse a detector whose stages are dilated, or stride otherwise than by 2 in the first block of all but one.

    Raises:
        UnsupportedModelError: such a detector.
    """
    for name, (first_stage, first_block), block in _blocks(model):
        convs = [child for child in (block.conv1, block.conv2) if hasattr(child, "stride")]
        if not convs:
            continue  # nothing that strides under these names; the plan for its tensors refuses what does not fit
        stride: int = math.prod([_largest(conv, "stride") for conv in convs])
        expected = 2 if first_block and not first_stage else 1
        if max(_largest(conv, "dilation") for conv in convs) > 1:
            what = "is dilated, the weights were learned without"
        elif stride != expected:
            what = f"has a stride of {stride}, the weights were learned with {expected}"
        else:
            continue
        raise UnsupportedModelError(
            f"{name!r} {what}: all tensors would fit and the features be wrong.\n"
            f"What to do: {framework.remedy('dilation')}."
        )


def _blocks(model: nn.Module) -> Iterator[tuple[str, tuple[bool, bool], nn.Module]]:
    """Every residual block: its name, whether it is in the first stage and the first of its stage, the module."""
    for name, block in model.named_modules():
        match = _BLOCK.fullmatch(plain_name(name))
        if match and hasattr(block, "conv1") and hasattr(block, "conv2"):
            yield name, (match["stage"] in ("layer1", "res2"), match["block"] == "0"), block


def _largest(conv: object, attribute: str) -> int:
    value = getattr(conv, attribute, 1)
    return max(value) if isinstance(value, tuple) else int(value)
