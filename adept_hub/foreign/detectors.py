"""Layouts of whole detectors with COCO weights, and the conversion of their files.

What the tensors do not show (channel order, strides, anchors, pooling) is that of the published files.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from adept_hub.convert.infer import infer_spec
from adept_hub.convert.keymap import KeyRow, KeyTable
from adept_hub.convert.norms import EPS
from adept_hub.errors import IncompleteLoadError, UnsupportedModelError
from adept_hub.foreign.layout import DetectorKind, ForeignLayout
from adept_hub.frameworks import DETECTRON2, MMDET, TORCHVISION
from adept_hub.models.contract import check_tensors, part_of
from adept_hub.spec import PARTS, AnchorSpec, DetectorSpec, LevelSpec, Preprocessing

_SIZES = (32.0, 64.0, 128.0, 256.0, 512.0)
_LEVELS = LevelSpec((112.0, 224.0, 448.0, 896.0))
_COCO = "COCO train2017 with its labels"
#: COCO's 80 categories and the background; torchvision keeps the numbers of 10 that COCO left out.
_CLASSES, _WITH_GAPS = 81, 91
#: First eight digits of the SHA-256 of torchvision's COCO_V1 files of its v1 detectors, whose frozen norms have an
#: epsilon of 0.
_COCO_V1 = ("258fb6c6", "bf2d0c1e")

_PLAIN = DetectorSpec(
    head="2fc", head_norm="none", fpn_norm="none", anchors=AnchorSpec(_SIZES), levels=_LEVELS,
)  # fmt: skip
_TORCHVISION = replace(_PLAIN, anchors=replace(_PLAIN.anchors, generator="rounded"), pooling="unaligned")
_TORCHVISION_V2 = replace(_TORCHVISION, head="4conv1fc", head_norm="bn", fpn_norm="bn", rpn_convs=2)
_MSRA = replace(_PLAIN, stride_in_1x1=True)
#: Detectron2's and Caffe's pixels, 0-255 without a scale.
_CAFFE = Preprocessing(mean=(123.675 / 255, 116.28 / 255, 103.53 / 255), std=(1 / 255, 1 / 255, 1 / 255))
_OLDER_TORCHVISION = (
    KeyRow("conv_bias", "fpn.inner_blocks.{}.0", "backbone.fpn.inner_blocks.{}"),
    KeyRow("conv_bias", "fpn.layer_blocks.{}.0", "backbone.fpn.layer_blocks.{}"),
    KeyRow("linear", "rpn.conv.0.0", "rpn.head.conv"),
)


def _layout(
    about: str, kind: DetectorKind, marker: str, license_name: str, preprocessing: Preprocessing | None = None
) -> ForeignLayout:
    """Return a layout whose table has the names of every RPN and RoI head, by which files are recognized."""
    framework = kind.framework
    heads = (row._replace(target=f"{framework.box_head}.{row.target}") for row in (*framework.head, *framework.two_fc))
    rows = {row.target: row for row in (*framework.body, *framework.deep_rpn, *heads, *kind.older)}
    table = KeyTable(framework.name, tuple(rows.values()), framework.fresh)
    return ForeignLayout(
        about, table, marker, parts=PARTS, anchors=kind.specs[0].anchors, levels=_LEVELS, labeled=True, data=_COCO,
        preprocessing=preprocessing or Preprocessing(), license=license_name, detector=kind,
    )  # fmt: skip


_EPSILON = (
    "The frozen norms are taken to have an epsilon of 1e-5. torchvision's published COCO_V1 files have 0; such a file "
    "is recognized by its SHA-256. For a copy of it in another format: --layout torchvision-coco-v1"
)
_V1_AND_V2 = (replace(_TORCHVISION, backbone_norm="frozen_bn"), _TORCHVISION, _TORCHVISION_V2)
_TORCHVISION_MARKER, _MMDET_MARKER = "backbone.body.conv1.weight", "roi_head.bbox_head.fc_cls.weight"

DETECTOR_LAYOUTS: Mapping[str, ForeignLayout] = {
    "torchvision-detector": _layout(
        "torchvision's Faster and Mask R-CNN, fasterrcnn_resnet50_fpn, maskrcnn_resnet50_fpn and their _v2",
        DetectorKind(TORCHVISION, _V1_AND_V2, _WITH_GAPS, older=_OLDER_TORCHVISION, frozen_note=_EPSILON),
        _TORCHVISION_MARKER,
        "bsd-3-clause",
    ),
    "torchvision-coco-v1": _layout(
        "torchvision's COCO_V1 weights of fasterrcnn_resnet50_fpn and maskrcnn_resnet50_fpn",
        DetectorKind(TORCHVISION, _V1_AND_V2[:1], _WITH_GAPS, eps=0.0, older=_OLDER_TORCHVISION), _TORCHVISION_MARKER,
        "bsd-3-clause",
    ),
    "detectron2-detector": _layout(
        "Faster and Mask R-CNN R50-FPN and R101-FPN of Detectron2's model zoo (BGR, strides in the 1x1)",
        DetectorKind(DETECTRON2, (replace(_MSRA, backbone_norm="frozen_bn"),), _CLASSES, bgr=True),
        "backbone.bottom_up.stem.conv1.weight", "cc-by-sa-3.0", preprocessing=_CAFFE,
    ),
    "detectron2-detector-rgb": _layout(
        "Detectron2's Faster and Mask R-CNN on a torchvision ResNet (RGB, strides in the 3x3)",
        DetectorKind(DETECTRON2, (replace(_PLAIN, backbone_norm="frozen_bn"), _PLAIN), _CLASSES),
        "backbone.bottom_up.stem.conv1.weight", "unknown",
    ),
    "mmdet-detector": _layout(
        "MMDetection's Faster and Mask R-CNN, faster-rcnn_r50_fpn, mask-rcnn_r50_fpn and r101",
        DetectorKind(MMDET, (_PLAIN,), _CLASSES), _MMDET_MARKER, "apache-2.0",
    ),
    "mmdet-detector-caffe": _layout(
        "MMDetection's Faster and Mask R-CNN of style caffe, such as faster-rcnn_r50-caffe_fpn (BGR, strides in the "
        "1x1)",
        DetectorKind(MMDET, (_MSRA,), _CLASSES, bgr=True), _MMDET_MARKER, "apache-2.0", preprocessing=_CAFFE,
    ),
}  # fmt: skip
#: Layouts that have the names of another one, which is more likely.
DETECTOR_VARIANTS = ("torchvision-coco-v1", "detectron2-detector-rgb", "mmdet-detector-caffe")


def published_layout(sha256: str) -> str | None:
    """Return the layout of a published file that its names do not show, by the digest of the file."""
    return "torchvision-coco-v1" if sha256.startswith(_COCO_V1) else None


def detector_table(state: Mapping[str, Tensor], kind: DetectorKind) -> KeyTable:
    """Return the names of a file's own RPN and RoI head."""
    framework = kind.framework
    table = framework.key_table(spec=framework.read_shape({key: tuple(t.shape) for key, t in state.items()}))
    return KeyTable(framework.name, (*table.rows, *kind.older), table.fresh)


