"""Detectron2's and MMDetection's own detectors with random values, as their projects publish them, imported."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import adept_hub
from adept_hub.checkpoint.folder import read_config, read_tensors
from adept_hub.convert.framework import Framework
from adept_hub.convert.options import Detector, Target
from adept_hub.convert.predictors import convert_detector
from adept_hub.errors import PickleRefusedError, UnsupportedModelError
from adept_hub.foreign.import_weights import import_layout, recognize_layout
from adept_hub.frameworks import DETECTRON2, MMDET, TORCHVISION
from tests.convert.agreement import assert_agree, written
from tests.convert.probes import Detectron2Model, MmdetModel
from tests.foreign.test_detectors import CLASSES, IMAGE, LIMITS, SIZES, Imported, as_published, imported, randomize
from tests.foreign.test_import_weights import command
from tests.frameworks_support import (
    one_thread,  # noqa: F401  # an autouse fixture
    register_mmdet,
)

pytestmark = pytest.mark.frameworks
#: Whole pixel values, as they come from a file.
PIXELS = (IMAGE * 255).round()


def detectron2_model(*options: object, file: str = "COCO-Detection/faster_rcnn_R_50_FPN_3x.yaml") -> nn.Module:
    from detectron2 import model_zoo
    from detectron2.modeling import build_model

    cfg = model_zoo.get_config(file)
    cfg.merge_from_list(["MODEL.DEVICE", "cpu", "MODEL.ROI_HEADS.NUM_CLASSES", CLASSES - 1, *options])
    cfg.merge_from_list(["MODEL.RPN.POST_NMS_TOPK_TEST", 40, "MODEL.ROI_HEADS.SCORE_THRESH_TEST", 0.01])
    cfg.TEST.DETECTIONS_PER_IMAGE = 30
    model = build_model(cfg).eval()
    randomize(model, ("anchor_deltas", "objectness_logits", "box_predictor"))
    return model


def mmdet_model(name: str) -> nn.Module:
    register_mmdet()
    import mmdet
    from mmdet.registry import MODELS
    from mmengine.config import Config

    cfg = Config.fromfile(str(Path(mmdet.__file__).parent / ".mim" / "configs" / name)).model
    cfg.backbone.init_cfg = None
    if "caffe" not in name:  # seconds are saved
        cfg.backbone.depth, cfg.neck.in_channels = 18, [64, 128, 256, 512]
    for head in ("bbox_head", "mask_head"):
        if head in cfg.roi_head:
            cfg.roi_head[head].num_classes = CLASSES - 1
    cfg.test_cfg.rpn.max_per_img, cfg.test_cfg.rcnn.max_per_img, cfg.test_cfg.rcnn.score_thr = 40, 30, 0.01
    model = MODELS.build(cfg).eval()
    randomize(model, ("rpn_cls", "rpn_reg", "fc_cls", "fc_reg"))
    return model


def detections_of_detectron2(model: nn.Module) -> tuple[Tensor, ...]:
    """Boxes, scores, labels from 1 and 28 x 28 masks of a BGR image, as Detectron2's mapper hands it over."""
    (found,) = model.inference([{"image": PIXELS.flip(0)}], do_postprocess=False)
    masks = (found.pred_masks,) if found.has("pred_masks") else ()
    return (found.pred_boxes.tensor, found.scores, found.pred_classes + 1, *masks)


def detections_of_mmdet(model: nn.Module) -> tuple[Tensor, ...]:
    from mmdet.structures import DetDataSample

    facts = {"img_shape": (96, 128), "ori_shape": (96, 128), "scale_factor": (1.0, 1.0), "pad_shape": (96, 128)}
    data = {"inputs": [PIXELS.flip(0).to(torch.uint8)], "data_samples": [DetDataSample(metainfo=facts)]}
    logits: list[Tensor] = []
    if model.with_mask:
        model.roi_head.mask_head.register_forward_hook(lambda module, inputs, output: logits.append(output))
    found = model.test_step(data)[0].pred_instances
    masks = [one[range(len(found.labels)), found.labels][:, None].sigmoid() for one in logits]
    return (found.bboxes, found.scores, found.labels + 1, *masks)


def detector_of(one: Imported) -> Detector:
    return "mask_rcnn" if any("mask_head" in key for key in one.model.state_dict()) else "faster_rcnn"


def ours(one: Imported, framework: Framework) -> tuple[Tensor, ...]:
    """The imported detector's, with the original's predictors and mask head, before masks are pasted."""
    detector = detector_of(one)
    model = adept_hub.load_pretrained(one.folder, num_classes=CLASSES, detector=detector, **LIMITS).eval()
    state = convert_detector(one.model.state_dict(), framework, TORCHVISION, detector)
    predictors = {key: t for key, t in state.items() if "predictor" in key or "mask_head" in key}
    assert len(predictors) == (4 if detector == "faster_rcnn" else 16)
    result = model.load_state_dict(predictors, strict=False)
    assert not result.unexpected_keys
    model.transform.postprocess = lambda found, *_: found
    (found,) = model([PIXELS / 255])
    return tuple(found[key] for key in ("boxes", "scores", "labels", "masks") if key in found)


