"""Write a build_model.py that builds the detector with torchvision only."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any

from adept_hub.convert.framework import InferenceSettings
from adept_hub.convert.options import ANCHOR_STRIDES, Target
from adept_hub.models.anchors import ExactAnchorGenerator
from adept_hub.models.cascade import STAGE_IOUS, STAGE_WEIGHTS, AgnosticPredictor, CascadeRoIHeads, ScaleGradient
from adept_hub.models.detector import PyramidBackbone
from adept_hub.models.pooling import CANONICAL_SIZE, PyramidRoIAlign, canonical_levels, canonical_size_of
from adept_hub.models.transform import AntialiasedTransform
from adept_hub.spec import PARTS, CheckpointConfig, DetectorSpec

#: The same as prefixes, and the prefixes of the parts.
_FRESH_PREFIXES = ("roi_heads.box_predictor.", "roi_heads.mask_head.", "roi_heads.mask_predictor.")
_PLACES = {
    "backbone": "backbone.body.",
    "fpn": "backbone.fpn.",
    "rpn": "rpn.head.",
    "head": "roi_heads.box_head.",
}


#: What differs between an export, whose predictors are new, and a fine-tuned detector.
_EXPORT = {
    "builder": "build_model",
    "call": "build_model(num_classes=3)",
    "inputs": "background included; RGB",
    "weights": "WEIGHTS",
    "summary": "Build the detector and load the pre-trained parts; class, box and mask predictors are new.",
}
_DETECTOR = {
    "builder": "build_detector",
    "call": "build_detector()",
    "inputs": "RGB",
    "weights": "None",
    "summary": "Build the architecture, and load the parts in a weights file, if any.",
}
_NORM_LAYERS = {"SyncBN": "nn.SyncBatchNorm", "BN": "nn.BatchNorm2d", "FrozenBN": "FrozenBatchNorm2d", "none": "None"}
_STRIDES_LINE = """\
    for stage in (trunk.layer2, trunk.layer3, trunk.layer4):  # strides in the 1x1 convolutions
        stage[0].conv1.stride, stage[0].conv2.stride = stage[0].conv2.stride, stage[0].conv1.stride
"""
_GENERATOR = {
    "exact": "ExactAnchorGenerator(ANCHOR_SIZES, ANCHOR_RATIOS, STRIDES)",
    "rounded": "AnchorGenerator(tuple((size,) for size in ANCHOR_SIZES), (ANCHOR_RATIOS,) * len(ANCHOR_SIZES))",
}
_POOLER = {
    "aligned": "PyramidRoIAlign(list(LEVELS), {size}, STRIDES[:4])",
    "unaligned": "MultiScaleRoIAlign(list(LEVELS), {size}, sampling_ratio=2, canonical_scale=CANONICAL_SIZE)",
}
_CASCADE_LINE = "    model.roi_heads = CascadeRoIHeads(model.roi_heads, {fc}, num_classes)\n"
_REGRESSOR_LINES = """\
        for key in ("roi_heads.box_predictor.bbox_pred.weight", "roi_heads.box_predictor.bbox_pred.bias"):
            state[key] = torch.cat([state[key]] * num_classes)  # one box regressor for all classes
