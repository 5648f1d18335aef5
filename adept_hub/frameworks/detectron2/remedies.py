"""Remedies for Detectron2: what to change in a config so that the detector matches the weights."""

from __future__ import annotations

from collections.abc import Mapping

#: Disagreement -> remedy. ``{want}`` is the value that the weights need.
REMEDIES: Mapping[str, str] = {
    "depth": "set MODEL.RESNETS.DEPTH to {want}",
    "backbone_norm": 'set MODEL.RESNETS.NORM to "SyncBN", "BN" or "FrozenBN"',
    "fpn_norm": 'set MODEL.FPN.NORM to "SyncBN"',
    "fpn_channels": "set MODEL.FPN.OUT_CHANNELS to {want}",
    "fpn_extra_convs": 'set MODEL.BACKBONE.NAME to "build_resnet_fpn_backbone", whose P6 is pooled',
    "fpn_no_norm": 'set MODEL.FPN.NORM to ""',
    "rpn_convs": "set MODEL.RPN.CONV_DIMS to {dims}",
    "rpn_channels": "set MODEL.RPN.CONV_DIMS to {dims}",
    "anchors": "set MODEL.ANCHOR_GENERATOR.ASPECT_RATIOS to [{ratios}], with one size per level in SIZES",
    "rpn_softmax": "use one sigmoid logit per anchor",
    "head_shape": "set MODEL.ROI_BOX_HEAD.NUM_CONV to 4, NUM_FC to 1, CONV_DIM to {convs} and FC_DIM to {fc}",
    "head_shape_2fc": "set MODEL.ROI_BOX_HEAD.NUM_CONV to 0, NUM_FC to 2 and FC_DIM to {fc}",
    "head_no_norm": 'set MODEL.ROI_BOX_HEAD.NORM to ""',
    "head_norm": 'set MODEL.ROI_BOX_HEAD.NORM to "SyncBN"',
    "channel_order": 'set INPUT.FORMAT to "RGB"',
    "mean": "set MODEL.PIXEL_MEAN to {want}",
    "std": "set MODEL.PIXEL_STD to {want}",
    "stride_in_1x1": "set MODEL.RESNETS.STRIDE_IN_1X1 to False",
    "stride_in_3x3": "set MODEL.RESNETS.STRIDE_IN_1X1 to True",
    "dilation": "set MODEL.RESNETS.RES5_DILATION to 1",
    "frozen_stages": "set MODEL.BACKBONE.FREEZE_AT to 0",
    "frozen_norms": 'set MODEL.RESNETS.NORM to "SyncBN"',
    "anchor_sizes": "set MODEL.ANCHOR_GENERATOR.SIZES to {want}{rescaled}",
    "anchors_unrounded": "no option rounds them; boxes differ by up to half a pixel",
    "anchors_rounded": "use DefaultAnchorGenerator",
    "roi_align": 'set MODEL.ROI_BOX_HEAD.POOLER_TYPE to "ROIAlignV2" and POOLER_SAMPLING_RATIO to 0',
    "roi_unaligned": 'set MODEL.ROI_BOX_HEAD.POOLER_TYPE to "ROIAlign" and POOLER_SAMPLING_RATIO to 2',
    "levels": "no option changes it; in Python: model.roi_heads.box_pooler.canonical_box_size = {p4:g}",
    "stages": "leave MODEL.ROI_BOX_CASCADE_HEAD.IOUS at three values",
}
