"""The spec that canonical tensors were made for, read off their shapes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from adept_hub.convert.structure import Shapes, read_depth
from adept_hub.errors import UnsupportedModelError
from adept_hub.spec import AnchorSpec, DetectorSpec

_BLOCK = r"backbone\.layer3\.(\d+)\.conv(\d)\.weight"
#: Field of the spec -> canonical tensors whose first dimension it is; several, so that one missing cannot mislead.
_WIDTHS: Mapping[str, tuple[str, ...]] = {
    "fpn_channels": ("fpn.inner_blocks.0.0.weight", "fpn.layer_blocks.0.0.weight", "rpn.conv.0.0.weight"),
    "head_conv_channels": ("head.0.0.weight", "head.1.0.weight"),
    "head_fc_channels": ("head.5.weight", "head.5.bias"),
}


def infer_spec(shapes: Shapes, anchors: AnchorSpec | None = None) -> DetectorSpec:
    """The architecture of canonical tensors; what the parts present do not tell keeps its default.

    Args:
        shapes: of the tensors, by their canonical names.
        anchors: those of the RPN, which no tensor holds; by default pre-training's.

    Raises:
        UnsupportedModelError: the backbone is no ResNet-18, -34, -50 or -101, or the RPN has not one anchor a place
            for each ratio of ``anchors``.
    """
    found: dict[str, Any] = {} if anchors is None else {"anchors": anchors}
    if any(key.startswith("backbone.") for key in shapes):
        depth = read_depth(shapes, _BLOCK)
        if depth not in (18, 34, 50, 101):
            what = f"a ResNet-{depth}" if depth else "no ResNet of a usual depth"
            raise UnsupportedModelError(f"The backbone is {what}; known here are ResNet-18, -34, -50 and -101.")
        found["depth"] = depth
    for field, keys in _WIDTHS.items():
        widths = [shapes[key][0] for key in keys if key in shapes]
        if widths:
            found[field] = widths[0]
    spec = DetectorSpec(**found)
    logits = shapes.get("rpn.cls_logits.weight", (spec.anchors_per_location,))
    if logits[0] != spec.anchors_per_location:
        raise UnsupportedModelError(
            f"The RPN has {logits[0]} logits a place; known here are {spec.anchors_per_location} anchors "
            f"(ratios {', '.join(f'{ratio:g}' for ratio in spec.anchors.ratios)}), each with one sigmoid logit."
        )
    return spec
