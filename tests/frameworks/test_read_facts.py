"""Every line of an exported config that decides what is computed, by hand, where no framework is installed.

Real Detectron2 and MMDetection build models from these texts in ``make frameworks``; here a line that is changed or
lost is seen without them. The checkpoint is the house's, which has no default anywhere.
"""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest
import yaml

import adept_hub
from adept_hub.frameworks.detectron2.facts import detectron2_facts
from adept_hub.frameworks.mmdet.facts import MMDET_STOCK, mmdet_facts
from tests.frameworks_support import register_mmdet
from tests.house import House

CLASSES = 6  # with the background


def detectron2(detector: str, norm: str, proposals: int) -> dict[str, Any]:
    """The whole config: RGB in 0-255, stride in the 3x3, nothing frozen, P6 pooled, four convolutions and one layer."""
    levels = ["p2", "p3", "p4", "p5"]
    stages = ["res2", "res3", "res4", "res5"]
    inner = "" if norm == "none" else norm
    return {
        "VERSION": 2,
        "MODEL": {
            "META_ARCHITECTURE": "GeneralizedRCNN", "MASK_ON": detector == "mask_rcnn",
            "PIXEL_MEAN": [25.5, 51.0, 76.5], "PIXEL_STD": [102.0, 127.5, 153.0],
            "BACKBONE": {"NAME": "build_resnet_fpn_backbone", "FREEZE_AT": 0},
            "RESNETS": {
                "DEPTH": 18, "OUT_FEATURES": stages, "RES2_OUT_CHANNELS": 64, "STRIDE_IN_1X1": False,
                "NORM": inner or "FrozenBN",
            },
            "FPN": {"IN_FEATURES": stages, "OUT_CHANNELS": 24, "NORM": inner, "FUSE_TYPE": "sum"},
            "ANCHOR_GENERATOR": {
                "SIZES": [[11.0], [23.0], [47.0], [90.0], [180.0]], "ASPECT_RATIOS": [[0.4, 1.7]], "OFFSET": 0.0,
            },
            "RPN": {
                "HEAD_NAME": "StandardRPNHead", "IN_FEATURES": [*levels, "p6"], "CONV_DIMS": [-1],
                "PRE_NMS_TOPK_TRAIN": 2000, "PRE_NMS_TOPK_TEST": 1000, "POST_NMS_TOPK_TRAIN": proposals,
                "POST_NMS_TOPK_TEST": 1000,
            },
            "ROI_HEADS": {
                "NAME": "CascadeROIHeads" if detector == "cascade_rcnn" else "StandardROIHeads",
                "IN_FEATURES": levels, "NUM_CLASSES": 5,
            },
            "ROI_BOX_HEAD": {
                "NAME": "FastRCNNConvFCHead", "NUM_CONV": 4, "CONV_DIM": 40, "NUM_FC": 1, "FC_DIM": 72, "NORM": inner,
                "POOLER_RESOLUTION": 7, "POOLER_SAMPLING_RATIO": 0, "POOLER_TYPE": "ROIAlignV2",
                "CLS_AGNOSTIC_BBOX_REG": detector == "cascade_rcnn",
            },
            "ROI_MASK_HEAD": {
                "NAME": "MaskRCNNConvUpsampleHead", "NUM_CONV": 4, "NORM": inner, "POOLER_RESOLUTION": 14,
            },
        },
        "INPUT": {"FORMAT": "RGB", "MIN_SIZE_TRAIN": "(640, 672, 704, 736, 768, 800)"},
        "DATASETS": {"TRAIN": '("coco_2017_train",)', "TEST": '("coco_2017_val",)'},
        "SOLVER": {
            "IMS_PER_BATCH": 16, "BASE_LR": 0.02, "WEIGHT_DECAY": 2.5e-5, "STEPS": "(60000, 80000)", "MAX_ITER": 90000,
        },
        "TEST": {"PRECISE_BN": {"ENABLED": True}},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("detector", "norm", "proposals"),
    [("mask_rcnn", "BN", 1000), ("faster_rcnn", "none", 1000), ("cascade_rcnn", "FrozenBN", 2000)],
)
def test_a_detectron2_config_line_by_line(
    detector: str, norm: str, proposals: int, house: House, tmp_path: Path
) -> None:
    options: dict[str, Any] = {"detector": detector, "norm": norm}
    weights, path = adept_hub.export(house.folder, "detectron2", tmp_path / "out", num_classes=CLASSES, **options)
    found = yaml.safe_load(path.read_text())
    assert Path(found["MODEL"].pop("WEIGHTS")) == weights
    assert found == detectron2(detector, norm, proposals)