def finish_detector(
    tensors: Mapping[str, Tensor], layout: str, parts: Iterable[str], kind: DetectorKind
) -> tuple[dict[str, Tensor], DetectorSpec]:
    """Convert a detector's canonical tensors to RGB and our epsilon, and return them with their architecture.

    Raises:
        UnsupportedModelError: the architecture is not one of the layout's.
        IncompleteLoadError, ShapeMismatchError: a part is incomplete.
    """
    shapes = {key: tuple(t.shape) for key, t in tensors.items()}
    held = {part_of(key) for key in shapes}
    if lacking := [part for part in parts if part not in held]:
        raise IncompleteLoadError(f"it has no {' and no '.join(lacking)}.")
    spec = infer_spec(shapes, kind.specs[0].anchors)
    known = next((one for one in kind.specs if _kinds(one) == _kinds(spec)), None)
    if known is None:
        has, expected = ("; or ".join(", ".join(_words(one)) for one in specs) for specs in ((spec,), kind.specs))
        raise UnsupportedModelError(
            f"it has {has}; {layout} files have {expected}. What tensors do not show (anchors, pooling, "
            "strides) is therefore unknown.\n"
            "If it was trained from an export of adept_hub, save it in Python: adept_hub.save_pretrained(model, DIR, "
            "name='mine_r50.tag')"
        )
    spec = replace(
        spec, anchors=known.anchors, levels=known.levels, stride_in_1x1=known.stride_in_1x1, pooling=known.pooling
    )
    check_tensors(shapes, spec, {*parts, *held})
    converted = dict(tensors)
    if kind.bgr:
        converted["backbone.conv1.weight"] = tensors["backbone.conv1.weight"].flip(1)
    return (with_default_eps(converted, kind.eps) if kind.eps != EPS else converted), spec


def with_default_eps(tensors: Mapping[str, Tensor], eps: float) -> dict[str, Tensor]:
    """Adapt the gains of frozen norms with ``eps`` so that they compute the same with ours.

    (x - mean) / sqrt(var + eps) * gain is the same as with our epsilon and a gain that is larger by
    sqrt((var + ours) / (var + eps)), since the statistics never change.
    """
    adapted = dict(tensors)
    for key in tensors:
        if key.endswith(".running_var"):
            var, gain = tensors[key].double(), f"{key.removesuffix('running_var')}weight"
            factor = torch.sqrt((var + EPS) / (var + eps))
            adapted[gain] = (tensors[gain].double() * factor).to(tensors[gain].dtype)
    return adapted


def _kinds(spec: DetectorSpec) -> tuple[object, ...]:
    return (spec.backbone_norm, spec.fpn_norm, spec.rpn_convs, spec.head, spec.head_norm)


def _words(spec: DetectorSpec) -> list[str]:
    norms = ", ".join(f"{part} {getattr(spec, f'{part}_norm')}" for part in ("backbone", "fpn", "head"))
    return [f"norms {norms}", f"{spec.rpn_convs} RPN convolutions", f"a {spec.head} head"]
