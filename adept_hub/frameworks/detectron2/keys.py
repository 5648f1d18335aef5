"""Names of Detectron2's detectors, and the patterns by which they are recognized."""

from __future__ import annotations

from adept_hub.convert.framework import KeyPatterns
from adept_hub.convert.keymap import KeyRow
from adept_hub.convert.structure import Layout

BODY = (
    KeyRow("conv", "backbone.conv1", "backbone.bottom_up.stem.conv1"),
    KeyRow("norm", "backbone.bn1", "backbone.bottom_up.stem.conv1.norm"),
    KeyRow("conv", "backbone.layer1.{}.conv{}", "backbone.bottom_up.res2.{}.conv{}"),
    KeyRow("norm", "backbone.layer1.{}.bn{}", "backbone.bottom_up.res2.{}.conv{}.norm"),
    KeyRow("conv", "backbone.layer1.{}.downsample.0", "backbone.bottom_up.res2.{}.shortcut"),
    KeyRow("norm", "backbone.layer1.{}.downsample.1", "backbone.bottom_up.res2.{}.shortcut.norm"),
    KeyRow("conv", "backbone.layer2.{}.conv{}", "backbone.bottom_up.res3.{}.conv{}"),
    KeyRow("norm", "backbone.layer2.{}.bn{}", "backbone.bottom_up.res3.{}.conv{}.norm"),
    KeyRow("conv", "backbone.layer2.{}.downsample.0", "backbone.bottom_up.res3.{}.shortcut"),
    KeyRow("norm", "backbone.layer2.{}.downsample.1", "backbone.bottom_up.res3.{}.shortcut.norm"),
    KeyRow("conv", "backbone.layer3.{}.conv{}", "backbone.bottom_up.res4.{}.conv{}"),
    KeyRow("norm", "backbone.layer3.{}.bn{}", "backbone.bottom_up.res4.{}.conv{}.norm"),
    KeyRow("conv", "backbone.layer3.{}.downsample.0", "backbone.bottom_up.res4.{}.shortcut"),
    KeyRow("norm", "backbone.layer3.{}.downsample.1", "backbone.bottom_up.res4.{}.shortcut.norm"),
    KeyRow("conv", "backbone.layer4.{}.conv{}", "backbone.bottom_up.res5.{}.conv{}"),
    KeyRow("norm", "backbone.layer4.{}.bn{}", "backbone.bottom_up.res5.{}.conv{}.norm"),
    KeyRow("conv", "backbone.layer4.{}.downsample.0", "backbone.bottom_up.res5.{}.shortcut"),
    KeyRow("norm", "backbone.layer4.{}.downsample.1", "backbone.bottom_up.res5.{}.shortcut.norm"),
    # Detectron2 numbers pyramid levels by the logarithm of their stride.
    KeyRow("conv_bias", "fpn.inner_blocks.0.0", "backbone.fpn_lateral2"),
    KeyRow("norm", "fpn.inner_blocks.0.1", "backbone.fpn_lateral2.norm"),
    KeyRow("conv_bias", "fpn.inner_blocks.1.0", "backbone.fpn_lateral3"),
    KeyRow("norm", "fpn.inner_blocks.1.1", "backbone.fpn_lateral3.norm"),
    KeyRow("conv_bias", "fpn.inner_blocks.2.0", "backbone.fpn_lateral4"),
    KeyRow("norm", "fpn.inner_blocks.2.1", "backbone.fpn_lateral4.norm"),
    KeyRow("conv_bias", "fpn.inner_blocks.3.0", "backbone.fpn_lateral5"),
    KeyRow("norm", "fpn.inner_blocks.3.1", "backbone.fpn_lateral5.norm"),
    KeyRow("conv_bias", "fpn.layer_blocks.0.0", "backbone.fpn_output2"),
    KeyRow("norm", "fpn.layer_blocks.0.1", "backbone.fpn_output2.norm"),
    KeyRow("conv_bias", "fpn.layer_blocks.1.0", "backbone.fpn_output3"),
    KeyRow("norm", "fpn.layer_blocks.1.1", "backbone.fpn_output3.norm"),
    KeyRow("conv_bias", "fpn.layer_blocks.2.0", "backbone.fpn_output4"),
    KeyRow("norm", "fpn.layer_blocks.2.1", "backbone.fpn_output4.norm"),
    KeyRow("conv_bias", "fpn.layer_blocks.3.0", "backbone.fpn_output5"),
    KeyRow("norm", "fpn.layer_blocks.3.1", "backbone.fpn_output5.norm"),
    KeyRow("linear", "rpn.conv.0.0", "proposal_generator.rpn_head.conv"),
    KeyRow("linear", "rpn.cls_logits", "proposal_generator.rpn_head.objectness_logits"),
    KeyRow("linear", "rpn.bbox_pred", "proposal_generator.rpn_head.anchor_deltas"),
)

