"""Detectron2: the literal key table, and a config.yaml that makes a stock Detectron2 agree with the weights."""

from __future__ import annotations

from adept_hub.convert.keymap import KeyRow, KeyTable
from adept_hub.convert.options import CASCADE_STAGES, Detector, Target
from adept_hub.errors import UnsupportedDetectorError
from adept_hub.spec import CheckpointConfig

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

#: Module of the RoI head -> the same inside a box head.
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

#: Keys that are not pre-trained: predictors, the mask head, and buffers that old files hold.
FRESH = (
    r"roi_heads\.box_predictor\..*",
    r"roi_heads\.mask_head\..*",
    r"pixel_(mean|std)",
    r"(proposal_generator\.)?anchor_generator\.cell_anchors\.\d+",
)


def table(detector: Detector) -> KeyTable:
    """The key table of one detector."""
    heads = [f"roi_heads.box_head.{i}" for i in range(CASCADE_STAGES)]
    prefixes = heads if detector == "cascade_rcnn" else ["roi_heads.box_head"]
    rows = (KeyRow(kind, name, f"{prefix}.{target}") for prefix in prefixes for kind, name, target in HEAD)
    return KeyTable("detectron2", (*BODY, *rows), FRESH)


def config_yaml(config: CheckpointConfig, target: Target, weights: str) -> str:
    """Text of a config for ``get_cfg().merge_from_file`` or Detectron2's own ``tools/train_net.py --config-file``.

    Args:
        config: of the checkpoint that was exported.
        target: what it was exported into.
        weights: absolute path of the weights beside the config.

    Raises:
        UnsupportedDetectorError: Detectron2 cannot express ``target``.
    """
    if target.levels == "pretraining":
        raise UnsupportedDetectorError(
            "Detectron2's config has no option for the level assignment (its ROIPooler is given 224 px on P4).\n"
            "Leave levels='stock', and set it on the model in Python: "
            f"model.roi_heads.box_pooler.canonical_box_size = {config.spec.levels.upper[1]:g}"
        )
    spec, pixels = config.spec, config.preprocessing
    inner = "" if target.norm == "none" else target.norm
    body = target.norm if inner else "FrozenBN"
    cascade = target.detector == "cascade_rcnn"
    return TEMPLATE.format(
        name=config.name,
        detector=target.detector,
        sha256=config.sha256,
        weights=weights,
        mean=[round(255 * m, 4) for m in pixels.mean],
        std=[round(255 * s, 4) for s in pixels.std],
        depth=spec.depth,
        res2=spec.stage_channels[0],
        body=body,
        inner=inner,
        fpn=spec.fpn_channels,
        sizes=[[size] for size in target.anchor_sizes(spec)],
        ratios=[list(spec.anchors.ratios)],
        roi_heads="CascadeROIHeads" if cascade else "StandardROIHeads",
        classes=target.num_classes - 1,
        convs=spec.HEAD_CONVS,
        conv_dim=spec.head_conv_channels,
        fc_dim=spec.head_fc_channels,
        roi=spec.ROI_SIZE,
        agnostic=cascade,
        mask=target.detector == "mask_rcnn",
        proposals=2000 if cascade else 1000,
    )


# Solver and test settings are those of SoCo's published fine-tuning; where a key is left out,
# Detectron2's default already agrees with the weights.
TEMPLATE = """\
# Detectron2 config for {name} ({detector}), written by adept export; sha256 of the checkpoint {sha256}.
# Without it, stock defaults (BGR, std 1, stride in the 1x1, FrozenBN, no norm in FPN and head) would spoil the weights.
# Run:      train_net.py --config-file config.yaml
# Override: train_net.py --config-file config.yaml MODEL.WEIGHTS /elsewhere/model.pth MODEL.ROI_HEADS.NUM_CLASSES 3
VERSION: 2
MODEL:
  META_ARCHITECTURE: "GeneralizedRCNN"
  WEIGHTS: "{weights}"
  MASK_ON: {mask}
  PIXEL_MEAN: {mean}  # RGB, 0-255
  PIXEL_STD: {std}
  BACKBONE:
    NAME: "build_resnet_fpn_backbone"
    FREEZE_AT: 0
  RESNETS:
    DEPTH: {depth}
    OUT_FEATURES: ["res2", "res3", "res4", "res5"]
    RES2_OUT_CHANNELS: {res2}
    STRIDE_IN_1X1: False
    NORM: "{body}"
  FPN:
    IN_FEATURES: ["res2", "res3", "res4", "res5"]
    OUT_CHANNELS: {fpn}
    NORM: "{inner}"
    FUSE_TYPE: "sum"
  ANCHOR_GENERATOR:
    SIZES: {sizes}
    ASPECT_RATIOS: {ratios}
    OFFSET: 0.0
  RPN:
    HEAD_NAME: "StandardRPNHead"
    IN_FEATURES: ["p2", "p3", "p4", "p5", "p6"]
    CONV_DIMS: [-1]
    PRE_NMS_TOPK_TRAIN: 2000
    PRE_NMS_TOPK_TEST: 1000
    POST_NMS_TOPK_TRAIN: {proposals}
    POST_NMS_TOPK_TEST: 1000
  ROI_HEADS:
    NAME: "{roi_heads}"
    IN_FEATURES: ["p2", "p3", "p4", "p5"]
    NUM_CLASSES: {classes}  # without the background
  ROI_BOX_HEAD:
    NAME: "FastRCNNConvFCHead"
    NUM_CONV: {convs}
    CONV_DIM: {conv_dim}
    NUM_FC: 1
    FC_DIM: {fc_dim}
    NORM: "{inner}"
    POOLER_RESOLUTION: {roi}
    POOLER_SAMPLING_RATIO: 0
    POOLER_TYPE: "ROIAlignV2"
    CLS_AGNOSTIC_BBOX_REG: {agnostic}
  ROI_MASK_HEAD:
    NAME: "MaskRCNNConvUpsampleHead"
    NUM_CONV: 4
    NORM: "{inner}"
    POOLER_RESOLUTION: 14
INPUT:
  FORMAT: "RGB"
  MIN_SIZE_TRAIN: (640, 672, 704, 736, 768, 800)
DATASETS:
  TRAIN: ("coco_2017_train",)
  TEST: ("coco_2017_val",)
SOLVER:
  IMS_PER_BATCH: 16
  BASE_LR: 0.02
  WEIGHT_DECAY: 0.000025
  STEPS: (60000, 80000)
  MAX_ITER: 90000
TEST:
  PRECISE_BN:
    ENABLED: True
"""
