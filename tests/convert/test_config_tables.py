"""Every field of an exported config against a value worked out by hand, from a checkpoint without any default value."""

from __future__ import annotations

import copy
import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from adept_hub.convert.export import config_text, write_export
from adept_hub.convert.framework import InferenceSettings
from adept_hub.convert.options import Target
from adept_hub.frameworks import DETECTRON2, FRAMEWORKS, MMDET, TORCHVISION
from adept_hub.models.contract import expected_tensors
from adept_hub.spec import AnchorSpec, CheckpointConfig, DetectorSpec, LevelSpec, Preprocessing, Provenance
from tests.frameworks_support import one_thread, random_tensors  # noqa: F401  # an autouse fixture

ODD = DetectorSpec(
    18, 24, 40, 56, anchors=AnchorSpec((20.0, 40.0, 80.0, 160.0), (0.25, 1.5)), levels=LevelSpec((50, 100, 200, 210))
)
CONFIG = CheckpointConfig(
    "adept_joint_odd.v1", ODD, Provenance("adept_joint", "numbers", 1, 1.0, "target"), "mit", "ab" * 32, 9,
    preprocessing=Preprocessing(mean=(0.1, 0.2, 0.4), std=(0.5, 0.6, 0.8)),
)  # fmt: skip
SETTINGS = InferenceSettings(("a", "b's"), False, (21.0, 42.0, 84.0, 168.0, 337.0), 97, 161, 63, 0.11, 37)
OWN = [20.0, 40.0, 80.0, 160.0, 320.0]
STOCK = [32.0, 64.0, 128.0, 256.0, 512.0]


def text_of(framework, target: Target, settings: InferenceSettings | None = None) -> str:
    return config_text(CONFIG, framework, target, Path("/out"), settings=settings)


@pytest.mark.parametrize(
    ("target", "sizes", "body", "inner"),
    [
        (Target("faster_rcnn", 7, "SyncBN", "pretraining"), OWN, "SyncBN", "SyncBN"),
        (Target("mask_rcnn", 8, "BN", "downstream"), STOCK, "BN", "BN"),
        (Target("cascade_rcnn", 9, "FrozenBN", "rescaled"), STOCK, "FrozenBN", "FrozenBN"),
        (Target("faster_rcnn", 7, "none", "pretraining"), OWN, "FrozenBN", ""),
    ],
)
def test_every_field_of_detectron2_s_config(target, sizes, body, inner) -> None:
    cascade = target.detector == "cascade_rcnn"
    found = yaml.safe_load(text_of(DETECTRON2, target))
    assert found["VERSION"] == 2
    assert found["MODEL"] == {
        "META_ARCHITECTURE": "GeneralizedRCNN",
        "WEIGHTS": "/out/model.pth",
        "MASK_ON": target.detector == "mask_rcnn",
        "PIXEL_MEAN": [25.5, 51.0, 102.0],
        "PIXEL_STD": [127.5, 153.0, 204.0],
        "BACKBONE": {"NAME": "build_resnet_fpn_backbone", "FREEZE_AT": 0},
        "RESNETS": {
            "DEPTH": 18, "OUT_FEATURES": ["res2", "res3", "res4", "res5"], "RES2_OUT_CHANNELS": 64,
            "STRIDE_IN_1X1": False, "NORM": body,
        },
        "FPN": {
            "IN_FEATURES": ["res2", "res3", "res4", "res5"], "OUT_CHANNELS": 24, "NORM": inner, "FUSE_TYPE": "sum",
        },
        "ANCHOR_GENERATOR": {"SIZES": [[s] for s in sizes], "ASPECT_RATIOS": [[0.25, 1.5]], "OFFSET": 0.0},
        "RPN": {
            "HEAD_NAME": "StandardRPNHead", "IN_FEATURES": ["p2", "p3", "p4", "p5", "p6"], "CONV_DIMS": [-1],
            "PRE_NMS_TOPK_TRAIN": 2000, "PRE_NMS_TOPK_TEST": 1000,
            "POST_NMS_TOPK_TRAIN": 2000 if cascade else 1000, "POST_NMS_TOPK_TEST": 1000,
        },
        "ROI_HEADS": {
            "NAME": "CascadeROIHeads" if cascade else "StandardROIHeads", "IN_FEATURES": ["p2", "p3", "p4", "p5"],
            "NUM_CLASSES": target.num_classes - 1,
        },
        "ROI_BOX_HEAD": {
            "NAME": "FastRCNNConvFCHead", "NUM_CONV": 4, "CONV_DIM": 40, "NUM_FC": 1, "FC_DIM": 56, "NORM": inner,
            "POOLER_RESOLUTION": 7, "POOLER_SAMPLING_RATIO": 0, "POOLER_TYPE": "ROIAlignV2",
            "CLS_AGNOSTIC_BBOX_REG": cascade,
        },
        "ROI_MASK_HEAD": {
            "NAME": "MaskRCNNConvUpsampleHead", "NUM_CONV": 4, "NORM": inner, "POOLER_RESOLUTION": 14,
        },
    }  # fmt: skip
    assert found["INPUT"]["FORMAT"] == "RGB"


