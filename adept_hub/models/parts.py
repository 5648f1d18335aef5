"""The four pre-trained parts as one module, whose state dict is the canonical checkpoint.

Legend: N images, C channels, H x W of a map, K boxes.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from torch import Tensor, nn
from torchvision.models import resnet
from torchvision.models._utils import IntermediateLayerGetter
from torchvision.models.detection.faster_rcnn import FastRCNNConvFCHead, TwoMLPHead
from torchvision.models.detection.rpn import RPNHead
from torchvision.ops import FeaturePyramidNetwork, FrozenBatchNorm2d

from adept_hub.spec import DetectorSpec, Norm

#: Pyramid levels with weights, finest first; strides 4, 8, 16, 32.
LEVELS = ("p2", "p3", "p4", "p5")
STRIDES = (4, 8, 16, 32)

_RESNETS: dict[int, Callable[..., resnet.ResNet]] = {
    18: resnet.resnet18,
    34: resnet.resnet34,
    50: resnet.resnet50,
    101: resnet.resnet101,
}


#: Class of each kind of norm.
NORM_LAYERS: dict[Norm, type[nn.Module] | None] = {
    "bn": nn.BatchNorm2d,
    "frozen_bn": FrozenBatchNorm2d,
    "none": None,
}


class DetectorParts(nn.Module):
    """Backbone, FPN, RPN head and RoI head of one spec; the RPN has no norms.

    ``state_dict()`` keys begin with ``backbone.``, ``fpn.``, ``rpn.`` and ``head.``, followed by torchvision's names.
    Initialization: the last norm of every residual block is zero (SoCo, ``resnet.py``) unless it is frozen, the FPN is
    Kaiming-uniform, the RPN N(0, 0.01) with zero biases.
    """

    def __init__(self, spec: DetectorSpec) -> None:
        super().__init__()
        self.spec = spec
        trunk = _RESNETS[spec.depth](
            weights=None, zero_init_residual=spec.backbone_norm == "bn", norm_layer=NORM_LAYERS[spec.backbone_norm]
        )
        if spec.stride_in_1x1:
            move_strides(trunk)
        self.backbone = IntermediateLayerGetter(trunk, {f"layer{i}": f"c{i + 1}" for i in range(1, 5)})
        self.fpn = FeaturePyramidNetwork(
            list(spec.stage_channels), spec.fpn_channels, norm_layer=NORM_LAYERS[spec.fpn_norm]
        )
        self.rpn = RPNHead(spec.fpn_channels, spec.anchors_per_location, conv_depth=spec.rpn_convs)
        self.head = _box_head(spec)

    def pyramid(self, images_NCHW: Tensor) -> list[Tensor]:
        """Compute P2-P5 of normalized images: four tensors (N, fpn_channels, ceil(H / stride), ceil(W / stride))."""
        return self.merge(self.stages(images_NCHW))

    def stages(self, images_NCHW: Tensor) -> list[Tensor]:
        """Compute C2-C5 of normalized images: four tensors (N, spec.stage_channels, H / stride, W / stride)."""
        return list(self.backbone(images_NCHW).values())

    def merge(self, stages_NCHW: list[Tensor]) -> list[Tensor]:
        """Compute P2-P5 of C2-C5."""
        maps: OrderedDict[str, Tensor] = self.fpn(OrderedDict(zip(LEVELS, stages_NCHW, strict=True)))
        return list(maps.values())

    def rpn_outputs(self, feats_NCHW: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Compute objectness logits (N, A, H, W) and deltas (N, 4A, H, W), two lists over the given levels."""
        logits, deltas = self.rpn(feats_NCHW)
        return logits, deltas

    def head_features(self, rois_KC77: Tensor) -> Tensor:
        """Compute RoI head features (K, head_fc_channels) of pooled boxes (K, fpn_channels, 7, 7)."""
        features_KD: Tensor = self.head(rois_KC77)
        return features_KD

    def forward(self, images_NCHW: Tensor) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
        """Compute the pyramid and the RPN's logits and deltas on it."""
        feats = self.pyramid(images_NCHW)
        return feats, *self.rpn_outputs(feats)


def _box_head(spec: DetectorSpec) -> nn.Module:
    if spec.head == "2fc":
        return TwoMLPHead(spec.fpn_channels * spec.ROI_SIZE**2, spec.head_fc_channels)  # type: ignore[no-any-return]
    return FastRCNNConvFCHead(  # type: ignore[no-any-return]  # torchvision is untyped
        (spec.fpn_channels, spec.ROI_SIZE, spec.ROI_SIZE),
        [spec.head_conv_channels] * spec.HEAD_CONVS,
        [spec.head_fc_channels],
        norm_layer=NORM_LAYERS[spec.head_norm],
    )


def move_strides(trunk: resnet.ResNet) -> None:
    """Move the strides of a ResNet's bottlenecks from the 3x3 convolution to the first 1x1."""
    for stage in (trunk.layer2, trunk.layer3, trunk.layer4):
        block = stage[0]
        block.conv1.stride, block.conv2.stride = block.conv2.stride, block.conv1.stride
