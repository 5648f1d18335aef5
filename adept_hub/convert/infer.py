"""Infer the spec of canonical tensors from their shapes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from adept_hub.convert.structure import Shapes, read_depth
from adept_hub.errors import UnsupportedModelError
from adept_hub.spec import AnchorSpec, DetectorSpec, Norm

_BLOCK = r"backbone\.layer3\.(\d+)\.conv(\d)\.weight"
#: Field of the spec -> canonical tensors whose first dimension it is; several, in case one is missing.
_WIDTHS: Mapping[str, tuple[str, ...]] = {
    "fpn_channels": ("fpn.inner_blocks.0.0.weight", "fpn.layer_blocks.0.0.weight", "rpn.conv.0.0.weight"),
    "head_conv_channels": ("head.0.0.weight", "head.1.0.weight"),
    "head_fc_channels": ("head.5.weight", "head.5.bias", "head.fc6.weight", "head.fc6.bias"),
}


def infer_spec(shapes: Shapes, anchors: AnchorSpec | None = None) -> DetectorSpec:
    """Infer the architecture of canonical tensors; fields that the available parts do not determine keep defaults.

    Args:
        shapes: the shapes of the tensors, by canonical name.
        anchors: the RPN's anchors, which are not in any tensor; default: those of pre-training.

    Raises:
        UnsupportedModelError: the backbone is not a ResNet-18, -34, -50 or -101, or the RPN does not have one anchor
            per location for each ratio of ``anchors``.
    """
    found: dict[str, Any] = {} if anchors is None else {"anchors": anchors}
    if any(key.startswith("backbone.") for key in shapes):
        depth = read_depth(shapes, _BLOCK)
        if depth not in (18, 34, 50, 101):
            what = f"a ResNet-{depth}" if depth else "not a ResNet of a usual depth"
            raise UnsupportedModelError(f"The backbone is {what}; ResNet-18, -34, -50 and -101 are supported.")
        found["depth"] = depth
    for field, keys in _WIDTHS.items():
        widths = [shapes[key][0] for key in keys if key in shapes]
        if widths:
            found[field] = widths[0]
    spec = DetectorSpec(**found, **_kinds(shapes))
    logits = shapes.get("rpn.cls_logits.weight", (spec.anchors_per_location,))
    if logits[0] != spec.anchors_per_location:
        raise UnsupportedModelError(
            f"The RPN has {logits[0]} logits per location; {spec.anchors_per_location} anchors are supported "
            f"(ratios {', '.join(f'{ratio:g}' for ratio in spec.anchors.ratios)}), each with one sigmoid logit."
        )
    return spec


def _kinds(shapes: Shapes) -> dict[str, Any]:
    """Return the kinds of the RPN, of the RoI head and of the norms of each part that is there."""
    kinds: dict[str, Any] = {}
    if "rpn.conv.1.0.weight" in shapes:
        kinds["rpn_convs"] = 2
    if any(key.startswith("head.fc") for key in shapes):
        kinds["head"] = "2fc"
    for part in ("backbone", "fpn", "head"):
        leaves = {key.rpartition(".")[2] for key in shapes if key.startswith(f"{part}.")}
        if leaves:
            kinds[f"{part}_norm"] = _norm(leaves)
    return kinds


def _norm(leaves: set[str]) -> Norm:
    if "running_var" not in leaves:
        return "none"
    return "bn" if "num_batches_tracked" in leaves else "frozen_bn"
