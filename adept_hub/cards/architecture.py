"""The architecture of a checkpoint in words."""

from __future__ import annotations

from adept_hub.spec import DetectorSpec

NORMS = {"bn": "batch norms", "frozen_bn": "frozen batch norms", "none": "no norms"}
_CONVOLUTIONS = {1: "one 3x3 convolution", 2: "two 3x3 convolutions"}


def describe_parts(spec: DetectorSpec) -> dict[str, str]:
    """Return the architecture of each part in words."""
    stride = "1x1" if spec.stride_in_1x1 else "3x3"
    where = "" if spec.fpn_norm == "none" else " after every lateral and output convolution"
    head = f"four 3x3 convolutions of {spec.head_conv_channels} with {NORMS[spec.head_norm]}, one fc"
    return {
        "backbone": f"ResNet-{spec.depth}, torchvision's layout, stride in the {stride}, {NORMS[spec.backbone_norm]}",
        "fpn": f"P2-P5, {spec.fpn_channels} channels, {NORMS[spec.fpn_norm]}{where}",
        "rpn": f"{_CONVOLUTIONS[spec.rpn_convs]} with ReLU, {spec.anchors_per_location} anchors per location",
        "head": f"{head if spec.head == '4conv1fc' else 'two fc layers'} of {spec.head_fc_channels}",
    }