def test_the_settings_of_a_fine_tuned_detector_in_detectron2_s_config() -> None:
    target = Target("faster_rcnn", 3)
    plain, found = yaml.safe_load(text_of(DETECTRON2, target)), yaml.safe_load(text_of(DETECTRON2, target, SETTINGS))
    expected = copy.deepcopy(plain)
    expected["INPUT"] |= {"MIN_SIZE_TEST": 97, "MAX_SIZE_TEST": 161}
    expected["MODEL"]["ANCHOR_GENERATOR"]["SIZES"] = [[21.0], [42.0], [84.0], [168.0], [337.0]]
    expected["MODEL"]["RPN"]["POST_NMS_TOPK_TEST"] = 63
    expected["MODEL"]["ROI_HEADS"]["SCORE_THRESH_TEST"] = 0.11
    expected["TEST"]["DETECTIONS_PER_IMAGE"] = 37
    assert found == expected


def mmdet_config(target: Target, settings: InferenceSettings | None = None) -> dict:
    """Execute a config.py as MMEngine does, with a base of one pipeline."""
    pipeline = [{"type": "LoadImageFromFile"}, {"type": "Resize", "scale": (1333, 800), "keep_ratio": True}]
    space = {"_base_": SimpleNamespace(test_pipeline=pipeline)}
    text = text_of(MMDET, target, settings)
    bases = {}
    exec(text[: text.index("]\n") + 2], bases)
    exec(text[text.index("]\n") + 2 :], space)
    return space | {"bases": [name.rpartition("/")[2] for name in bases["_base_"]]}


