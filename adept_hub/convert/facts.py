"""What a framework's config says about the detector it builds, in one vocabulary for all three frameworks.

Reading needs no framework, but for MMDetection's Python configs, which MMEngine alone can put together.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from adept_hub.convert.options import ANCHOR_STRIDES, DOWNSTREAM_SIZES

Config = Mapping[str, Any]
IMAGENET_MEAN, IMAGENET_STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


@dataclass(frozen=True)
class Facts:
    """A detector as configured. ``mean`` and ``std`` are of 0-255 pixels in ``channel_order``; None: not told."""

    framework: str
    channel_order: str | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    depth: int | None = None
    stride_in_1x1: bool | None = None
    backbone_norm: str | None = None
    frozen_stages: int | None = None
    norm_eval: bool | None = None
    fpn_norm: str | None = None
    fpn_channels: int | None = None
    p6: str | None = None
    rpn_convs: int | None = None
    rpn_softmax: bool | None = None
    anchor_sizes: tuple[tuple[float, ...], ...] | None = None
    anchor_ratios: tuple[float, ...] | None = None
    anchors_rounded: bool | None = None
    head_convs: int | None = None
    head_fcs: int | None = None
    head_conv_channels: int | None = None
    head_fc_channels: int | None = None
    head_norm: str | None = None
    roi_aligned: bool | None = None
    roi_sampling: int | None = None
    #: Boxes of this square-root area (px) are the smallest that are pooled from P4.
    p4_from: float | None = None


#: Detectron2's defaults (detectron2/config/defaults.py) under its own Base-RCNN-FPN.yaml, for the keys read here.
DETECTRON2_STOCK: Config = {
    "INPUT": {"FORMAT": "BGR"},
    "MODEL": {
        "PIXEL_MEAN": [103.53, 116.28, 123.675],
        "PIXEL_STD": [1.0, 1.0, 1.0],
        "BACKBONE": {"NAME": "build_resnet_fpn_backbone", "FREEZE_AT": 2},
        "RESNETS": {"DEPTH": 50, "NORM": "FrozenBN", "STRIDE_IN_1X1": True},
        "FPN": {"NORM": "", "OUT_CHANNELS": 256},
        "ANCHOR_GENERATOR": {"SIZES": [[32], [64], [128], [256], [512]], "ASPECT_RATIOS": [[0.5, 1.0, 2.0]]},
        "RPN": {"CONV_DIMS": [-1]},
        "ROI_BOX_HEAD": {
            "NUM_CONV": 0,
            "NUM_FC": 2,
            "CONV_DIM": 256,
            "FC_DIM": 1024,
            "NORM": "",
            "POOLER_TYPE": "ROIAlignV2",
            "POOLER_SAMPLING_RATIO": 0,
        },
    },
}

#: MMDetection 3's _base_/models/faster-rcnn_r50_fpn.py, for the keys read here.
MMDET_STOCK: Config = {
    "data_preprocessor": {"mean": list(IMAGENET_MEAN), "std": list(IMAGENET_STD), "bgr_to_rgb": True},
    "backbone": {
        "depth": 50,
        "frozen_stages": 1,
        "norm_cfg": {"type": "BN", "requires_grad": True},
        "norm_eval": True,
        "style": "pytorch",
    },
    "neck": {"out_channels": 256, "num_outs": 5},
    "rpn_head": {"anchor_generator": {"scales": [8], "ratios": [0.5, 1.0, 2.0], "strides": list(ANCHOR_STRIDES)}},
    "roi_head": {
        "bbox_roi_extractor": {"roi_layer": {"type": "RoIAlign", "output_size": 7, "sampling_ratio": 0}},
        "bbox_head": {"type": "Shared2FCBBoxHead", "fc_out_channels": 1024},
    },
}

#: torchvision has no config: its builder fasterrcnn_resnet50_fpn, as read in torchvision 0.29.
TORCHVISION_STOCK = Facts(
    framework="torchvision",
    channel_order="rgb",
    mean=IMAGENET_MEAN,
    std=IMAGENET_STD,
    depth=50,
    stride_in_1x1=False,
    backbone_norm="FrozenBN",
    frozen_stages=2,
    fpn_norm="",
    fpn_channels=256,
    p6="pool",
    rpn_convs=1,
    rpn_softmax=False,
    anchor_sizes=tuple((size,) for size in DOWNSTREAM_SIZES),
    anchor_ratios=(0.5, 1.0, 2.0),
    anchors_rounded=True,
    head_convs=0,
    head_fcs=2,
    head_fc_channels=1024,
    head_norm="",
    roi_aligned=False,
    roi_sampling=2,
    p4_from=224.0,
)


def detectron2_facts(config: Config) -> Facts:
    """Facts of a Detectron2 config (a nested mapping, ``_BASE_`` resolved); keys left out have the stock values."""
    whole = merge(DETECTRON2_STOCK, config)
    model = whole["MODEL"]
    head, sizes = model["ROI_BOX_HEAD"], value(model["ANCHOR_GENERATOR"]["SIZES"])
    return Facts(
        framework="detectron2",
        channel_order=str(whole["INPUT"]["FORMAT"]).lower(),
        mean=tuple(value(model["PIXEL_MEAN"])),
        std=tuple(value(model["PIXEL_STD"])),
        depth=model["RESNETS"]["DEPTH"],
        stride_in_1x1=model["RESNETS"]["STRIDE_IN_1X1"],
        backbone_norm=model["RESNETS"]["NORM"],
        frozen_stages=model["BACKBONE"]["FREEZE_AT"],
        fpn_norm=model["FPN"]["NORM"],
        fpn_channels=model["FPN"]["OUT_CHANNELS"],
        p6="pool" if model["BACKBONE"]["NAME"] == "build_resnet_fpn_backbone" else str(model["BACKBONE"]["NAME"]),
        rpn_convs=len(value(model["RPN"]["CONV_DIMS"])),
        rpn_softmax=False,
        # One list for all levels may stand for each of them.
        anchor_sizes=tuple(tuple(level) for level in (sizes if len(sizes) > 1 else sizes * len(ANCHOR_STRIDES))),
        anchor_ratios=tuple(value(model["ANCHOR_GENERATOR"]["ASPECT_RATIOS"])[0]),
        anchors_rounded=False,
        head_convs=head["NUM_CONV"],
        head_fcs=head["NUM_FC"],
        head_conv_channels=head["CONV_DIM"],
        head_fc_channels=head["FC_DIM"],
        head_norm=head["NORM"],
        roi_aligned=head["POOLER_TYPE"] == "ROIAlignV2",
        roi_sampling=head["POOLER_SAMPLING_RATIO"],
        p4_from=224.0,
    )


def mmdet_facts(model: Config) -> Facts:
    """Facts of the ``model`` of a MMDetection config; keys left out have MMDetection's defaults."""
    pixels, body, neck = model["data_preprocessor"], model["backbone"], model["neck"]
    rpn, roi = model["rpn_head"], model["roi_head"]
    heads, extractors = roi["bbox_head"], roi["bbox_roi_extractor"]
    head = heads[0] if isinstance(heads, (list, tuple)) else heads
    extractor = extractors[0] if isinstance(extractors, (list, tuple)) else extractors
    generator, layer = rpn["anchor_generator"], extractor["roi_layer"]
    shared = {"Shared2FCBBoxHead": (0, 2), "Shared4Conv1FCBBoxHead": (4, 1)}.get(
        head["type"], (head.get("num_shared_convs", 0), head.get("num_shared_fcs", 0))
    )
    return Facts(
        framework="mmdet",
        channel_order="rgb" if pixels.get("bgr_to_rgb") else "bgr",
        mean=tuple(pixels.get("mean") or (0.0, 0.0, 0.0)),
        std=tuple(pixels.get("std") or (1.0, 1.0, 1.0)),
        depth=body.get("depth"),
        stride_in_1x1=body.get("style", "pytorch") == "caffe",
        backbone_norm=_mmdet_norm(body.get("norm_cfg", {"type": "BN", "requires_grad": True})),
        frozen_stages=body.get("frozen_stages", -1),
        norm_eval=body.get("norm_eval", True),
        fpn_norm=_mmdet_norm(neck.get("norm_cfg")),
        fpn_channels=neck.get("out_channels"),
        p6="conv" if neck.get("add_extra_convs") else "pool",
        rpn_convs=rpn.get("num_convs", 1),
        rpn_softmax=not rpn.get("loss_cls", {"use_sigmoid": True}).get("use_sigmoid", False),
        anchor_sizes=_mmdet_sizes(generator),
        anchor_ratios=tuple(generator["ratios"]),
        anchors_rounded=False,
        head_convs=shared[0],
        head_fcs=shared[1],
        head_conv_channels=head.get("conv_out_channels", 256),
        head_fc_channels=head.get("fc_out_channels", 1024),
        head_norm=_mmdet_norm(head.get("norm_cfg")),
        roi_aligned=layer.get("aligned", True),
        roi_sampling=layer.get("sampling_ratio", 0),
        p4_from=4.0 * extractor.get("finest_scale", 56),
    )


def _mmdet_norm(norm: Config | None) -> str:
    if not norm:
        return ""
    return str(norm["type"]) if norm.get("requires_grad", True) else "FrozenBN"


def _mmdet_sizes(generator: Config) -> tuple[tuple[float, ...], ...]:
    strides = generator["strides"]
    bases = generator.get("base_sizes") or strides
    scales = generator.get("scales")
    if scales is None:
        octave, count = generator.get("octave_base_scale", 8), generator.get("scales_per_octave", 1)
        scales = [octave * 2 ** (i / count) for i in range(count)]
    return tuple(tuple(float(base * scale) for scale in scales) for base in bases)


def merge(base: Config, over: Config) -> dict[str, Any]:
    """``over`` laid over ``base``, mapping by mapping."""
    merged = dict(base)
    for key, item in over.items():
        old = merged.get(key)
        merged[key] = merge(old, item) if isinstance(old, Mapping) and isinstance(item, Mapping) else item
    return merged


def value(item: Any) -> Any:
    """A value that Detectron2's YAML may also spell as a string: "(1, 2)"."""
    return ast.literal_eval(item) if isinstance(item, str) else item
