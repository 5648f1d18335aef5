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
        "torchvision": "pass rpn_head=RPNHead({channels}, 3, conv_depth=1) (stock fasterrcnn_resnet50_fpn_v2 has two)",
        "detectron2": "set MODEL.RPN.CONV_DIMS to [-1]",
        "mmdet": "set rpn_head.num_convs=1",
    },
    "rpn_channels": {
        "torchvision": "pass rpn_head=RPNHead({want}, 3, conv_depth=1)",
        "detectron2": "set MODEL.RPN.CONV_DIMS to [-1]",
        "mmdet": "set rpn_head.feat_channels={want}",
    },
    "anchors": {
        "torchvision": "pass an AnchorGenerator with aspect_ratios=((0.5, 1.0, 2.0),) * 5 and one size a level",
        "detectron2": "set MODEL.ANCHOR_GENERATOR.ASPECT_RATIOS to [[0.5, 1.0, 2.0]], with one size a level in SIZES",
        "mmdet": "set anchor_generator.ratios=[0.5, 1.0, 2.0] and one scale",
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
    "stages": {
        "torchvision": "build three stages",
        "detectron2": "leave MODEL.ROI_BOX_CASCADE_HEAD.IOUS at three values",
        "mmdet": "set roi_head.num_stages=3",
    },
}


def remedy(code: str, framework: str, **values: object) -> str:
    """The remedy for one disagreement, filled in."""
    return REMEDIES[code][framework].format(**values)