@pytest.mark.parametrize(
    ("target", "sizes", "frozen", "inner", "finest"),
    [
        (Target("faster_rcnn", 7, "SyncBN", "pretraining", "stock"), OWN, False, "SyncBN", {}),
        (Target("mask_rcnn", 8, "BN", "downstream", "pretraining"), STOCK, False, "BN", {"finest_scale": 25}),
        (Target("cascade_rcnn", 9, "FrozenBN", "rescaled", "stock"), STOCK, True, "FrozenBN", {}),
        (Target("faster_rcnn", 7, "none", "pretraining", "stock"), OWN, True, None, {}),
    ],
)
def test_every_field_of_mmdetection_s_config(target, sizes, frozen, inner, finest) -> None:
    found = mmdet_config(target)
    kind = target.detector.partition("_")[0]
    mask = kind == "mask"
    assert found["bases"] == [
        f"{kind}-rcnn_r50_fpn.py", "coco_instance.py" if mask else "coco_detection.py", "schedule_1x.py",
        "default_runtime.py",
    ]  # fmt: skip
    assert found["load_from"] == "{{ fileDirname }}/model.pth"
    assert ("custom_imports" in found) is (inner == "FrozenBN")
    norm = None if inner is None else {"type": inner, "requires_grad": inner != "FrozenBN"}
    anchors = {"scales": [8], "sizes": STOCK} if sizes is STOCK else {"scales": [5], "sizes": OWN}
    pooler = {
        "type": "SingleRoIExtractor", "out_channels": 24, **finest,
        "roi_layer": {"type": "RoIAlign", "output_size": 7, "sampling_ratio": 0, "aligned": True},
    }  # fmt: skip
    head = {
        "type": "Shared4Conv1FCBBoxHead", "in_channels": 24, "conv_out_channels": 40, "fc_out_channels": 56,
        "norm_cfg": norm, "num_classes": target.num_classes - 1,
    }  # fmt: skip
    heads = [
        {**head, "roi_feat_size": 7, "reg_class_agnostic": True,
         "loss_cls": {"type": "CrossEntropyLoss", "use_sigmoid": False, "loss_weight": 1.0},
         "loss_bbox": {"type": "SmoothL1Loss", "beta": 1.0, "loss_weight": 1.0},
         "bbox_coder": {"type": "DeltaXYWHBBoxCoder", "target_means": [0.0] * 4,
                        "target_stds": pytest.approx(stds, rel=1e-9)}}
        for stds in ([0.1, 0.1, 0.2, 0.2], [0.05, 0.05, 0.1, 0.1], [0.1 / 3, 0.1 / 3, 0.2 / 3, 0.2 / 3])
    ]  # fmt: skip
    roi = {"bbox_roi_extractor": pooler, "bbox_head": heads if kind == "cascade" else head}
    if mask:
        roi["mask_roi_extractor"] = {**pooler, "roi_layer": {**pooler["roi_layer"], "output_size": 14}}
        roi["mask_head"] = {"in_channels": 24, "num_classes": 7, "norm_cfg": norm}
    assert found["model"] == {
        "type": {"faster": "FasterRCNN", "mask": "MaskRCNN", "cascade": "CascadeRCNN"}[kind],
        "data_preprocessor": {
            "mean": [25.5, 51.0, 102.0], "std": [127.5, 153.0, 204.0], "bgr_to_rgb": True, "pad_size_divisor": 32,
        },
        "backbone": {
            "depth": 18, "style": "pytorch", "frozen_stages": -1, "init_cfg": None, "norm_eval": frozen,
            "norm_cfg": {"type": "BN", "requires_grad": False} if frozen else norm,
        },
        "neck": {"in_channels": [64, 128, 256, 512], "out_channels": 24, "norm_cfg": norm, "num_outs": 5},
        "rpn_head": {
            "in_channels": 24, "feat_channels": 24,
            "anchor_generator": {
                "type": "AnchorGenerator", "scales": anchors["scales"], "ratios": [0.25, 1.5],
                "strides": [4, 8, 16, 32, 64], "_delete_": True,
            },
        },
        "roi_head": roi,
        "train_cfg": {"rpn": {"allowed_border": -1}},
    }  # fmt: skip


def test_the_settings_of_a_fine_tuned_detector_in_mmdetection_s_config() -> None:
    target = Target("faster_rcnn", 3)
    found, expected = mmdet_config(target, SETTINGS), mmdet_config(target)["model"]
    expected["rpn_head"]["anchor_generator"] |= {"scales": [1], "base_sizes": [21.0, 42.0, 84.0, 168.0, 337.0]}
    rpn, rcnn = {"nms_pre": 1000, "max_per_img": 63}, {"score_thr": 0.11, "max_per_img": 37}
    assert found["model"] == {**expected, "test_cfg": {"rpn": rpn, "rcnn": rcnn}}
    steps = found["test_dataloader"]["dataset"]["pipeline"]
    assert steps[1] == {"type": "Resize", "scale": (161, 97), "keep_ratio": True, "backend": "pillow"}
    assert found["val_dataloader"] == found["test_dataloader"]


def built(folder: Path, name: str):
    return runpy.run_path(str(folder / "build_model.py"))[name]


