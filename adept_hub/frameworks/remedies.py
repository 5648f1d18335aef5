"""What to change in a model so that it can hold the weights, in each framework's own words."""

from __future__ import annotations

from collections.abc import Mapping

#: Disagreement -> framework -> remedy. ``{want}`` is the value that the weights need.
REMEDIES: Mapping[str, Mapping[str, str]] = {
    "depth": {
        "torchvision": "build the backbone with resnet_fpn_backbone(backbone_name='resnet{want}', ...)",
        "detectron2": "set MODEL.RESNETS.DEPTH to {want}",
        "mmdet": "set backbone.depth={want}",
    },
    "backbone_norm": {
        "torchvision": "build the ResNet with norm_layer=torch.nn.BatchNorm2d",
        "detectron2": 'set MODEL.RESNETS.NORM to "SyncBN", "BN" or "FrozenBN"',
        "mmdet": "set backbone.norm_cfg=dict(type='SyncBN', requires_grad=True)",
    },
    "fpn_norm": {
        "torchvision": "build the FPN with norm_layer=torch.nn.BatchNorm2d (stock fasterrcnn_resnet50_fpn has none)",
        "detectron2": 'set MODEL.FPN.NORM to "SyncBN"',
        "mmdet": "set neck.norm_cfg=dict(type='SyncBN', requires_grad=True)",
    },
    "fpn_channels": {
        "torchvision": "build the FPN with out_channels={want}",
        "detectron2": "set MODEL.FPN.OUT_CHANNELS to {want}",
        "mmdet": "set neck.out_channels={want}, and in_channels of rpn_head, bbox_head and the RoI extractor to it",
    },
    "fpn_extra_convs": {
        "torchvision": "build the FPN with extra_blocks=LastLevelMaxPool()",
        "detectron2": 'set MODEL.BACKBONE.NAME to "build_resnet_fpn_backbone", whose P6 is pooled',
        "mmdet": "set neck.add_extra_convs=False",
    },
    "rpn_convs": {
        "torchvision": "pass rpn_head=RPNHead({channels}, {count}, conv_depth=1) "
        "(stock fasterrcnn_resnet50_fpn_v2 has two)",
        "detectron2": "set MODEL.RPN.CONV_DIMS to [-1]",
        "mmdet": "set rpn_head.num_convs=1",
    },
    "rpn_channels": {
        "torchvision": "pass rpn_head=RPNHead({want}, {count}, conv_depth=1)",
        "detectron2": "set MODEL.RPN.CONV_DIMS to [-1]",
        "mmdet": "set rpn_head.feat_channels={want}",
    },
    "anchors": {
        "torchvision": "pass an AnchorGenerator with aspect_ratios=({ratios},) * 5 and one size a level",
        "detectron2": "set MODEL.ANCHOR_GENERATOR.ASPECT_RATIOS to [{ratios}], with one size a level in SIZES",
        "mmdet": "set anchor_generator.ratios={ratios} and one scale",
    },
    "rpn_softmax": {
        "torchvision": "use one sigmoid logit an anchor",
        "detectron2": "use one sigmoid logit an anchor",
        "mmdet": "set rpn_head.loss_cls.use_sigmoid=True",
    },
    "head_shape": {
        "torchvision": "pass box_head=FastRCNNConvFCHead(({channels}, 7, 7), [{convs}] * 4, [{fc}], "
        "norm_layer=torch.nn.BatchNorm2d)",
        "detectron2": "set MODEL.ROI_BOX_HEAD.NUM_CONV to 4, NUM_FC to 1, CONV_DIM to {convs} and FC_DIM to {fc}",
        "mmdet": "set bbox_head.type='Shared4Conv1FCBBoxHead', conv_out_channels={convs} and fc_out_channels={fc}",
    },
    "head_norm": {
        "torchvision": "pass box_head=FastRCNNConvFCHead(..., norm_layer=torch.nn.BatchNorm2d)",
        "detectron2": 'set MODEL.ROI_BOX_HEAD.NORM to "SyncBN"',
        "mmdet": "set bbox_head.norm_cfg=dict(type='SyncBN', requires_grad=True)",
    },
    "channel_order": {
        "torchvision": "give RGB images",
        "detectron2": 'set INPUT.FORMAT to "RGB"',
        "mmdet": "set data_preprocessor.bgr_to_rgb=True",
    },
    "mean": {
        "torchvision": "pass image_mean={want}",
        "detectron2": "set MODEL.PIXEL_MEAN to {want}",
        "mmdet": "set data_preprocessor.mean={want}",
    },
    "std": {
        "torchvision": "pass image_std={want}",
        "detectron2": "set MODEL.PIXEL_STD to {want}",
        "mmdet": "set data_preprocessor.std={want}",
    },
    "stride_in_1x1": {
        "torchvision": "build the backbone from torchvision.models.resnet",
        "detectron2": "set MODEL.RESNETS.STRIDE_IN_1X1 to False",
        "mmdet": "set backbone.style='pytorch'",
    },
    "dilation": {
        "torchvision": "leave replace_stride_with_dilation out",
        "detectron2": "set MODEL.RESNETS.RES5_DILATION to 1",
        "mmdet": "set backbone.strides=(1, 2, 2, 2) and backbone.dilations=(1, 1, 1, 1)",
    },
    "frozen_stages": {
        "torchvision": "pass trainable_backbone_layers=5",
        "detectron2": "set MODEL.BACKBONE.FREEZE_AT to 0",
        "mmdet": "set backbone.frozen_stages=-1",
    },
    "frozen_norms": {
        "torchvision": "build the ResNet with norm_layer=torch.nn.BatchNorm2d (or SyncBatchNorm)",
        "detectron2": 'set MODEL.RESNETS.NORM to "SyncBN"',
        "mmdet": "set backbone.norm_eval=False and norm_cfg=dict(type='SyncBN', requires_grad=True)",
    },
    "anchor_sizes": {
        "torchvision": "export with --anchors pretraining{rescaled}",
        "detectron2": "set MODEL.ANCHOR_GENERATOR.SIZES to {want}{rescaled}",
        "mmdet": "set anchor_generator to {scales}, strides={strides}{rescaled}",
    },
    "anchors_rounded": {
        "torchvision": "use the anchor generator of an export's build_model.py (adept_hub.models.anchors)",
        "detectron2": "use DefaultAnchorGenerator",
        "mmdet": "use AnchorGenerator",
    },
    "roi_align": {
        "torchvision": "use the pooler of an export's build_model.py, aligned and with sampling_ratio 0",
        "detectron2": 'set MODEL.ROI_BOX_HEAD.POOLER_TYPE to "ROIAlignV2" and POOLER_SAMPLING_RATIO to 0',
        "mmdet": "set roi_layer=dict(type='RoIAlign', output_size=7, sampling_ratio=0, aligned=True)",
    },
    "levels": {
        "torchvision": "export with --levels pretraining (canonical size {p4:g} on P4)",
        "detectron2": "no option changes it; in Python: model.roi_heads.box_pooler.canonical_box_size = {p4:g}",
        "mmdet": "set bbox_roi_extractor.finest_scale={finest:g}, or export with --levels pretraining",
    },
    "stages": {
        "torchvision": "build three stages",
        "detectron2": "leave MODEL.ROI_BOX_CASCADE_HEAD.IOUS at three values",
        "mmdet": "set roi_head.num_stages=3",
    },
}


def remedy(code: str, framework: str, **values: object) -> str:
    """The remedy for one disagreement, filled in."""
    return REMEDIES[code][framework].format(**values)
