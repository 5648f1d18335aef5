"""Names of torchvision's detectors, and the patterns by which they are recognized."""

from __future__ import annotations

from adept_hub.convert.framework import KeyPatterns
from adept_hub.convert.keymap import KeyRow
from adept_hub.convert.structure import Layout

BODY = (
    KeyRow("conv", "backbone.conv1", "backbone.body.conv1"),
    KeyRow("norm", "backbone.bn1", "backbone.body.bn1"),
    KeyRow("conv", "backbone.layer{}.{}.conv{}", "backbone.body.layer{}.{}.conv{}"),
    KeyRow("norm", "backbone.layer{}.{}.bn{}", "backbone.body.layer{}.{}.bn{}"),
    KeyRow("conv", "backbone.layer{}.{}.downsample.0", "backbone.body.layer{}.{}.downsample.0"),
    KeyRow("norm", "backbone.layer{}.{}.downsample.1", "backbone.body.layer{}.{}.downsample.1"),
    KeyRow("conv_bias", "fpn.inner_blocks.{}.0", "backbone.fpn.inner_blocks.{}.0"),
    KeyRow("norm", "fpn.inner_blocks.{}.1", "backbone.fpn.inner_blocks.{}.1"),
    KeyRow("conv_bias", "fpn.layer_blocks.{}.0", "backbone.fpn.layer_blocks.{}.0"),
    KeyRow("norm", "fpn.layer_blocks.{}.1", "backbone.fpn.layer_blocks.{}.1"),
    KeyRow("linear", "rpn.conv.0.0", "rpn.head.conv.0.0"),
    KeyRow("linear", "rpn.cls_logits", "rpn.head.cls_logits"),
    KeyRow("linear", "rpn.bbox_pred", "rpn.head.bbox_pred"),
)

#: Canonical module of the RoI head -> its name inside a box head.
HEAD = (
    KeyRow("conv_bias", "head.0.0", "0.0"),
    KeyRow("norm", "head.0.1", "0.1"),
    KeyRow("conv_bias", "head.1.0", "1.0"),
    KeyRow("norm", "head.1.1", "1.1"),
    KeyRow("conv_bias", "head.2.0", "2.0"),
    KeyRow("norm", "head.2.1", "2.1"),
    KeyRow("conv_bias", "head.3.0", "3.0"),
    KeyRow("norm", "head.3.1", "3.1"),
    KeyRow("linear", "head.5", "5"),
)

TWO_FC = (KeyRow("linear", "head.fc6", "fc6"), KeyRow("linear", "head.fc7", "fc7"))

DEEP_RPN = (
    KeyRow("linear", "rpn.conv.0.0", "rpn.head.conv.0.0"),
    KeyRow("linear", "rpn.conv.1.0", "rpn.head.conv.1.0"),
)

#: Keys that are not pre-trained: predictors and the mask head.
FRESH = (
    r"roi_heads\.box_predictor\..*",
    r"roi_heads\.mask_(head|predictor)\..*",
)

#: The box predictors; the slot ``{stage}`` is replaced for Cascade only.
BOX_PREDICTOR = (
    KeyRow("linear", "cls", "roi_heads.box_predictor{stage}.cls_score"),
    KeyRow("linear", "box", "roi_heads.box_predictor{stage}.bbox_pred"),
)

MASK_HEAD = (
    KeyRow("conv_bias", "mask.{}.0", "roi_heads.mask_head.{}.0"),
    KeyRow("norm", "mask.{}.1", "roi_heads.mask_head.{}.1"),
    KeyRow("linear", "mask.up", "roi_heads.mask_predictor.conv5_mask"),
    KeyRow("linear", "mask.logits", "roi_heads.mask_predictor.mask_fcn_logits"),
)

#: Keys that a state dict may have besides weights.
BUFFERS: tuple[str, ...] = ()

LAYOUT = Layout(
    parts={
        "backbone": r"backbone\.body\..*",
        "fpn": r"backbone\.fpn\..*",
        "rpn": r"rpn\.head\..*",
        "head": r"roi_heads\.box_head\..*",
    },
    block=r"backbone\.body\.layer3\.(\d+)\.conv(\d)\.weight",
    stem_norm=("backbone.body.bn1",),
    fpn_conv="backbone.fpn.inner_blocks.0.0",
    fpn_norm=("backbone.fpn.inner_blocks.0.1",),
    fpn_extra=r"backbone\.fpn\.extra_blocks\..*",
    rpn_conv=r"rpn\.head\.conv\.\d+\.0\.weight",
    rpn_cls="rpn.head.cls_logits",
    rpn_reg="rpn.head.bbox_pred",
    head_conv=r"(\d+)\.0\.weight",
    head_fc=r"(?:fc)?(\d+)\.weight",
    head_norm=r"0\.1",
    box_head="roi_heads.box_head.",
)

PATTERNS = KeyPatterns(
    marker=r"backbone\.body\.conv1\.weight",
    two_stage=(r"backbone\.fpn\..*", r"rpn\.head\..*", r"roi_heads\.box_head\..*"),
    cascade=r"roi_heads\.box_predictor\.\d+\..*",
    mask=r"roi_heads\.mask_head\..*",
    without_fpn=((r"backbone\.body\.0\.0\.weight", "a torchvision detector with MobileNet"),),
)