#: Canonical module of the RoI head -> its name inside a box head.
HEAD = (
    KeyRow("conv_bias", "head.0.0", "conv1"),
    KeyRow("norm", "head.0.1", "conv1.norm"),
    KeyRow("conv_bias", "head.1.0", "conv2"),
    KeyRow("norm", "head.1.1", "conv2.norm"),
    KeyRow("conv_bias", "head.2.0", "conv3"),
    KeyRow("norm", "head.2.1", "conv3.norm"),
    KeyRow("conv_bias", "head.3.0", "conv4"),
    KeyRow("norm", "head.3.1", "conv4.norm"),
    KeyRow("linear", "head.5", "fc1"),
)

TWO_FC = (KeyRow("linear", "head.fc6", "fc1"), KeyRow("linear", "head.fc7", "fc2"))

DEEP_RPN = (
    KeyRow("linear", "rpn.conv.0.0", "proposal_generator.rpn_head.conv.conv0"),
    KeyRow("linear", "rpn.conv.1.0", "proposal_generator.rpn_head.conv.conv1"),
)

#: Keys that are not pre-trained: predictors, the mask head, and buffers in old files.
FRESH = (
    r"roi_heads\.box_predictor\..*",
    r"roi_heads\.mask_head\..*",
    r"pixel_(mean|std)",
    r"(proposal_generator\.)?anchor_generator\.cell_anchors\.\d+",
)

#: The box predictors; the slot ``{stage}`` is replaced for Cascade only.
BOX_PREDICTOR = (
    KeyRow("linear", "cls", "roi_heads.box_predictor{stage}.cls_score"),
    KeyRow("linear", "box", "roi_heads.box_predictor{stage}.bbox_pred"),
)

MASK_HEAD = (
    KeyRow("conv_bias", "mask.0.0", "roi_heads.mask_head.mask_fcn1"),
    KeyRow("norm", "mask.0.1", "roi_heads.mask_head.mask_fcn1.norm"),
    KeyRow("conv_bias", "mask.1.0", "roi_heads.mask_head.mask_fcn2"),
    KeyRow("norm", "mask.1.1", "roi_heads.mask_head.mask_fcn2.norm"),
    KeyRow("conv_bias", "mask.2.0", "roi_heads.mask_head.mask_fcn3"),
    KeyRow("norm", "mask.2.1", "roi_heads.mask_head.mask_fcn3.norm"),
    KeyRow("conv_bias", "mask.3.0", "roi_heads.mask_head.mask_fcn4"),
    KeyRow("norm", "mask.3.1", "roi_heads.mask_head.mask_fcn4.norm"),
    KeyRow("linear", "mask.up", "roi_heads.mask_head.deconv"),
    KeyRow("linear", "mask.logits", "roi_heads.mask_head.predictor"),
)

#: Keys that a state dict may have besides weights.
BUFFERS: tuple[str, ...] = (r"pixel_(mean|std)", r"(proposal_generator\.)?anchor_generator\.cell_anchors\.\d+")

LAYOUT = Layout(
    parts={
        "backbone": r"backbone\.bottom_up\..*",
        "fpn": r"backbone\.(?!bottom_up\.).*",
        "rpn": r"proposal_generator\.rpn_head\..*",
        "head": r"roi_heads\.box_head\..*",
    },
    block=r"backbone\.bottom_up\.res4\.(\d+)\.conv(\d)\.weight",
    stem_norm=("backbone.bottom_up.stem.conv1.norm",),
    fpn_conv="backbone.fpn_lateral2",
    fpn_norm=("backbone.fpn_lateral2.norm",),
    fpn_extra=r"backbone\.top_block\..*",
    rpn_conv=r"proposal_generator\.rpn_head\.conv(\.conv\d+)?\.weight",
    rpn_cls="proposal_generator.rpn_head.objectness_logits",
    rpn_reg="proposal_generator.rpn_head.anchor_deltas",
    head_conv=r"conv(\d+)\.weight",
    head_fc=r"fc(\d+)\.weight",
    head_norm=r"conv1\.norm",
    box_head="roi_heads.box_head.",
)

PATTERNS = KeyPatterns(
    marker=r"backbone\.bottom_up\.stem\.conv1\.weight",
    two_stage=(r"backbone\.fpn_.*", r"proposal_generator\.rpn_head\..*", r"roi_heads\.box_head\..*"),
    cascade=r"roi_heads\.box_predictor\.\d+\..*",
    mask=r"roi_heads\.mask_head\..*",
    without_fpn=(
        (r"backbone\.(stem\.conv1|res2\.0\.conv1)\.weight", "a Detectron2 C4 or DC5 model, which has no FPN"),
    ),
)
