"""A plain ResNet with torchvision's names (torchvision, timm), which takes the backbone of a checkpoint."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from adept_hub.convert.framework import Recognized
from adept_hub.convert.keymap import KeyRow
from adept_hub.convert.structure import Layout
from adept_hub.errors import UnsupportedModelError
from adept_hub.frameworks.torchvision import TORCHVISION
from adept_hub.spec import CheckpointConfig

_STAGES = r"(conv1|bn1|layer[1-4]\.\d+\.(conv\d|bn\d|downsample\.\d))\.\w+"
_NOTHING = r"(?!)"
_LAYOUT = Layout(
    parts={"backbone": _STAGES, "fpn": _NOTHING, "rpn": _NOTHING, "head": _NOTHING},
    block=r"layer3\.(\d+)\.conv(\d)\.weight", stem_norm=("bn1",), fpn_conv="", fpn_norm=(), fpn_extra=_NOTHING,
    rpn_conv=_NOTHING, rpn_cls="", rpn_reg="", head_conv=_NOTHING, head_fc=_NOTHING, head_norm=_NOTHING, box_head=" ",
)  # fmt: skip

#: torchvision's names and conventions, without a detector around the ResNet.
PLAIN_RESNET = replace(
    TORCHVISION,
    body=tuple(
        KeyRow(kind, name, name.removeprefix("backbone."))
        for kind, name, _ in TORCHVISION.body
        if name.startswith("backbone.")
    ),
    head=(),
    fresh=(r"fc\..*",),
    layout=_LAYOUT,
    remedies={
        **TORCHVISION.remedies,
        "depth": "build a ResNet-{want}, such as torchvision.models.resnet{want}()",
        "stride_in_3x3": "no option of torchvision moves the strides: load into a detector instead",
    },
)


def recognize_resnet(keys: Iterable[str]) -> Recognized | None:
    """Recognize a model that is nothing but a ResNet and its classifier, also in a wrapper; None for any other."""
    keys = list(keys)
    prefixes = {key.removesuffix("conv1.weight") for key in keys if re.fullmatch(r"(.*\.)?conv1\.weight", key)}
    for prefix in sorted(prefixes, key=len)[:1]:
        inside = [key.removeprefix(prefix) for key in keys if key.startswith(prefix)]
        whole = len(inside) == len(keys) and all(re.fullmatch(rf"{_STAGES}|fc\..*", key) for key in inside)
        if whole and {"layer1.0.conv1.weight", "layer4.0.conv1.weight"} <= set(inside):
            return Recognized(PLAIN_RESNET, "faster_rcnn", prefix)
    return None


def check_backbone_alone(parts: tuple[str, ...]) -> None:
    """Check that only the backbone is requested for a plain ResNet.

    Raises:
        UnsupportedModelError: other parts are requested, too.
    """
    if parts != ("backbone",):
        others = ", ".join(part for part in parts if part != "backbone")
        raise UnsupportedModelError(
            f"The model is a plain ResNet, which has no {others}.\nLoad its backbone: parts=('backbone',)"
        )


def input_note(config: CheckpointConfig) -> str:
    """Return a note on the input of the weights, which a plain ResNet does not normalize."""
    pixels = config.preprocessing
    mean, std = (", ".join(f"{value:.4g}" for value in values) for values in (pixels.mean, pixels.std))
    return f"the weights need RGB in [0, 1], normalized with mean {mean} and std {std}: a ResNet does not do that"