"""


def build_model_py(
    config: CheckpointConfig,
    target: Target,
    parts: Iterable[str] = PARTS,
    settings: InferenceSettings | None = None,
) -> str:
    """Return the source of a module that builds the exported detector and loads ``model.safetensors``.

    The module needs only torchvision: the classes that torchvision lacks (unrounded anchors, aligned pooling) are
    copied into it.

    Args:
        config: the config of the exported checkpoint.
        target: the target of the export.
        parts: the exported parts; the others are randomly initialized.
        settings: settings of a fine-tuned detector, if it is one: then a build_detector() loads all its weights.
    """
    spec, pixels = config.spec, config.preprocessing
    body, inner, head = (_NORM_LAYERS[target.norm_of(spec, part)] for part in ("backbone", "fpn", "head"))
    cascade = target.detector == "cascade_rcnn"
    sources: list[Any] = [
        ExactAnchorGenerator,
        canonical_levels,
        PyramidRoIAlign,
        PyramidBackbone,
        AntialiasedTransform,
    ]
    if cascade:
        sources += [AgnosticPredictor, ScaleGradient, CascadeRoIHeads]
    regresses = config.box_regressor and settings is None and "head" in set(parts) and not cascade
    text = TEMPLATE.format(
        name=config.name,
        detector=target.detector,
        sha256=config.sha256,
        kind="MaskRCNN" if target.detector == "mask_rcnn" else "FasterRCNN",
        depth=spec.depth,
        stages=list(spec.stage_channels),
        fpn=spec.fpn_channels,
        fc=spec.head_fc_channels,
        why=_why(spec),
        two_fc=", TwoMLPHead" if spec.head == "2fc" else "",
        strides_line=_STRIDES_LINE if spec.stride_in_1x1 else "",
        generator=_GENERATOR[spec.anchors.generator],
        rpn_convs=spec.rpn_convs,
        pooler=_POOLER[spec.pooling].format(size=spec.ROI_SIZE),
        mask_pooler=_POOLER[spec.pooling].format(size=14),
        box_head=_box_head(spec, "INNER_NORM" if head == inner else head),
        head_norm="INNER_NORM" if head == inner else head,
        classes=target.num_classes,
        sizes=target.anchor_sizes(spec) if settings is None else tuple(settings.anchors),
        ratios=spec.anchors.ratios,
        strides=ANCHOR_STRIDES,
        mean=list(pixels.mean),
        std=list(pixels.std),
        body=body,
        inner=inner,
        canonical=canonical_size_of(spec.levels) if target.levels == "pretraining" else CANONICAL_SIZE,
        fresh=(*_FRESH_PREFIXES, *(place for part, place in _PLACES.items() if part not in set(parts))),
        stages_of_cascade=f"STAGE_IOUS = {STAGE_IOUS}\nSTAGE_WEIGHTS = {STAGE_WEIGHTS}\n" if cascade else "",
        cascade=_CASCADE_LINE.format(fc=spec.head_fc_channels) if cascade else "",
        regressor=_REGRESSOR_LINES if regresses else "",
        sources="\n\n".join(inspect.getsource(item) for item in sources),
        **(_EXPORT if settings is None else _DETECTOR),
    )
    return text if settings is None else text + _finished(settings)


def _box_head(spec: DetectorSpec, norm: str) -> str:
    if spec.head == "2fc":
        return f"TwoMLPHead({spec.fpn_channels} * {spec.ROI_SIZE} ** 2, {spec.head_fc_channels})"
    convs = [spec.head_conv_channels] * spec.HEAD_CONVS
    shape = f"({spec.fpn_channels}, {spec.ROI_SIZE}, {spec.ROI_SIZE})"
    return f"FastRCNNConvFCHead({shape}, {convs}, [{spec.head_fc_channels}], norm_layer={norm})"


def _why(spec: DetectorSpec) -> str:
    if other := spec.differences():
        return f"The weights have\n{', '.join(other)}."
    return (
        "No stock torchvision builder matches these weights: they have norms in\n"
        "the FPN and the head and one convolution in the RPN; anchors are not rounded and RoIAlign is aligned."
    )


def _finished(settings: InferenceSettings) -> str:
    """Return the source that builds a fine-tuned detector: its predictors, image sizes and limits."""
    source, lines = settings.predictor
    return source + _FINISHED.format(
        classes=settings.classes, kind="MaskRCNN" if settings.masks else "FasterRCNN", predictor=lines,
        side=settings.side, longest=settings.longest, proposals=settings.proposals, score=settings.score,
        detections=settings.detections,
    )  # fmt: skip


_FINISHED = """

