"""Assemble the four parts into a torchvision GeneralizedRCNN, ready to fine-tune."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Unpack

from torch import Tensor, nn
from torchvision.models.detection import FasterRCNN, MaskRCNN
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

from adept_hub.arguments.calls import checked
from adept_hub.arguments.choices import check_choice, check_num_classes
from adept_hub.errors import UnsupportedDetectorError
from adept_hub.models.anchors import make_generator
from adept_hub.models.cascade import CascadeRoIHeads
from adept_hub.models.options import TorchvisionOptions
from adept_hub.models.parts import LEVELS, STRIDES, DetectorParts
from adept_hub.models.pooling import CANONICAL_SIZE, canonical_size_of, make_pooler
from adept_hub.models.transform import AntialiasedTransform
from adept_hub.spec import DETECTORS, Preprocessing

#: Anchors of Detectron2's and MMDetection's FPN configs: 8 x the stride on P2-P6.
DOWNSTREAM_ANCHOR_SIZES = (32.0, 64.0, 128.0, 256.0, 512.0)
DOWNSTREAM_STRIDES = (*STRIDES, 64)
MASK_CONV_CHANNELS = 256


class PyramidBackbone(nn.Module):
    """Backbone and FPN with the interface of torchvision's detectors: images in, an ordered dict of P2-P6 out."""

    def __init__(self, body: nn.Module, fpn: nn.Module, out_channels: int) -> None:
        super().__init__()
        self.body = body
        self.fpn = fpn
        self.pool = LastLevelMaxPool()
        self.out_channels = out_channels

    def forward(self, images_NCHW: Tensor) -> dict[str, Tensor]:
        """Compute P2-P5 by the FPN, and P6 as P5 subsampled by two."""
        stages = self.body(images_NCHW)
        maps = self.fpn(OrderedDict(zip(LEVELS, stages.values(), strict=True)))
        p5 = maps["p5"]
        maps["p6"] = self.pool([p5], [p5], [])[0][-1]
        return maps  # type: ignore[no-any-return]  # torchvision is untyped


@checked
def assemble_detector(
    parts: DetectorParts,
    num_classes: int,
    detector: str = "faster_rcnn",
    preprocessing: Preprocessing | None = None,
    anchor_sizes: Sequence[float] = DOWNSTREAM_ANCHOR_SIZES,
    levels: str = "stock",
    **options: Unpack[TorchvisionOptions],
) -> GeneralizedRCNN:
    """Assemble a Faster, Mask or Cascade R-CNN from ``parts`` and new class, box and mask predictors.

    Args:
        parts: the four parts, used without a copy (but Cascade's later stages have copies of the head).
        num_classes: number of classes including the background, as in torchvision.
        detector: ``faster_rcnn``, ``mask_rcnn`` or ``cascade_rcnn``.
        preprocessing: mean and std of RGB in [0, 1] for the detector's transform.
        anchor_sizes: square-root areas in pixels of the network input, for P2-P6.
        levels: the rule that assigns boxes to levels: ``stock`` (a box of 224 px to P4, as in every framework) or
            ``pretraining`` (that of pre-training, about one level coarser).
        **options: those of torchvision's FasterRCNN and MaskRCNN (``min_size``, ``rpn_post_nms_top_n_test``, ...).

    Returns:
        The detector. It takes a list of float32 RGB images (3, H, W) in [0, 1]; boxes are xyxy in their pixels.

    Raises:
        UnsupportedDetectorError: ``detector`` or ``levels`` is not valid.
        UnknownOptionError: torchvision's detectors have no such option, or the checkpoint determines it.
    """
    check_choice("detector", detector, DETECTORS, UnsupportedDetectorError)
    check_choice("levels", levels, ("stock", "pretraining"), UnsupportedDetectorError)
    check_num_classes(num_classes)
    spec, pixels = parts.spec, preprocessing or Preprocessing()
    p4_from = canonical_size_of(spec.levels) if levels == "pretraining" else CANONICAL_SIZE
    kinds = {"faster_rcnn": FasterRCNN, "mask_rcnn": MaskRCNN}
    extra = {}
    if detector == "mask_rcnn":
        extra = {
            "mask_roi_pool": make_pooler(spec.pooling, LEVELS, 14, STRIDES, p4_from),
            "mask_head": MaskRCNNHeads(
                spec.fpn_channels, [MASK_CONV_CHANNELS] * 4, dilation=1,
                norm_layer=None if spec.head_norm == "none" else nn.BatchNorm2d,
            ),
            "mask_predictor": MaskRCNNPredictor(MASK_CONV_CHANNELS, MASK_CONV_CHANNELS, num_classes),
        }  # fmt: skip
    model: GeneralizedRCNN = kinds.get(detector, FasterRCNN)(
        PyramidBackbone(parts.backbone, parts.fpn, spec.fpn_channels),
        rpn_anchor_generator=make_generator(spec.anchors, tuple(anchor_sizes), DOWNSTREAM_STRIDES),
        rpn_head=parts.rpn,
        box_roi_pool=make_pooler(spec.pooling, LEVELS, spec.ROI_SIZE, STRIDES, p4_from),
        box_head=parts.head,
        box_predictor=_box_predictor(spec.head_fc_channels, num_classes),
        image_mean=list(pixels.mean),
        image_std=list(pixels.std),
        **extra,
        **options,
    )
    old = model.transform
    model.transform = AntialiasedTransform(
        old.min_size, old.max_size, old.image_mean, old.image_std, old.size_divisible, old.fixed_size,
        _skip_resize=old._skip_resize,
    )  # fmt: skip
    if detector == "cascade_rcnn":
        model.roi_heads = CascadeRoIHeads(model.roi_heads, spec.head_fc_channels, num_classes)
    return model


def _box_predictor(channels: int, num_classes: int) -> FastRCNNPredictor:
    """Build torchvision's predictor with Detectron2's initialization.

    Pre-trained features have a large norm, so that torchvision's larger initial weights would start with a box loss
    several times as high.
    """
    predictor = FastRCNNPredictor(channels, num_classes)
    for layer, std in ((predictor.cls_score, 0.01), (predictor.bbox_pred, 0.001)):
        nn.init.normal_(layer.weight, std=std)
        nn.init.zeros_(layer.bias)
    return predictor