def mmdet_model(detector: str, norm: str) -> dict[str, Any]:
    """The same facts in MMDetection's words; its norms in the backbone are frozen in place."""
    frozen = norm in ("FrozenBN", "none")
    inner = None if norm == "none" else {"type": norm, "requires_grad": norm != "FrozenBN"}
    head: dict[str, Any] = {
        "type": "Shared4Conv1FCBBoxHead", "in_channels": 24, "conv_out_channels": 40, "fc_out_channels": 72,
        "norm_cfg": inner, "num_classes": 5,
    }  # fmt: skip
    heads: Any = head
    if detector == "cascade_rcnn":
        heads = [
            head | {
                "roi_feat_size": 7, "reg_class_agnostic": True,
                "loss_cls": {"type": "CrossEntropyLoss", "use_sigmoid": False, "loss_weight": 1.0},
                "loss_bbox": {"type": "SmoothL1Loss", "beta": 1.0, "loss_weight": 1.0},
                "bbox_coder": {
                    "type": "DeltaXYWHBBoxCoder", "target_means": [0.0] * 4,
                    "target_stds": pytest.approx([0.1 / k, 0.1 / k, 0.2 / k, 0.2 / k]),
                },
            } for k in (1, 2, 3)
        ]  # fmt: skip

    def extractor(side: int) -> dict[str, Any]:
        layer = {"type": "RoIAlign", "output_size": side, "sampling_ratio": 0, "aligned": True}
        # floor(log2(side / 18)): P3 from 36 px, the house's first limit, P4 from 72, P5 from 144.
        return {"type": "SingleRoIExtractor", "roi_layer": layer, "out_channels": 24, "finest_scale": 18}

    mask: dict[str, Any] = {}
    if detector == "mask_rcnn":
        mask = {
            "mask_roi_extractor": extractor(14),
            "mask_head": {"in_channels": 24, "num_classes": 5, "norm_cfg": inner},
        }
    types = {"faster_rcnn": "FasterRCNN", "mask_rcnn": "MaskRCNN", "cascade_rcnn": "CascadeRCNN"}
    return {
        "type": types[detector],
        "data_preprocessor": {
            "mean": [25.5, 51.0, 76.5], "std": [102.0, 127.5, 153.0], "bgr_to_rgb": True, "pad_size_divisor": 32,
        },
        "backbone": {
            "depth": 18, "style": "pytorch", "frozen_stages": -1, "norm_eval": frozen, "init_cfg": None,
            "norm_cfg": {"type": "BN", "requires_grad": False} if frozen else inner,
        },
        "neck": {"in_channels": [64, 128, 256, 512], "out_channels": 24, "norm_cfg": inner, "num_outs": 5},
        "rpn_head": {
            "in_channels": 24, "feat_channels": 24,
            "anchor_generator": {
                "type": "AnchorGenerator", "scales": [1], "base_sizes": [11.0, 23.0, 47.0, 90.0, 180.0],
                "ratios": [0.4, 1.7], "strides": [4, 8, 16, 32, 64], "_delete_": True,
            },
        },
        "roi_head": {"bbox_roi_extractor": extractor(7), "bbox_head": heads, **mask},
        "train_cfg": {"rpn": {"allowed_border": -1}},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("detector", "norm"), [("mask_rcnn", "BN"), ("faster_rcnn", "none"), ("cascade_rcnn", "FrozenBN")]
)
def test_an_mmdetection_config_line_by_line(detector: str, norm: str, house: House, tmp_path: Path) -> None:
    options: dict[str, Any] = {"detector": detector, "norm": norm, "levels": "pretraining"}
    _, path = adept_hub.export(house.folder, "mmdet", tmp_path / "out", num_classes=CLASSES, **options)
    found: dict[str, Any] = {}
    exec(path.read_text(), found)
    assert found["model"] == mmdet_model(detector, norm)
    assert found["load_from"] == "{{ fileDirname }}/model.pth"  # MMEngine's own variable
    model = {"faster_rcnn": "faster-rcnn", "mask_rcnn": "mask-rcnn", "cascade_rcnn": "cascade-rcnn"}[detector]
    assert found["_base_"] == [
        f"mmdet::_base_/models/{model}_r50_fpn.py",
        f"mmdet::_base_/datasets/coco_{'instance' if detector == 'mask_rcnn' else 'detection'}.py",
        "mmdet::_base_/schedules/schedule_1x.py",
        "mmdet::_base_/default_runtime.py",
    ]
    assert found["optim_wrapper"] == {"optimizer": {"weight_decay": 2.5e-5}}
    # MMDetection has no frozen norm for FPN and heads but the one that this module registers.
    expected = {"imports": ["adept_hub.integrations.mmdet"]} if norm == "FrozenBN" else None
    assert found.get("custom_imports") == expected


@pytest.mark.frameworks
def test_what_a_mmdetection_config_leaves_out_is_what_its_backbone_does() -> None:
    register_mmdet()
    from mmdet.models.backbones import ResNet

    model = {**MMDET_STOCK, "backbone": {k: v for k, v in MMDET_STOCK["backbone"].items() if k != "norm_eval"}}
    defaults = inspect.signature(ResNet.__init__).parameters
    assert mmdet_facts(model).norm_eval is defaults["norm_eval"].default
    assert mmdet_facts({**model, "backbone": {**model["backbone"], "norm_eval": False}}).norm_eval is False


def test_one_list_of_anchor_sizes_is_every_level_s() -> None:
    """Detectron2's DefaultAnchorGenerator broadcasts it; two lists or more are one for each level."""
    model = {"ANCHOR_GENERATOR": {"SIZES": [[24, 48]]}}
    assert detectron2_facts({"MODEL": model}).anchor_sizes == ((24, 48),) * 5
    own = [[3], [9], [27], [81], [243]]
    assert detectron2_facts({"MODEL": {"ANCHOR_GENERATOR": {"SIZES": own}}}).anchor_sizes == tuple(map(tuple, own))