#: Label i of a detection is CLASSES[i - 1].
CLASSES = {classes!r}


def build_detector() -> {kind}:
    \"\"\"Build the fine-tuned detector in evaluation mode, with the image sizes and limits of its evaluation.\"\"\"
    model = build_model(len(CLASSES) + 1)
{predictor}    model.load_state_dict(load_file(WEIGHTS))
    model.transform.min_size, model.transform.max_size = ({side},), {longest}
    model.rpn._post_nms_top_n["testing"] = {proposals}
    model.roi_heads.score_thresh, model.roi_heads.detections_per_img = {score}, {detections}
    return model.eval()
"""

TEMPLATE = '''\
"""{name} as a torchvision {detector}, written by adept export; sha256 of the checkpoint {sha256}.

It needs only torch, torchvision and safetensors. {why}

    from build_model import {builder}
    model = {call}   # {inputs} images in [0, 1], boxes xyxy
"""

from __future__ import annotations

import copy
from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn
from torchvision.models import resnet
from torchvision.models._utils import IntermediateLayerGetter
from torchvision.models.detection import FasterRCNN, MaskRCNN
from torchvision.models.detection._utils import BoxCoder
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNConvFCHead, FastRCNNPredictor{two_fc}
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.models.detection.rpn import RPNHead
from torchvision.models.detection.transform import GeneralizedRCNNTransform
from torchvision.ops import (
    FeaturePyramidNetwork,
    FrozenBatchNorm2d,
    MultiScaleRoIAlign,
    batched_nms,
    box_iou,
    clip_boxes_to_image,
    roi_align,
)
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

WEIGHTS = Path(__file__).with_name("model.safetensors")
NUM_CLASSES = {classes}
LEVELS = ("p2", "p3", "p4", "p5")
STRIDES = {strides}
ANCHOR_SIZES = {sizes}
ANCHOR_RATIOS = {ratios}
CANONICAL_SIZE = {canonical}
{stages_of_cascade}BODY_NORM = {body}
INNER_NORM = {inner}


{sources}

def build_model(num_classes: int = NUM_CLASSES, weights: Path | None = {weights}) -> {kind}:
    """{summary}"""
    trunk = resnet.resnet{depth}(weights=None, norm_layer=BODY_NORM)
{strides_line}    body = IntermediateLayerGetter(trunk, {{f"layer{{i}}": f"c{{i + 1}}" for i in range(1, 5)}})
    fpn = FeaturePyramidNetwork({stages}, {fpn}, norm_layer=INNER_NORM)
    extra: dict[str, nn.Module] = {{}}
    if {kind} is MaskRCNN:
        extra["mask_roi_pool"] = {mask_pooler}
        extra["mask_head"] = MaskRCNNHeads({fpn}, [256] * 4, dilation=1, norm_layer={head_norm})
        extra["mask_predictor"] = MaskRCNNPredictor(256, 256, num_classes)
    model = {kind}(
        PyramidBackbone(body, fpn, {fpn}),
        rpn_anchor_generator={generator},
        rpn_head=RPNHead({fpn}, len(ANCHOR_RATIOS), conv_depth={rpn_convs}),
        box_roi_pool={pooler},
        box_head={box_head},
        box_predictor=FastRCNNPredictor({fc}, num_classes),
        image_mean={mean},
        image_std={std},
        **extra,
    )
    old = model.transform
    model.transform = AntialiasedTransform(old.min_size, old.max_size, old.image_mean, old.image_std)
{cascade}    if weights is not None:
        state = load_file(weights)
{regressor}        own, fresh = model.state_dict(), {fresh}
        missing = [key for key in own if key not in state and not key.startswith(fresh)]
        unexpected = [key for key in state if key not in own]
        if missing or unexpected:
            raise RuntimeError(f"{{weights}} does not match: missing keys {{missing}}, unexpected keys {{unexpected}}")
        model.load_state_dict(own | state)
    return model
'''
