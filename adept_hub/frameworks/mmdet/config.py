"""Write a config.py with which MMDetection builds a detector that matches the weights."""

from __future__ import annotations

from adept_hub.convert.framework import InferenceSettings
from adept_hub.convert.options import ANCHOR_STRIDES, Target, refuse_rounded_anchors
from adept_hub.models.pooling import canonical_size_of
from adept_hub.spec import CheckpointConfig, DetectorSpec

_TYPES = {"faster_rcnn": "FasterRCNN", "mask_rcnn": "MaskRCNN", "cascade_rcnn": "CascadeRCNN"}
_BASES = {
    "faster_rcnn": "faster-rcnn_r50_fpn",
    "mask_rcnn": "mask-rcnn_r50_fpn",
    "cascade_rcnn": "cascade-rcnn_r50_fpn",
}
_HEADS = {"4conv1fc": "Shared4Conv1FCBBoxHead", "2fc": "Shared2FCBBoxHead"}
#: The inverse of Detectron2's weights (10, 10, 5, 5), (20, ...), (30, ...); the stock config rounds the last to 0.033.
_CASCADE_STDS = tuple((0.1 / k, 0.1 / k, 0.2 / k, 0.2 / k) for k in (1, 2, 3))


def config_py(config: CheckpointConfig, target: Target, settings: InferenceSettings | None = None) -> str:
    """Return the text of a config, next to ``model.pth``, for ``Config.fromfile`` and MMDetection's ``tools/train.py``.

    It is based on MMDetection's stock Faster, Mask or Cascade R-CNN config and overrides what must differ.

    Args:
        config: the config of the exported checkpoint.
        target: the target of the export.
        settings: settings of a fine-tuned detector, if it is one.
    """
    spec, pixels = config.spec, config.preprocessing
    refuse_rounded_anchors(spec, target, "MMDetection", finished=settings is not None)
    inner = _norm(target, spec, "fpn")
    frozen = target.norm_of(spec, "backbone") == "FrozenBN"
    text = TEMPLATE.format(
        name=config.name,
        detector=target.detector,
        sha256=config.sha256,
        base=_BASES[target.detector],
        dataset="coco_instance" if target.detector == "mask_rcnn" else "coco_detection",
        type=_TYPES[target.detector],
        mean=[round(255 * m, 4) for m in pixels.mean],
        std=[round(255 * s, 4) for s in pixels.std],
        depth=spec.depth,
        why=_why(spec),
        style="caffe',  # stride in the 1x1" if spec.stride_in_1x1 else "pytorch',  # stride in the 3x3",
        body="dict(type='BN', requires_grad=False)" if frozen else _norm(target, spec, "backbone"),
        rpn_convs="" if spec.rpn_convs == 1 else f"        num_convs={spec.rpn_convs},\n",
        norm_eval=frozen,
        stages=list(spec.stage_channels),
        fpn=spec.fpn_channels,
        inner=inner,
        anchors=_anchors(spec, target),
        extractor=_extractor(spec, target, 7),
        bbox_head=_bbox_head(spec, target),
        mask_head=_mask_head(spec, target),
        imports=_FROZEN_IMPORT if "FrozenBN" in (target.norm_of(spec, "fpn"), target.norm_of(spec, "head")) else "",
    )
    return text if settings is None else _finished(text, settings)


def anchor_scales(sizes: tuple[float, ...]) -> str:
    """Return the arguments of MMDetection's AnchorGenerator for anchors of ``sizes`` px on P2-P6."""
    scales = {size / stride for size, stride in zip(sizes, ANCHOR_STRIDES, strict=True)}
    return f"scales=[{scales.pop():g}]" if len(scales) == 1 else f"scales=[1], base_sizes={list(sizes)}"


def _finished(text: str, settings: InferenceSettings) -> str:
    """Return an export's config with the settings of a fine-tuned detector."""
    return text + _FINISHED.format(
        anchors=list(settings.anchors), proposals=settings.proposals, score=settings.score,
        detections=settings.detections, scale=(settings.longest, settings.side),
    )  # fmt: skip


#: MMDetection can freeze norms only in its backbone; this module registers torchvision's FrozenBatchNorm2d as FrozenBN.
_FROZEN_IMPORT = "custom_imports = dict(imports=['adept_hub.integrations.mmdet'])  # FrozenBN of FPN and heads\n"


def _norm(target: Target, spec: DetectorSpec, part: str) -> str:
    """Return the norm config of a part; the mask head's is that of the head."""
    norm = target.norm_of(spec, part)
    return "None" if norm == "none" else f"dict(type='{norm}', requires_grad={norm != 'FrozenBN'})"


def _why(spec: DetectorSpec) -> str:
    if other := spec.differences():
        return f"The weights have {', '.join(other)}."
    return "The stock defaults (frozen stage 1, norm_eval, no norm in the FPN, two-fc head) do not match the weights."


