"""The four pre-trained parts as one module, whose state dict is the canonical checkpoint.

Legend: N images, C channels, H x W of a map, K boxes.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from torch import Tensor, nn
from torchvision.models import resnet
from torchvision.models._utils import IntermediateLayerGetter
from torchvision.models.detection.faster_rcnn import FastRCNNConvFCHead
from torchvision.models.detection.rpn import RPNHead
from torchvision.ops import FeaturePyramidNetwork

from adept_hub.spec import DetectorSpec

#: Pyramid levels with weights, finest first; strides 4, 8, 16, 32.
LEVELS = ("p2", "p3", "p4", "p5")
STRIDES = (4, 8, 16, 32)

_RESNETS: dict[int, Callable[..., resnet.ResNet]] = {
    18: resnet.resnet18,
    34: resnet.resnet34,
    50: resnet.resnet50,
    101: resnet.resnet101,
}


class DetectorParts(nn.Module):
    """Backbone, FPN, RPN head and RoI head of one spec, with trainable batch norms in all parts but the RPN.

    ``state_dict()`` keys begin with ``backbone.``, ``fpn.``, ``rpn.`` and ``head.``, followed by torchvision's names.
    Initialization: the last norm of every residual block is zero (SoCo, ``resnet.py``), the FPN is Kaiming-uniform,
    the RPN N(0, 0.01) with zero biases.
    """

    def __init__(self, spec: DetectorSpec) -> None:
        super().__init__()
        self.spec = spec
        trunk = _RESNETS[spec.depth](weights=None, zero_init_residual=True)
        self.backbone = IntermediateLayerGetter(trunk, {f"layer{i}": f"c{i + 1}" for i in range(1, 5)})
        self.fpn = FeaturePyramidNetwork(list(spec.stage_channels), spec.fpn_channels, norm_layer=nn.BatchNorm2d)
        self.rpn = RPNHead(spec.fpn_channels, spec.anchors_per_location, conv_depth=1)
        self.head = FastRCNNConvFCHead(
            (spec.fpn_channels, spec.ROI_SIZE, spec.ROI_SIZE),
            [spec.head_conv_channels] * spec.HEAD_CONVS,
            [spec.head_fc_channels],
            norm_layer=nn.BatchNorm2d,
        )

    def pyramid(self, images_NCHW: Tensor) -> list[Tensor]:
        """Compute P2-P5 of normalized images: four tensors (N, fpn_channels, ceil(H / stride), ceil(W / stride))."""
        stages = self.backbone(images_NCHW)
        maps: OrderedDict[str, Tensor] = self.fpn(OrderedDict(zip(LEVELS, stages.values(), strict=True)))
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