def assert_chain(one: Imported, name: str, reference: object, folder: Path, *, bgr: bool = False) -> None:
    """import -> export -> framework: the framework builds the model of the export's config and loads its weights."""
    config = read_config(one.folder)
    target = Target(detector_of(one), num_classes=CLASSES)
    probe = written(name, folder / "exported", read_tensors(one.folder, config), config, target)
    assert_agree(probe, reference, bgr=bgr, proposals_each=40)


def assert_same(found: tuple[Tensor, ...], expected: tuple[Tensor, ...]) -> None:
    assert len(expected[0]) == 30
    assert len(found) == len(expected)
    assert torch.equal(found[2], expected[2])
    assert (found[0] - expected[0]).abs().max() < 1e-2
    assert (found[1] - expected[1]).abs().max() < 1e-4
    for ours, theirs in zip(found[3:], expected[3:], strict=True):
        assert ours.shape == theirs.shape == (30, 1, 28, 28)
        assert (ours - theirs).abs().max() < 1e-3


@torch.no_grad()
@pytest.mark.parametrize(
    "file", ["COCO-Detection/faster_rcnn_R_50_FPN_3x.yaml", "COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_3x.yaml"]
)
def test_detectron2_s_model_zoo_in_a_pkl_detects_the_same(file, tmp_path):
    model = detectron2_model(file=file)
    arrays = {key: tensor.numpy() for key, tensor in as_published(model.state_dict()).items()}
    arrays |= {"pixel_mean": model.pixel_mean.numpy(), "pixel_std": model.pixel_std.numpy()}  # in files of 2019
    with (tmp_path / "model_final.pkl").open("wb") as stream:
        pickle.dump({"model": arrays, "__author__": "Detectron2 Model Zoo"}, stream)
    assert command([str(tmp_path / "model_final.pkl"), "--out", str(tmp_path / "out")]) == 0
    config = read_config(tmp_path / "out")
    spec = config.spec
    assert (spec.stride_in_1x1, spec.head, spec.rpn_convs, spec.pooling) == (True, "2fc", 1, "aligned")
    assert (spec.backbone_norm, spec.fpn_norm, spec.head_norm) == ("frozen_bn", "none", "none")
    assert (spec.anchors.sizes, spec.anchors.generator) == (SIZES, "exact")
    assert (config.license, config.provenance.labeled) == ("cc-by-sa-3.0", True)
    one = Imported(model, {}, tmp_path / "out")
    assert_same(ours(one, DETECTRON2), detections_of_detectron2(model))
    assert_chain(one, "detectron2", Detectron2Model(model), tmp_path, bgr=True)


@torch.no_grad()
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py", ()),
        ("mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py", ()),
        ("faster_rcnn/faster-rcnn_r50-caffe_fpn_1x_coco.py", ("--layout", "mmdet-detector-caffe", "--json")),
    ],
    ids=["pytorch", "mask", "caffe"],
)
def test_mmdetection_s_file_detects_the_same(name, words, tmp_path, capsys):
    model = mmdet_model(name)
    capsys.readouterr()
    state = {"meta": {"epoch": 12, "CLASSES": ("a",)}, "state_dict": as_published(model.state_dict())}
    one = imported(model, tmp_path, *words, state=state)
    spec, config = read_config(one.folder).spec, read_config(one.folder)
    assert (spec.stride_in_1x1, spec.head, spec.rpn_convs) == (bool(words), "2fc", 1)
    assert (spec.backbone_norm, spec.fpn_norm, spec.head_norm) == ("bn", "none", "none")
    assert (config.license, config.provenance.labeled) == ("apache-2.0", True)
    if words:
        printed = json.loads(capsys.readouterr().out)
        assert (printed["layout"], printed["labeled"], printed["license"]) == (words[1], True, "apache-2.0")
        assert "strides in the 1x1 convolutions" in printed["architecture"]
    assert_same(ours(one, MMDET), detections_of_mmdet(model))
    assert_chain(one, "mmdet", MmdetModel(model), tmp_path, bgr=bool(words))


def test_detectron2_s_other_detectors_are_refused_or_need_their_layout():
    state = detectron2_model("MODEL.RESNETS.NORM", "BN", "MODEL.RESNETS.STRIDE_IN_1X1", False).state_dict()
    assert recognize_layout(state) == "detectron2-detector"
    with pytest.raises(UnsupportedModelError, match="norms backbone bn, fpn none, head none"):
        import_layout(state, "detectron2-detector")
    tensors, spec = import_layout(state, "detectron2-detector-rgb")
    assert not spec.stride_in_1x1
    assert torch.equal(tensors["backbone.conv1.weight"], state["backbone.bottom_up.stem.conv1.weight"])


def test_a_pkl_that_would_import_anything_else_is_refused(tmp_path):
    with (tmp_path / "model_final.pkl").open("wb") as stream:
        pickle.dump({"model": {"a": torch.device("cpu")}}, stream)
    with pytest.raises(PickleRefusedError, match="would import"):
        command([str(tmp_path / "model_final.pkl"), "--out", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()
