"""The doctor knows what the frameworks' own configs say, and misses nothing that would hurt."""

from __future__ import annotations

import json

import pytest
import torch

from adept_hub.cli.main import main
from adept_hub.convert.export import export_state, write_export
from adept_hub.convert.options import Target
from adept_hub.doctor import diagnose, diagnose_file, diagnose_stock
from adept_hub.errors import CheckpointError, PickleRefusedError, UnsupportedModelError
from adept_hub.frameworks import FRAMEWORKS, MMDET, TORCHVISION
from adept_hub.frameworks.detectron2.config import config_yaml
from adept_hub.frameworks.detectron2.facts import DETECTRON2_STOCK, detectron2_facts
from adept_hub.frameworks.mmdet.config import config_py
from adept_hub.frameworks.mmdet.facts import MMDET_STOCK, mmdet_facts
from tests.frameworks_support import LARGE, SMALL, config_of, random_tensors, register_mmdet

FILES = {"detectron2": "config.yaml", "mmdet": "config.py"}


def codes(findings, severity=None):
    return sorted(f.code for f in findings if severity in (None, f.severity))


@pytest.mark.parametrize(
    ("framework", "errors", "warnings"),
    [
        (
            "detectron2",
            ["channel_order", "fpn_norm", "head_norm", "head_shape", "mean", "std", "stride_in_1x1"],
            ["anchor_sizes", "frozen_norms", "frozen_stages", "levels"],
        ),
        ("mmdet", ["fpn_norm", "head_norm", "head_shape"], ["anchor_sizes", "frozen_norms", "frozen_stages", "levels"]),
        (
            "torchvision",
            ["fpn_norm", "head_norm", "head_shape"],
            ["anchor_sizes", "anchors_rounded", "frozen_norms", "frozen_stages", "levels", "roi_align"],
        ),
    ],
)
def test_stock_configs_hurt_as_fidelity_says(framework, errors, warnings):
    findings = diagnose_stock(config_of(LARGE), framework)
    assert codes(findings, "error") == errors
    assert codes(findings, "warning") == warnings
    assert all(f.remedy and f.actual and f.expected for f in findings)


@pytest.mark.frameworks
def test_the_stock_tables_are_the_frameworks_own():
    from detectron2 import model_zoo

    cfg = model_zoo.get_config("COCO-Detection/faster_rcnn_R_50_FPN_1x.yaml")
    assert detectron2_facts(cfg) == detectron2_facts(DETECTRON2_STOCK)
    register_mmdet()
    from pathlib import Path

    import mmdet
    from mmengine.config import Config

    path = Path(mmdet.__file__).parent / ".mim/configs/_base_/models/faster-rcnn_r50_fpn.py"
    assert mmdet_facts(Config.fromfile(path).model) == mmdet_facts(MMDET_STOCK)


@pytest.mark.frameworks
@pytest.mark.parametrize("framework", list(FILES))
def test_an_export_has_nothing_wrong_but_what_was_chosen(framework, tmp_path):
    config = config_of(SMALL)
    levels = "pretraining" if framework == "mmdet" else "stock"
    for name, target, expected in (
        ("a", Target(anchors="downstream"), ["anchor_sizes", "levels"]),
        ("b", Target("cascade_rcnn", anchors="pretraining", levels=levels), [] if framework == "mmdet" else ["levels"]),
    ):
        _, path = write_export(random_tensors(SMALL), config, FRAMEWORKS[framework], tmp_path / name, target)
        assert codes(diagnose_file(path, config, framework, run_config=True)) == expected


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ('FORMAT: "RGB"', 'FORMAT: "BGR"', "channel_order"),
        ("PIXEL_MEAN: [123.675", "PIXEL_MEAN: [103.53", "mean"),
        ("PIXEL_STD: [58.395, 57.12, 57.375]", "PIXEL_STD: [1.0, 1.0, 1.0]", "std"),
        ("STRIDE_IN_1X1: False", "STRIDE_IN_1X1: True", "stride_in_1x1"),
        ("DEPTH: 50", "DEPTH: 101", "depth"),
        ('1X1: False\n    NORM: "SyncBN"', '1X1: False\n    NORM: "GN"', "backbone_norm"),
        ("FREEZE_AT: 0", "FREEZE_AT: 2", "frozen_stages"),
        ('OUT_CHANNELS: 256\n    NORM: "SyncBN"', 'OUT_CHANNELS: 256\n    NORM: ""', "fpn_norm"),
        ("OUT_CHANNELS: 256\n    NORM", "OUT_CHANNELS: 128\n    NORM", "fpn_channels"),
        ("build_resnet_fpn_backbone", "build_retinanet_resnet_fpn_backbone", "fpn_extra_convs"),
        ("CONV_DIMS: [-1]", "CONV_DIMS: [-1, -1]", "rpn_convs"),
        ("ASPECT_RATIOS: [[0.5, 1.0, 2.0]]", "ASPECT_RATIOS: [[0.5, 1.0]]", "anchors"),
        ("SIZES: [[24.0]", "SIZES: [[24.0, 30.0]", "anchors"),
        ("SIZES: [[24.0]", "SIZES: [[32.0]", "anchor_sizes"),
        ("NUM_CONV: 4\n    CONV_DIM", "NUM_CONV: 0\n    CONV_DIM", "head_shape"),
        ("FC_DIM: 1024", "FC_DIM: 512", "head_shape"),
        ('FC_DIM: 1024\n    NORM: "SyncBN"', 'FC_DIM: 1024\n    NORM: ""', "head_norm"),
        ('"ROIAlignV2"', '"ROIAlign"', "roi_align"),
        ("POOLER_SAMPLING_RATIO: 0", "POOLER_SAMPLING_RATIO: 2", "roi_align"),
    ],
)
def test_each_single_change_of_a_detectron2_config_is_found(old, new, code, tmp_path):
    config = config_of(LARGE)
    text = config_yaml(config, Target(anchors="pretraining"), "/weights.pth")
    assert old in text
    path = tmp_path / "config.yaml"
    path.write_text(text.replace(old, new))
    found = diagnose_file(path, config, "detectron2")
    assert codes(found) == sorted([code, "levels"])