@pytest.mark.parametrize(
    ("target", "sizes", "inner", "canonical"),
    [
        (Target("faster_rcnn", 7, "SyncBN", "pretraining", "stock"), OWN, "SyncBatchNorm", 224.0),
        (Target("mask_rcnn", 8, "BN", "downstream", "pretraining"), STOCK, "BatchNorm2d", 100.0),
        (Target("cascade_rcnn", 9, "FrozenBN", "rescaled", "stock"), STOCK, "FrozenBatchNorm2d", 224.0),
        (Target("faster_rcnn", 7, "none", "pretraining", "stock"), OWN, "FrozenBatchNorm2d", 224.0),
    ],
)
def test_every_choice_of_torchvision_s_module(target, sizes, inner, canonical, tmp_path) -> None:
    write_export(random_tensors(ODD), CONFIG, TORCHVISION, tmp_path / "out", target)
    model = built(tmp_path / "out", "build_model")()
    assert type(model).__name__ == ("MaskRCNN" if target.detector == "mask_rcnn" else "FasterRCNN")
    transform, generator = model.transform, model.rpn.anchor_generator
    assert (transform.image_mean, transform.image_std) == ([0.1, 0.2, 0.4], [0.5, 0.6, 0.8])
    assert (transform.min_size, transform.max_size) == ((800,), 1333)
    assert generator.sizes == tuple((size,) for size in sizes)
    assert generator.aspect_ratios == ((0.25, 1.5),) * 5
    assert generator.strides == (4, 8, 16, 32, 64)
    poolers = [(model.roi_heads.box_roi_pool, (7, 7))]
    if target.detector == "mask_rcnn":
        poolers.append((model.roi_heads.mask_roi_pool, (14, 14)))
        assert model.roi_heads.mask_predictor.mask_fcn_logits.out_channels == 8
    for pooler, size in poolers:
        assert (pooler.output_size, pooler.canonical_size, pooler.strides) == (size, canonical, (4, 8, 16, 32))
    predictor = model.roi_heads.box_predictor
    predictors = list(predictor) if target.detector == "cascade_rcnn" else [predictor]
    assert {p.cls_score.out_features for p in predictors} == {target.num_classes}
    assert type(model.backbone.body.bn1).__name__ == inner
    names = {type(m).__name__ for m in model.backbone.fpn.modules() if "BatchNorm" in type(m).__name__}
    assert names == (set() if target.norm == "none" else {inner})


def test_the_settings_of_a_fine_tuned_detector_in_torchvision_s_module(tmp_path) -> None:
    text = text_of(TORCHVISION, Target("faster_rcnn", 3), SETTINGS)
    (tmp_path / "build_model.py").write_text(text)
    space = runpy.run_path(str(tmp_path / "build_model.py"))
    model = space["build_model"](3)
    space["build_detector"].__globals__["load_file"] = lambda path: model.state_dict()
    detector = space["build_detector"]()
    assert space["CLASSES"] == ("a", "b's")
    assert (detector.transform.min_size, detector.transform.max_size) == ((97,), 161)
    assert detector.rpn.anchor_generator.sizes == ((21.0,), (42.0,), (84.0,), (168.0,), (337.0,))
    assert detector.rpn.post_nms_top_n() == 63
    assert (detector.roi_heads.score_thresh, detector.roi_heads.detections_per_img) == (0.11, 37)
    assert not detector.training


@pytest.mark.parametrize(
    ("part", "detector"),
    [("backbone", "mask_rcnn"), ("fpn", "faster_rcnn"), ("rpn", "faster_rcnn"), ("head", "cascade_rcnn")],
)
def test_a_torchvision_module_asks_for_the_exported_parts_and_no_others(part, detector, tmp_path) -> None:
    tensors = {key: tensor for key, tensor in random_tensors(ODD).items() if not key.startswith(f"{part}.")}
    assert len(tensors) < len(expected_tensors(ODD))
    write_export(tensors, CONFIG, FRAMEWORKS["torchvision"], tmp_path / "out", Target(detector))
    build = built(tmp_path / "out", "build_model")
    build()
    other = {"backbone": "head", "fpn": "head", "rpn": "head", "head": "fpn"}[part]
    fewer = {key: tensor for key, tensor in tensors.items() if not key.startswith(f"{other}.")}
    write_export(fewer, CONFIG, FRAMEWORKS["torchvision"], tmp_path / "fewer", Target(detector))
    with pytest.raises(RuntimeError, match="does not match: missing keys"):
        build(weights=tmp_path / "fewer" / "model.safetensors")
