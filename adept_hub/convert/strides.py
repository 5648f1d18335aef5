"""Check what names and shapes of tensors do not show: strides, dilations, and the epsilon of norms."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

from torch import nn

from adept_hub.convert.framework import Framework
from adept_hub.convert.norms import EPS
from adept_hub.errors import UnsupportedModelError
from adept_hub.models.wrapped import plain_name
from adept_hub.spec import DetectorSpec

#: Stage and index of a block; torchvision and MMDetection count stages from 1, Detectron2 from 2.
_BLOCK = re.compile(r"(?:.*\.)?(?P<stage>layer[1-4]|res[2-5])\.(?P<block>\d+)")


def refuse_stride_elsewhere(model: nn.Module, framework: Framework, spec: DetectorSpec) -> None:
    """Refuse a detector whose bottlenecks have their strides in another convolution than those of the weights.

    All tensors would load, but all features would be wrong. Detectron2's default is the first 1x1, others have the 3x3.

    Raises:
        UnsupportedModelError: the detector has such bottlenecks.
    """
    names, codes = ("3x3", "1x1"), ("stride_in_1x1", "stride_in_3x3")
    for _, _, block in _blocks(model):
        strides = [_largest(conv, "stride") for conv in (block.conv2, block.conv1)]
        if hasattr(block, "conv3") and max(strides) > 1 and strides[spec.stride_in_1x1] == 1:
            raise UnsupportedModelError(
                f"Your ResNet has its strides in the {names[not spec.stride_in_1x1]} convolutions, but the weights "
                f"were trained with them in the {names[spec.stride_in_1x1]}: all tensors would load, but all features "
                f"would be wrong.\nTo fix it: {framework.remedy(codes[spec.stride_in_1x1])}."
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


def refuse_other_epsilon(model: nn.Module, remedy: str) -> None:
    """Refuse norms with another epsilon than a checkpoint's, such as those of torchvision's COCO_V1 detectors: 0.

    Args:
        model: the model.
        remedy: the last line of the message.

    Raises:
        UnsupportedModelError: the model has such norms.
    """
    for name, module in model.named_modules():
        eps = getattr(module, "eps", EPS)
        if hasattr(module, "running_var") and not math.isclose(eps, EPS, rel_tol=1e-3):
            raise UnsupportedModelError(
                f"The norm {name!r} has an epsilon of {eps:g}, a checkpoint's have {EPS:g}: all features would differ "
                f"slightly.\n{remedy}"
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
