"""Write a config.yaml with which Detectron2 builds a detector that matches the weights."""

from __future__ import annotations

from adept_hub.convert.framework import InferenceSettings
from adept_hub.convert.options import Target, refuse_rounded_anchors
from adept_hub.errors import CheckpointError, UnsupportedDetectorError
from adept_hub.io.read import parse_yaml
from adept_hub.spec import CheckpointConfig, DetectorSpec

#: Detectron2's names of norms that are not those of `adept_hub.convert.options.Norm`.
_NORMS = {"none": "", "FrozenBN": "FrozenBN"}
_MASK_POOLER = '    POOLER_SAMPLING_RATIO: 2\n    POOLER_TYPE: "ROIAlign"\n'


def config_yaml(
    config: CheckpointConfig, target: Target, weights: str, settings: InferenceSettings | None = None
) -> str:
    """Return the text of a config for ``get_cfg().merge_from_file`` or Detectron2's ``tools/train_net.py``.

    Args:
        config: the config of the exported checkpoint.
        target: the target of the export.
        weights: absolute path of the weights next to the config.
        settings: settings of a fine-tuned detector, if it is one.

    Raises:
        UnsupportedDetectorError: Detectron2 does not support ``target``.
    """
    if target.levels == "pretraining":
        raise UnsupportedDetectorError(
            "Detectron2's config has no option for the level assignment (its ROIPooler always uses 224 px on P4).\n"
            "Use levels='stock', and set it on the model in Python: "
            f"model.roi_heads.box_pooler.canonical_box_size = {config.spec.levels.upper[1]:g}"
        )
    spec, pixels = config.spec, config.preprocessing
    refuse_rounded_anchors(spec, target, "Detectron2", finished=settings is not None)
    body, fpn, head = (_NORMS.get(target.norm_of(spec, part), target.norm) for part in ("backbone", "fpn", "head"))
    cascade = target.detector == "cascade_rcnn"
    text = TEMPLATE.format(
        name=config.name,
        detector=target.detector,
        sha256=config.sha256,
        weights=weights,
        mean=[round(255 * m, 4) for m in pixels.mean],
        std=[round(255 * s, 4) for s in pixels.std],
        depth=spec.depth,
        res2=spec.stage_channels[0],
        why=_why(spec),
        stride_in_1x1=spec.stride_in_1x1,
        body=body,
        inner=fpn,
        head=head,
        dims=f"[{', '.join(['-1'] * spec.rpn_convs)}]",
        fpn=spec.fpn_channels,
        sizes=[[size] for size in target.anchor_sizes(spec)],
        ratios=[list(spec.anchors.ratios)],
        roi_heads="CascadeROIHeads" if cascade else "StandardROIHeads",
        classes=target.num_classes - 1,
        convs=spec.head_layers[0],
        fcs=spec.head_layers[1],
        pooler="ROIAlignV2" if spec.pooling == "aligned" else "ROIAlign",
        sampling=0 if spec.pooling == "aligned" else 2,
        mask_pooler="" if spec.pooling == "aligned" else _MASK_POOLER,
        conv_dim=spec.head_conv_channels,
        fc_dim=spec.head_fc_channels,
        roi=spec.ROI_SIZE,
        agnostic=cascade,
        mask=target.detector == "mask_rcnn",
        proposals=2000 if cascade else 1000,
    )
    return text if settings is None else _finished(text, settings)


def _why(spec: DetectorSpec) -> str:
    if other := spec.differences():
        return f"The weights have {', '.join(other)}."
    defaults = "BGR, std 1, stride in the 1x1, FrozenBN, no norm in FPN and head"
    return f"The stock defaults ({defaults}) do not match the weights."


def _finished(text: str, settings: InferenceSettings) -> str:
    """Return an export's config with the settings of a fine-tuned detector; needs PyYAML."""
    import yaml

    comments = "".join(line for line in text.splitlines(keepends=True) if line.startswith("#"))
    content = parse_yaml(text, "The export's config", CheckpointError)
    content["INPUT"] |= {"MIN_SIZE_TEST": settings.side, "MAX_SIZE_TEST": settings.longest}
    content["MODEL"]["ANCHOR_GENERATOR"]["SIZES"] = [[size] for size in settings.anchors]
    content["MODEL"]["RPN"]["POST_NMS_TOPK_TEST"] = settings.proposals
    content["MODEL"]["ROI_HEADS"]["SCORE_THRESH_TEST"] = settings.score
    content["TEST"]["DETECTIONS_PER_IMAGE"] = settings.detections
    return comments + str(yaml.safe_dump(content, sort_keys=False))


# Solver and test settings are those of SoCo's published fine-tuning; omitted keys have defaults that already match the
# weights.
TEMPLATE = """\
# Detectron2 config for {name} ({detector}), written by adept export; sha256 of the checkpoint {sha256}.
# {why}
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
    STRIDE_IN_1X1: {stride_in_1x1}
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
    CONV_DIMS: {dims}
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
    NUM_FC: {fcs}
    FC_DIM: {fc_dim}
    NORM: "{head}"
    POOLER_RESOLUTION: {roi}
    POOLER_SAMPLING_RATIO: {sampling}
    POOLER_TYPE: "{pooler}"
    CLS_AGNOSTIC_BBOX_REG: {agnostic}
  ROI_MASK_HEAD:
    NAME: "MaskRCNNConvUpsampleHead"
    NUM_CONV: 4
    NORM: "{head}"
    POOLER_RESOLUTION: 14
{mask_pooler}INPUT:
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