def _anchors(spec: DetectorSpec, target: Target) -> str:
    where, ratios = anchor_scales(target.anchor_sizes(spec)), list(spec.anchors.ratios)
    return f"dict(type='AnchorGenerator', {where}, ratios={ratios}, strides={list(ANCHOR_STRIDES)}, _delete_=True)"


def _extractor(spec: DetectorSpec, target: Target, size: int) -> str:
    # MMDetection assigns floor(log2(sqrt(wh) / finest_scale)): 24 gives P2 below 48 px, P3 below 96, P4 below 192.
    finest = f", finest_scale={canonical_size_of(spec.levels) / 4:g}" if target.levels == "pretraining" else ""
    aligned = spec.pooling == "aligned"
    return (
        "dict(type='SingleRoIExtractor', roi_layer=dict(type='RoIAlign', output_size="
        f"{size}, sampling_ratio={0 if aligned else 2}, aligned={aligned}), out_channels={spec.fpn_channels}{finest})"
    )


def _bbox_head(spec: DetectorSpec, target: Target) -> str:
    convs = f"conv_out_channels={spec.head_conv_channels}, " if spec.head == "4conv1fc" else ""
    common = (
        f"type='{_HEADS[spec.head]}', in_channels={spec.fpn_channels}, {convs}"
        f"fc_out_channels={spec.head_fc_channels}, norm_cfg={_norm(target, spec, 'head')}, "
        f"num_classes={target.num_classes - 1}"
    )
    if target.detector != "cascade_rcnn":
        return f"dict({common})"
    # A list replaces the base's list entirely, so that each stage needs all of its settings.
    stages = ",\n".join(
        f"            dict({common}, roi_feat_size={spec.ROI_SIZE}, reg_class_agnostic=True,\n"
        "                 loss_cls=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0),\n"
        "                 loss_bbox=dict(type='SmoothL1Loss', beta=1.0, loss_weight=1.0),\n"
        f"                 bbox_coder=dict(type='DeltaXYWHBBoxCoder', target_means=[0.0] * 4, target_stds={list(s)}))"
        for s in _CASCADE_STDS
    )
    return f"[\n{stages},\n        ]"


def _mask_head(spec: DetectorSpec, target: Target) -> str:
    if target.detector != "mask_rcnn":
        return ""
    head = (
        f"in_channels={spec.fpn_channels}, num_classes={target.num_classes - 1}, norm_cfg={_norm(target, spec, 'head')}"
    )
    return f"        mask_roi_extractor={_extractor(spec, target, 14)},\n        mask_head=dict({head}),\n"


# The stock 1x schedule with the weight decay of SoCo's published fine-tuning.
TEMPLATE = """\
# MMDetection 3 config for {name} ({detector}), written by adept export; sha256 of the checkpoint {sha256}.
# {why}
# Run:      tools/train.py config.py
# Override: tools/train.py config.py --cfg-options load_from=/elsewhere/model.pth
_base_ = [
    'mmdet::_base_/models/{base}.py',
    'mmdet::_base_/datasets/{dataset}.py',
    'mmdet::_base_/schedules/schedule_1x.py',
    'mmdet::_base_/default_runtime.py',
]
{imports}load_from = '{{{{ fileDirname }}}}/model.pth'
model = dict(
    type='{type}',
    data_preprocessor=dict(mean={mean}, std={std}, bgr_to_rgb=True, pad_size_divisor=32),
    backbone=dict(
        depth={depth},
        style='{style}
        frozen_stages=-1,
        norm_cfg={body},
        norm_eval={norm_eval},
        init_cfg=None,
    ),
    neck=dict(in_channels={stages}, out_channels={fpn}, norm_cfg={inner}, num_outs=5),
    rpn_head=dict(
        in_channels={fpn},
        feat_channels={fpn},
{rpn_convs}        anchor_generator={anchors},
    ),
    roi_head=dict(
        bbox_roi_extractor={extractor},
        bbox_head={bbox_head},
{mask_head}    ),
    # Anchors that cross the border are kept, as in pre-training (the stock Cascade config drops them).
    train_cfg=dict(rpn=dict(allowed_border=-1)),
)
optim_wrapper = dict(optimizer=dict(weight_decay=2.5e-5))
"""

_FINISHED = """
# Settings of this fine-tuned detector: its anchors, and the image sizes and limits of its evaluation.
model['rpn_head']['anchor_generator'].update(scales=[1], base_sizes={anchors})
model['test_cfg'] = dict(
    rpn=dict(nms_pre=1000, max_per_img={proposals}), rcnn=dict(score_thr={score}, max_per_img={detections}))
test_pipeline = _base_.test_pipeline
for step in test_pipeline:
    if step['type'] == 'Resize':
        step['scale'] = {scale}
        step['backend'] = 'pillow'  # antialiased, as in training; OpenCV is not
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
"""
