"""Users' own models: recognized by their keys, filled wholly, or refused with what to change."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torchvision.models.detection import (
    fasterrcnn_mobilenet_v3_large_fpn,
    fasterrcnn_resnet50_fpn,
    fasterrcnn_resnet50_fpn_v2,
    maskrcnn_resnet50_fpn_v2,
    retinanet_resnet50_fpn,
)

from adept_hub.convert.export import write_export
from adept_hub.convert.options import Target
from adept_hub.convert.plan import plan_for_model
from adept_hub.convert.strides import refuse_stride_elsewhere
from adept_hub.errors import UnsupportedModelError
from adept_hub.frameworks import DETECTRON2, FRAMEWORKS, TORCHVISION
from adept_hub.frameworks.recognize import recognize
from adept_hub.models import DetectorParts, assemble_detector
from tests.convert.probes import canonical_probe
from tests.frameworks_support import (
    LARGE,
    SMALL,
    config_of,
    one_thread,  # noqa: F401  # an autouse fixture
    random_tensors,
    register_mmdet,
)


def stock(builder):
    with torch.device("meta"):
        return builder(weights=None, weights_backbone=None).state_dict()


def own(spec=SMALL, detector="faster_rcnn"):
    with torch.device("meta"):
        return assemble_detector(DetectorParts(spec), 4, detector).state_dict()


def refusal(state, spec=LARGE, **options) -> str:
    with pytest.raises(UnsupportedModelError) as caught:
        plan_for_model(recognize(state), state, random_tensors(spec), spec, **options)
    assert len(str(caught.value).splitlines()) <= 3
    return str(caught.value)


@pytest.mark.parametrize("prefix", ["", "module.", "model.", "_orig_mod.module.", "net.detector."])
@pytest.mark.parametrize("detector", ["faster_rcnn", "mask_rcnn"])
def test_wrapped_models_are_recognized(prefix, detector):
    state = {prefix + key: t for key, t in own(detector=detector).items()}
    assert recognize(state) == (TORCHVISION, detector, prefix)
    steps = plan_for_model(recognize(state), state, random_tensors(SMALL), SMALL)
    assert {s.source for s in steps} == set(random_tensors(SMALL))
    assert all(s.target in state and state[s.target].shape == s.tensor.shape for s in steps)


def test_other_tensors_beside_the_wrapped_model_are_left_alone():
    state = {**{f"model.{k}": t for k, t in own().items()}, "ema_decay": torch.ones(1)}
    assert recognize(state).prefix == "model."
    assert all(
        s.target.startswith("model.") for s in plan_for_model(recognize(state), state, random_tensors(SMALL), SMALL)
    )


def test_two_detectors_are_one_too_many():
    state = {f"{name}.{k}": t for name in ("student", "teacher") for k, t in own().items()}
    assert "student, teacher" in refusal(state, SMALL)


def test_stock_v1_which_would_drop_66_tensors_is_refused():
    state = stock(fasterrcnn_resnet50_fpn)
    message = refusal(state)
    assert "your FPN has no norm" in message
    assert "norm_layer=torch.nn.BatchNorm2d" in message
    assert "FastRCNNConvFCHead((256, 7, 7), [256] * 4, [1024]" in message
    assert "parts=('backbone',)" in message
    assert len(plan_for_model(recognize(state), state, random_tensors(LARGE), LARGE, ("backbone",))) == 318


@pytest.mark.parametrize("builder", [fasterrcnn_resnet50_fpn_v2, maskrcnn_resnet50_fpn_v2])
def test_stock_v2_whose_second_rpn_convolution_would_stay_random_is_refused(builder):
    state = stock(builder)
    message = refusal(state)
    assert "rpn_head=RPNHead(256, 3, conv_depth=1)" in message
    assert "parts=('backbone', 'fpn', 'head')" in message
    steps = plan_for_model(recognize(state), state, random_tensors(LARGE), LARGE, ("backbone", "fpn", "head"))
    assert not any("rpn" in step.target for step in steps)


def test_another_depth_and_other_widths_are_named():
    message = refusal(own(SMALL))
    assert "your backbone is a ResNet-18, but the weights are those of a ResNet-50" in message
    assert "your FPN has 32 channels, but the weights have 256" in message


def test_detectors_of_another_kind_are_refused():
    assert "two-stage" in refusal(stock(retinanet_resnet50_fpn))
    assert "MobileNet" in refusal(stock(fasterrcnn_mobilenet_v3_large_fpn))
    assert "match no framework" in refusal({"encoder.weight": torch.ones(1)})
    assert "match no framework" in refusal({})


def test_any_tensor_missing_or_surplus_in_a_promised_part_is_refused():
    state, tensors = own(), random_tensors(SMALL)
    for key in [k for k in state if "predictor" not in k and k != "backbone.body.conv1.weight"]:
        with pytest.raises(UnsupportedModelError):
            plan_for_model(recognize(state), {k: t for k, t in state.items() if k != key}, tensors, SMALL)
    for part in ("backbone.body", "backbone.fpn", "rpn.head", "roi_heads.box_head"):
        with pytest.raises(UnsupportedModelError):
            plan_for_model(recognize(state), {**state, f"{part}.extra.weight": torch.ones(2)}, tensors, SMALL)


@pytest.mark.parametrize("without", [("fpn", "head"), ("fpn",), ("head",)], ids="-".join)
def test_norms_fold_into_the_parts_without_any(without):
    from functools import partial

    from torchvision.models.detection.faster_rcnn import FastRCNNConvFCHead
    from torchvision.ops import FeaturePyramidNetwork

    tensors = random_tensors(SMALL)
    reference = canonical_probe(SMALL, tensors)
    probe = canonical_probe(SMALL, random_tensors(SMALL, seed=5))
    channels = SMALL.fpn_channels
    if "fpn" in without:
        probe.model.backbone.fpn = FeaturePyramidNetwork(list(SMALL.stage_channels), channels)
    head = partial(FastRCNNConvFCHead, (channels, 7, 7), [SMALL.head_conv_channels] * 4, [SMALL.head_fc_channels])
    if "head" in without:
        probe.model.roi_heads.box_head = head()
    state = probe.model.state_dict()
    assert "fold_norms=True" in refusal(state, SMALL)
    for step in plan_for_model(recognize(state), state, tensors, SMALL, fold_norms=True):
        state[step.target].copy_(step.tensor)
    images = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        for a, b in zip(probe.pyramid(images), reference.pyramid(images), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)
        boxes = reference.proposals(images)
        torch.testing.assert_close(
            probe.heads(images, boxes)[0], reference.heads(images, boxes)[0], rtol=1e-4, atol=1e-4
        )


def detectron2_state(name: str, *options: object):
    from detectron2 import model_zoo
    from detectron2.modeling import build_model

    cfg = model_zoo.get_config(name)
    cfg.merge_from_list(["MODEL.DEVICE", "cpu", *options])
    return build_model(cfg).state_dict()


def mmdet_state(name: str, **changes: object):
    register_mmdet()
    from pathlib import Path

    import mmdet
    from mmdet.registry import MODELS
    from mmengine.config import Config

    cfg = Config.fromfile(Path(mmdet.__file__).parent / ".mim" / "configs" / name)
    cfg.merge_from_dict({"model.backbone.init_cfg": None, **changes})
    return MODELS.build(cfg.model).state_dict()


@pytest.mark.frameworks
@pytest.mark.parametrize("wrapped", [False, True])
def test_a_stride_in_the_1x1_which_no_tensor_shows_is_refused(wrapped):
    from detectron2 import model_zoo
    from detectron2.modeling import build_model

    cfg = model_zoo.get_config("COCO-Detection/faster_rcnn_R_50_FPN_1x.yaml")
    cfg.MODEL.DEVICE = "cpu"
    model = build_model(cfg)
    model = torch.nn.ModuleDict({"module": model}) if wrapped else model
    with pytest.raises(UnsupportedModelError, match=r"set MODEL\.RESNETS\.STRIDE_IN_1X1 to False"):
        refuse_stride_elsewhere(model, DETECTRON2, LARGE)
    msra = replace(LARGE, stride_in_1x1=True)
    refuse_stride_elsewhere(model, DETECTRON2, msra)
    for spec in (SMALL, LARGE):
        refuse_stride_elsewhere(assemble_detector(DetectorParts(spec), 4), TORCHVISION, spec)
    with pytest.raises(UnsupportedModelError, match=r"strides in the 3x3 .* trained with them in the 1x1"):
        refuse_stride_elsewhere(assemble_detector(DetectorParts(LARGE), 4), TORCHVISION, msra)
    refuse_stride_elsewhere(assemble_detector(DetectorParts(msra), 4), TORCHVISION, msra)


@pytest.mark.frameworks
def test_detectron2_s_own_configs_are_refused_in_its_own_words():
    message = refusal(detectron2_state("COCO-Detection/faster_rcnn_R_50_FPN_1x.yaml"))
    assert 'set MODEL.FPN.NORM to "SyncBN"' in message
    assert "set MODEL.ROI_BOX_HEAD.NUM_CONV to 4, NUM_FC to 1, CONV_DIM to 256 and FC_DIM to 1024" in message
    message = refusal(
        detectron2_state("COCO-Detection/faster_rcnn_R_50_FPN_1x.yaml", "MODEL.RPN.CONV_DIMS", [-1, -1]),
        parts=("backbone", "rpn"),
    )
    assert "set MODEL.RPN.CONV_DIMS to [-1]" in message
    assert "no FPN" in refusal(detectron2_state("COCO-Detection/faster_rcnn_R_50_C4_1x.yaml"))


@pytest.mark.frameworks
def test_following_detectron2_s_refusals_ends_in_a_whole_plan():
    # Exactly what the message says, FrozenBN in the backbone kept as the config has it.
    state = detectron2_state(
        "Misc/cascade_mask_rcnn_R_50_FPN_3x.yaml",
        *("MODEL.FPN.NORM", "SyncBN", "MODEL.ROI_BOX_HEAD.NORM", "SyncBN"),
        *("MODEL.ROI_BOX_HEAD.NUM_CONV", 4, "MODEL.ROI_BOX_HEAD.NUM_FC", 1),
    )
    assert recognize(state).detector == "cascade_rcnn"
    steps = plan_for_model(recognize(state), state, random_tensors(LARGE), LARGE)
    assert sum(step.source == "head.5.weight" for step in steps) == 3
    left = set(state) - {step.target for step in steps}
    assert all("predictor" in key or "mask_head" in key or key.startswith("pixel_") for key in left)


@pytest.mark.frameworks
def test_mmdet_s_own_configs_are_refused_in_its_own_words():
    message = refusal(mmdet_state("faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py"))
    assert "set neck.norm_cfg=dict(type='SyncBN', requires_grad=True)" in message
    assert "bbox_head.type='Shared4Conv1FCBBoxHead'" in message
    message = refusal(mmdet_state("gn/mask-rcnn_r50_fpn_gn-all_2x_coco.py"))
    assert "your backbone has GroupNorm" in message
    state = mmdet_state("faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py", **{"model.rpn_head.num_convs": 2})
    assert "set rpn_head.num_convs=1" in refusal(state, parts=("rpn",))
    state = mmdet_state("faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py", **{"model.rpn_head.loss_cls.use_sigmoid": False})
    assert "use_sigmoid=True" in refusal(state, parts=("rpn",))


@pytest.mark.frameworks
@pytest.mark.parametrize("detector", ["faster_rcnn", "mask_rcnn", "cascade_rcnn"])
def test_models_of_exported_configs_take_everything(detector, tmp_path):
    from tests.convert.probes import Detectron2Probe, MmdetProbe

    for framework, kind in (("detectron2", Detectron2Probe), ("mmdet", MmdetProbe)):
        write_export(
            random_tensors(SMALL), config_of(SMALL), FRAMEWORKS[framework], tmp_path / framework, Target(detector)
        )
        state = {f"module.{k}": t for k, t in kind(tmp_path / framework).model.state_dict().items()}
        assert recognize(state) == (FRAMEWORKS[framework], detector, "module.")
        steps = plan_for_model(recognize(state), state, random_tensors(SMALL), SMALL)
        assert {step.source for step in steps} == set(random_tensors(SMALL))
