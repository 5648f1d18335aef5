"""Remedies for torchvision: what to change in the code so that the detector matches the weights."""

from __future__ import annotations

from collections.abc import Mapping

#: Disagreement -> remedy. ``{want}`` is the value that the weights need.
REMEDIES: Mapping[str, str] = {
    "depth": "build the backbone with resnet_fpn_backbone(backbone_name='resnet{want}', ...)",
    "backbone_norm": "build the ResNet with norm_layer=torch.nn.BatchNorm2d",
    "fpn_norm": "build the FPN with norm_layer=torch.nn.BatchNorm2d (stock fasterrcnn_resnet50_fpn has none)",
    "fpn_channels": "build the FPN with out_channels={want}",
    "fpn_extra_convs": "build the FPN with extra_blocks=LastLevelMaxPool()",
    "fpn_no_norm": "build the FPN without norm_layer (as in fasterrcnn_resnet50_fpn)",
    "rpn_convs": "pass rpn_head=RPNHead({channels}, {count}, conv_depth={convs}) (stock fasterrcnn_resnet50_fpn has "
    "one, _v2 two)",
    "rpn_channels": "pass rpn_head=RPNHead({want}, {count}, conv_depth={convs})",
    "anchors": "pass an AnchorGenerator with aspect_ratios=({ratios},) * 5 and one size per level",
    "rpn_softmax": "use one sigmoid logit per anchor",
    "head_shape": "pass box_head=FastRCNNConvFCHead(({channels}, 7, 7), [{convs}] * 4, [{fc}], "
    "norm_layer=torch.nn.BatchNorm2d)",
    "head_shape_2fc": "pass box_head=TwoMLPHead({channels} * 7 ** 2, {fc})",
    "head_no_norm": "pass box_head=FastRCNNConvFCHead(...) without norm_layer",
    "head_norm": "pass box_head=FastRCNNConvFCHead(..., norm_layer=torch.nn.BatchNorm2d)",
    "channel_order": "pass RGB images",
    "mean": "pass image_mean={want}",
    "std": "pass image_std={want}",
    "stride_in_1x1": "build the backbone from torchvision.models.resnet",
    "stride_in_3x3": "no option of torchvision moves the strides: use the build_model.py of an export",
    "dilation": "omit replace_stride_with_dilation",
    "frozen_stages": "pass trainable_backbone_layers=5",
    "frozen_norms": "build the ResNet with norm_layer=torch.nn.BatchNorm2d (or SyncBatchNorm)",
    "anchor_sizes": "export with --anchors pretraining{rescaled}",
    "anchors_unrounded": "use torchvision's AnchorGenerator",
    "anchors_rounded": "use the anchor generator of an export's build_model.py (adept_hub.models.anchors)",
    "roi_align": "use the pooler of an export's build_model.py, aligned and with sampling_ratio 0",
    "roi_unaligned": "use torchvision's MultiScaleRoIAlign with sampling_ratio 2",
    "levels": "export with --levels pretraining (canonical size {p4:g} on P4)",
    "stages": "build three stages",
}
