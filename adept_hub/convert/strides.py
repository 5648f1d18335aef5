"""The one disagreement that no name or shape shows: where a bottleneck puts its stride."""

from __future__ import annotations

import re

from torch import nn

from adept_hub.convert.recognise import recognise
from adept_hub.convert.remedies import remedy
from adept_hub.errors import UnsupportedModelError

#: The first block of stage 3, the first whose stride is 2.
_BLOCK = r"(?:.*\.)?(?:layer2|res3)\.0"


def refuse_stride_in_1x1(model: nn.Module) -> None:
    """Refuse a detector whose bottlenecks stride in the first 1x1 convolution, as Detectron2's default ones do.

    Every tensor would load, and every feature be wrong: the weights were learnt with the stride in the 3x3.

    Raises:
        UnsupportedModelError: such a detector.
    """
    for name, block in model.named_modules():
        if not re.fullmatch(_BLOCK, name) or not hasattr(block, "conv3"):
            continue
        stride = getattr(block.conv1, "stride", 1)
        if max(stride if isinstance(stride, tuple) else (stride,)) > 1:
            framework = recognise(model.state_dict()).framework
            raise UnsupportedModelError(
                "Your ResNet has its strides in the 1x1 convolutions, the weights were learnt with them in the 3x3: "
                f"all tensors would fit and all features be wrong.\nWhat to do: {remedy('stride_in_1x1', framework)}."
            )
