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
    exec(text[text.index("]\n") + 2 :], space)
    return space


def test_anchors_and_levels_in_the_frameworks_own_words() -> None:
    """Beside what `tests.frameworks.test_read_facts` has: sizes a fixed multiple of the strides, and stock levels."""
    for anchors, sizes, scale in (("downstream", STOCK, 8), ("rescaled", STOCK, 8), ("pretraining", OWN, 5)):
        target = Target("mask_rcnn", 7, "BN", anchors)
        generator = mmdet_config(target)["model"]["rpn_head"]["anchor_generator"]
        assert (generator["scales"], generator["ratios"], "base_sizes" in generator) == ([scale], [0.25, 1.5], False)
        found = yaml.safe_load(text_of(DETECTRON2, target))["MODEL"]["ANCHOR_GENERATOR"]
        assert found == {"SIZES": [[size] for size in sizes], "ASPECT_RATIOS": [[0.25, 1.5]], "OFFSET": 0.0}
    for levels, finest in (("stock", None), ("pretraining", 25)):
        heads = mmdet_config(Target("mask_rcnn", 7, levels=levels))["model"]["roi_head"]
        assert (
            heads["bbox_roi_extractor"].get("finest_scale") == heads["mask_roi_extractor"].get("finest_scale") == finest
        )


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
