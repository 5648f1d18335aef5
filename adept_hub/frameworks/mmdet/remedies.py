"""Remedies for MMDetection 3: what to change in a config so that the detector matches the weights."""

from __future__ import annotations

from collections.abc import Mapping

#: Disagreement -> remedy. ``{want}`` is the value that the weights need.
REMEDIES: Mapping[str, str] = {
    "depth": "set backbone.depth={want}",
    "backbone_norm": "set backbone.norm_cfg=dict(type='SyncBN', requires_grad=True)",
    "fpn_norm": "set neck.norm_cfg=dict(type='SyncBN', requires_grad=True)",
    "fpn_channels": "set neck.out_channels={want}, and the in_channels of rpn_head, bbox_head and the RoI extractor",
    "fpn_extra_convs": "set neck.add_extra_convs=False",
    "fpn_no_norm": "set neck.norm_cfg=None",
    "rpn_convs": "set rpn_head.num_convs={convs}",
    "rpn_channels": "set rpn_head.feat_channels={want}",
    "anchors": "set anchor_generator.ratios={ratios} and one scale",
    "rpn_softmax": "set rpn_head.loss_cls.use_sigmoid=True",
    "head_shape": "set bbox_head.type='Shared4Conv1FCBBoxHead', conv_out_channels={convs} and fc_out_channels={fc}",
    "head_shape_2fc": "set bbox_head.type='Shared2FCBBoxHead' and fc_out_channels={fc}",
    "head_no_norm": "set bbox_head.norm_cfg=None",
    "head_norm": "set bbox_head.norm_cfg=dict(type='SyncBN', requires_grad=True)",
    "channel_order": "set data_preprocessor.bgr_to_rgb=True",
    "mean": "set data_preprocessor.mean={want}",
    "std": "set data_preprocessor.std={want}",
    "stride_in_1x1": "set backbone.style='pytorch'",
    "stride_in_3x3": "set backbone.style='caffe'",
    "dilation": "set backbone.strides=(1, 2, 2, 2) and backbone.dilations=(1, 1, 1, 1)",
    "frozen_stages": "set backbone.frozen_stages=-1",
    "frozen_norms": "set backbone.norm_eval=False and norm_cfg=dict(type='SyncBN', requires_grad=True)",
    "anchor_sizes": "set anchor_generator to {want}{rescaled}",
    "anchors_unrounded": "no option rounds them; boxes differ by up to half a pixel",
    "anchors_rounded": "use AnchorGenerator",
    "roi_align": "set roi_layer=dict(type='RoIAlign', output_size=7, sampling_ratio=0, aligned=True)",
    "roi_unaligned": "set roi_layer=dict(type='RoIAlign', output_size=7, sampling_ratio=2, aligned=False)",
    "levels": "set bbox_roi_extractor.finest_scale={finest:g}, or export with --levels pretraining",
    "stages": "set roi_head.num_stages=3",
}
