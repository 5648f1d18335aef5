"""Names of MMDetection 3's detectors, and the patterns by which they are recognized."""

from __future__ import annotations

from adept_hub.convert.framework import KeyPatterns
from adept_hub.convert.keymap import KeyRow
from adept_hub.convert.structure import Layout

BODY = (
    # MMDetection's ResNet uses torchvision's names.
    KeyRow("conv", "backbone.conv1", "backbone.conv1"),
    KeyRow("norm", "backbone.bn1", "backbone.bn1"),
    KeyRow("conv", "backbone.layer{}.{}.conv{}", "backbone.layer{}.{}.conv{}"),
    KeyRow("norm", "backbone.layer{}.{}.bn{}", "backbone.layer{}.{}.bn{}"),
    KeyRow("conv", "backbone.layer{}.{}.downsample.0", "backbone.layer{}.{}.downsample.0"),
    KeyRow("norm", "backbone.layer{}.{}.downsample.1", "backbone.layer{}.{}.downsample.1"),
    KeyRow("conv_bias", "fpn.inner_blocks.{}.0", "neck.lateral_convs.{}.conv"),
    KeyRow("norm", "fpn.inner_blocks.{}.1", "neck.lateral_convs.{}.bn"),
    KeyRow("conv_bias", "fpn.layer_blocks.{}.0", "neck.fpn_convs.{}.conv"),
    KeyRow("norm", "fpn.layer_blocks.{}.1", "neck.fpn_convs.{}.bn"),
    KeyRow("linear", "rpn.conv.0.0", "rpn_head.rpn_conv"),
    KeyRow("linear", "rpn.cls_logits", "rpn_head.rpn_cls"),
    KeyRow("linear", "rpn.bbox_pred", "rpn_head.rpn_reg"),
)

#: Canonical module of the RoI head -> its name inside a bbox head.
HEAD = (
    KeyRow("conv_bias", "head.0.0", "shared_convs.0.conv"),
    KeyRow("norm", "head.0.1", "shared_convs.0.bn"),
    KeyRow("conv_bias", "head.1.0", "shared_convs.1.conv"),
    KeyRow("norm", "head.1.1", "shared_convs.1.bn"),
    KeyRow("conv_bias", "head.2.0", "shared_convs.2.conv"),
    KeyRow("norm", "head.2.1", "shared_convs.2.bn"),
    KeyRow("conv_bias", "head.3.0", "shared_convs.3.conv"),
    KeyRow("norm", "head.3.1", "shared_convs.3.bn"),
    KeyRow("linear", "head.5", "shared_fcs.0"),
)

TWO_FC = (KeyRow("linear", "head.fc6", "shared_fcs.0"), KeyRow("linear", "head.fc7", "shared_fcs.1"))

DEEP_RPN = (
    KeyRow("linear", "rpn.conv.0.0", "rpn_head.rpn_conv.0.conv"),
    KeyRow("linear", "rpn.conv.1.0", "rpn_head.rpn_conv.1.conv"),
)

#: Keys that are not pre-trained: predictors and the mask head.
FRESH = (
    r"roi_head\.bbox_head\.(\d+\.)?fc_(cls|reg)\..*",
    r"roi_head\.mask_head\..*",
    r"data_preprocessor\.(mean|std)",
)

#: The box predictors; the slot ``{stage}`` is replaced for Cascade only.
BOX_PREDICTOR = (
    KeyRow("linear", "cls", "roi_head.bbox_head{stage}.fc_cls"),
    KeyRow("linear", "box", "roi_head.bbox_head{stage}.fc_reg"),
)

MASK_HEAD = (
    KeyRow("conv_bias", "mask.{}.0", "roi_head.mask_head.convs.{}.conv"),
    KeyRow("norm", "mask.{}.1", "roi_head.mask_head.convs.{}.bn"),
    KeyRow("linear", "mask.up", "roi_head.mask_head.upsample"),
    KeyRow("linear", "mask.logits", "roi_head.mask_head.conv_logits"),
)

#: Keys that a state dict may have besides weights.
BUFFERS: tuple[str, ...] = (r"data_preprocessor\.(mean|std)",)

LAYOUT = Layout(
    parts={
        "backbone": r"backbone\..*",
        "fpn": r"neck\..*",
        "rpn": r"rpn_head\..*",
        "head": r"roi_head\.bbox_head\.(?!(\d+\.)?fc_(cls|reg)\.).*",
    },
    block=r"backbone\.layer3\.(\d+)\.conv(\d)\.weight",
    stem_norm=("backbone.bn1", "backbone.gn1"),
    fpn_conv="neck.lateral_convs.0.conv",
    fpn_norm=("neck.lateral_convs.0.bn", "neck.lateral_convs.0.gn"),
    fpn_extra=r"neck\.fpn_convs\.([4-9]|\d\d+)\..*",
    rpn_conv=r"rpn_head\.rpn_conv(\.\d+\.conv)?\.weight",
    rpn_cls="rpn_head.rpn_cls",
    rpn_reg="rpn_head.rpn_reg",
    head_conv=r"shared_convs\.(\d+)\.conv\.weight",
    head_fc=r"shared_fcs\.(\d+)\.weight",
    head_norm=r"shared_convs\.0\.[bg]n",
    box_head="roi_head.bbox_head.",
)

PATTERNS = KeyPatterns(
    marker=r"backbone\.conv1\.weight",
    two_stage=(r"neck\..*", r"rpn_head\..*", r"roi_head\.bbox_head\..*"),
    cascade=r"roi_head\.bbox_head\.\d+\..*",
    mask=r"roi_head\.mask_head\..*",
)