@pytest.mark.frameworks
@pytest.mark.parametrize(
    ("change", "code"),
    [
        ("model.data_preprocessor.bgr_to_rgb=False", "channel_order"),
        ("model.data_preprocessor.std=[1,1,1]", "std"),
        ("model.backbone.style='caffe'", "stride_in_1x1"),
        ("model.backbone.norm_eval=True", "frozen_norms"),
        ("model.backbone.frozen_stages=1", "frozen_stages"),
        ("model.neck.norm_cfg=None", "fpn_norm"),
        ("model.neck.add_extra_convs='on_output'", "fpn_extra_convs"),
        ("model.rpn_head.num_convs=2", "rpn_convs"),
        ("model.rpn_head.loss_cls.use_sigmoid=False", "rpn_softmax"),
        ("model.rpn_head.anchor_generator.ratios=[1.0]", "anchors"),
        ("model.rpn_head.anchor_generator.scales=[8]", "anchor_sizes"),
        ("model.roi_head.bbox_head.type='Shared2FCBBoxHead'", "head_shape"),
        ("model.roi_head.bbox_head.norm_cfg=None", "head_norm"),
        ("model.roi_head.bbox_roi_extractor.roi_layer.aligned=False", "roi_align"),
        ("model.roi_head.bbox_roi_extractor.finest_scale=56", "levels"),
    ],
)
def test_each_single_change_of_a_mmdet_config_is_found(change, code, tmp_path):
    from mmengine.config import Config

    config, target = config_of(LARGE), Target(anchors="pretraining", levels="pretraining")
    (tmp_path / "config.py").write_text(config_py(config, target))
    cfg = Config.fromfile(tmp_path / "config.py")
    assert diagnose(mmdet_facts(cfg.model), config, MMDET) == []
    key, _, value = change.partition("=")
    cfg.merge_from_dict({key: eval(value)})
    assert codes(diagnose(mmdet_facts(cfg.model), config, MMDET)) == [code]


def test_a_base_config_is_followed(tmp_path):
    (tmp_path / "base.yaml").write_text("MODEL:\n  FPN:\n    NORM: SyncBN\n")
    (tmp_path / "mine.yaml").write_text("_BASE_: base.yaml\nMODEL:\n  ROI_BOX_HEAD:\n    NORM: BN\n")
    found = codes(diagnose_file(tmp_path / "mine.yaml", config_of(LARGE), "detectron2"))
    assert "fpn_norm" not in found
    assert "head_norm" not in found


def test_a_weights_file_tells_its_structure(tmp_path):
    state = export_state(random_tensors(SMALL), SMALL, TORCHVISION)
    path = tmp_path / "mine.pth"
    second = {"rpn.head.conv.1.0.weight": torch.zeros(32, 32, 3, 3), "rpn.head.conv.1.0.bias": torch.zeros(32)}
    torch.save({"model": {f"module.{k}": t for k, t in {**state, **second}.items()}}, path)
    assert codes(diagnose_file(path, config_of(SMALL), "torchvision")) == ["rpn_convs"]
    assert "depth" in codes(diagnose_file(path, config_of(LARGE), "torchvision"))
    with pytest.raises(UnsupportedModelError, match="torchvision, not of mmdet"):
        diagnose_file(path, config_of(SMALL), "mmdet")


def test_bad_files_are_told_kindly(tmp_path):
    config = config_of(LARGE)
    for name, text in (("a.yaml", "just: words"), ("b.yaml", "{: ["), ("c.txt", "x"), ("d.pth", "not a zip")):
        (tmp_path / name).write_text(text)
        with pytest.raises(CheckpointError):
            diagnose_file(tmp_path / name, config, "detectron2")
    torch.save({"model": object}, tmp_path / "e.pth")
    with pytest.raises(PickleRefusedError):
        diagnose_file(tmp_path / "e.pth", config, "detectron2")


def test_the_command_prints_remedies_and_json(tmp_path, make_checkpoint, capsys):
    folder, _, _ = make_checkpoint()
    assert main(["doctor", str(folder), "--target", "detectron2"]) == 1
    assert 'set INPUT.FORMAT to "RGB"' in capsys.readouterr().out
    (tmp_path / "mine.yaml").write_text("MODEL:\n  MASK_ON: True\n")
    words = ["doctor", str(tmp_path / "mine.yaml"), "--target", "detectron2", "--weights", str(folder), "--json"]
    assert main(words) == 1
    found = {f["code"] for f in json.loads(capsys.readouterr().out)["findings"]}
    assert {"channel_order", "fpn_norm"} <= found
    assert main(["doctor", str(tmp_path / "none.yaml"), "--target", "detectron2"]) == 1
