"""Detectors that differ from the default in every respect, through each real framework and back."""

from __future__ import annotations

import re
from dataclasses import fields, replace

import pytest
import torch

from adept_hub.cards.card import render_card
from adept_hub.checkpoint.folder import config_text, parse_config
from adept_hub.convert.export import export_state, import_state, write_export
from adept_hub.convert.options import Target
from adept_hub.convert.plan import plan_for_model
from adept_hub.convert.predictors import convert_detector
from adept_hub.doctor import diagnose
from adept_hub.errors import CheckpointError, UnsupportedDetectorError, UnsupportedModelError
from adept_hub.frameworks import DETECTRON2, FRAMEWORKS, TORCHVISION
from adept_hub.frameworks.detectron2.facts import detectron2_facts
from adept_hub.frameworks.recognize import recognize
from adept_hub.io.schema import to_dict
from adept_hub.models import DetectorParts, assemble_detector
from adept_hub.spec import AnchorSpec, DetectorSpec, LevelSpec
from tests.convert.agreement import assert_agree, exported
from tests.convert.probes import PROBES, canonical_probe
from tests.frameworks_support import (
    SMALL,
    config_of,
    one_thread,  # noqa: F401  # an autouse fixture
    random_tensors,
)

#: P6 is not twice P5.
SIZES = (30.0, 60.0, 120.0, 240.0, 500.0)
#: Detectron2's model zoo and Caffe: the strides need bottlenecks.
MSRA = replace(
    SMALL, depth=50, stride_in_1x1=True, backbone_norm="frozen_bn", fpn_norm="none", head="2fc", head_norm="none",
    anchors=AnchorSpec(SIZES), levels=LevelSpec((112.0, 224.0, 448.0, 896.0)),
)  # fmt: skip
#: torchvision's v2.
DEEP = replace(SMALL, rpn_convs=2, pooling="unaligned", anchors=AnchorSpec(SIZES))
ROUNDED = replace(DEEP, anchors=AnchorSpec(SIZES, generator="rounded"), head_norm="none")
OPTIONAL = [f.name for f in fields(DetectorSpec) if f.metadata]


@pytest.mark.frameworks
@pytest.mark.parametrize(
    ("framework", "spec", "detector"),
    [
        *((framework, MSRA, "mask_rcnn") for framework in PROBES),
        ("detectron2", DEEP, "faster_rcnn"),
        ("mmdet", DEEP, "faster_rcnn"),
        ("torchvision", MSRA, "cascade_rcnn"),
    ],
)
def test_a_framework_builds_and_computes_the_same(framework, spec, detector, tmp_path):
    spec = replace(spec, depth=18, stride_in_1x1=False) if detector == "cascade_rcnn" else spec
    probe = exported(framework, tmp_path, Target(detector), spec)
    # A head without norms is not compared to the last digit: its features are longer.
    reference = canonical_probe(spec, random_tensors(spec), anchor_sizes=SIZES)
    assert_agree(probe, reference, stages=3 if detector == "cascade_rcnn" else 1)


@pytest.mark.frameworks
def test_torchvision_s_rounded_anchors_go_to_torchvision_only(tmp_path):
    assert_agree(
        exported("torchvision", tmp_path, Target(), ROUNDED),
        canonical_probe(ROUNDED, random_tensors(ROUNDED), anchor_sizes=SIZES),
    )
    card = render_card(config_of(ROUNDED))
    assert card.count("--anchors downstream") == 2
    assert "--anchors" not in render_card(config_of(DEEP))
    for name in ("detectron2", "mmdet"):
        assert re.search(rf"--to {name} --out \w+ --anchors downstream ", card)
        with pytest.raises(UnsupportedDetectorError, match=r"half a pixel\.\nAccept that: --anchors downstream"):
            write_export(random_tensors(ROUNDED), config_of(ROUNDED), FRAMEWORKS[name], tmp_path / name)
        write_export(
            random_tensors(ROUNDED), config_of(ROUNDED), FRAMEWORKS[name], tmp_path / name, Target(anchors="downstream")
        )


@pytest.mark.parametrize("framework", list(FRAMEWORKS))
@pytest.mark.parametrize("spec", [MSRA, DEEP, ROUNDED], ids=["msra", "deep", "rounded"])
def test_names_are_unique_and_come_back(framework, spec):
    tensors = random_tensors(spec)
    state = export_state(tensors, spec, FRAMEWORKS[framework])
    back = import_state(state, FRAMEWORKS[framework], anchors=spec.anchors, frozen=["backbone"])
    back = {key: t for key, t in back.items() if key in tensors or not key.endswith("num_batches_tracked")}
    assert back.keys() == tensors.keys()
    assert all(torch.equal(back[key], tensors[key]) for key in tensors)


def test_predictors_are_converted_with_either_head():
    for spec in (MSRA, DEEP):
        state = assemble_detector(DetectorParts(spec), 4, "mask_rcnn").state_dict()
        there = convert_detector(state, TORCHVISION, DETECTRON2, "mask_rcnn")
        back = convert_detector(there, DETECTRON2, TORCHVISION, "mask_rcnn")
        assert back.keys() == state.keys()
        assert all(torch.equal(back[key], state[key]) for key in state if "predictor" not in key)


def test_only_what_differs_is_written_and_older_files_are_read():
    plain, other = config_of(SMALL), replace(config_of(MSRA), size=1000)
    written = to_dict(plain.spec)
    assert not set(OPTIONAL) & set(written)
    assert set(written["anchors"]) == {"sizes", "ratios"}
    assert parse_config(config_text(other).encode(), "x").spec == MSRA
    assert set(to_dict(MSRA)) - set(written) == {"stride_in_1x1", "backbone_norm", "fpn_norm", "head", "head_norm"}


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        (replace(SMALL, stride_in_1x1=True), "stride_in_1x1"),
        (replace(SMALL, head="2fc"), "head_norm"),
        (replace(SMALL, anchors=AnchorSpec((8.0,) * 6)), "anchors.sizes"),
    ],
)
def test_specs_that_no_detector_has_are_refused(spec, field):
    with pytest.raises(CheckpointError, match=field):
        config_text(replace(config_of(spec), size=1000))


def test_a_model_of_another_architecture_is_refused_in_both_directions():
    def refusal(model_spec, spec):
        state = assemble_detector(DetectorParts(model_spec), 4).state_dict()
        with pytest.raises(UnsupportedModelError) as caught:
            plan_for_model(recognize(state), state, random_tensors(spec), spec)
        return str(caught.value)

    plain = replace(MSRA, depth=18, stride_in_1x1=False)
    message = refusal(SMALL, plain)
    assert "your FPN has norms, but the weights have none: build the FPN without norm_layer" in message
    assert (
        "4 convolutions and 1 fc layers, but the weights have 0 and 2: pass box_head=TwoMLPHead(32 * 7 ** 2, 40)"
        in (message)
    )
    assert (
        "your RPN has 1 convolutions, but the weights have two: pass rpn_head=RPNHead(32, 3, conv_depth=2)"
        in refusal(SMALL, DEEP)
    )
    assert "your box head has norms, but the weights have none" in refusal(SMALL, replace(SMALL, head_norm="none"))
    assert "pass box_head=FastRCNNConvFCHead((32, 7, 7), [24] * 4, [40]" in refusal(plain, SMALL)


def test_frozen_weights_load_into_trainable_norms_and_the_reverse():
    frozen = replace(SMALL, backbone_norm="frozen_bn")
    for weights, model_spec in ((frozen, SMALL), (SMALL, frozen)):
        model, tensors = assemble_detector(DetectorParts(model_spec), 4), random_tensors(weights)
        state = model.state_dict()
        for step in plan_for_model(recognize(state), state, tensors, weights):
            state[step.target].copy_(step.tensor)
        assert torch.equal(state["backbone.body.bn1.running_var"], tensors["backbone.bn1.running_var"])


def test_the_doctor_compares_with_the_checkpoint_s_own_architecture():
    """Detectron2's stock config differs from its zoo's weights in the pixels alone, since they are stored as RGB."""
    zoo = replace(MSRA, fpn_channels=256, head_fc_channels=1024, anchors=AnchorSpec((32.0, 64.0, 128.0, 256.0, 512.0)))
    found = {finding.code for finding in diagnose(detectron2_facts({}), config_of(zoo), DETECTRON2)}
    assert found == {"channel_order", "mean", "std", "frozen_stages"}
    other = replace(zoo, stride_in_1x1=False, rpn_convs=2, pooling="unaligned", fpn_norm="bn")
    found = {f.code: f.remedy for f in diagnose(detectron2_facts({}), config_of(other), DETECTRON2)}
    assert found["stride_in_1x1"] == "set MODEL.RESNETS.STRIDE_IN_1X1 to False"
    assert found["rpn_convs"] == "set MODEL.RPN.CONV_DIMS to [-1, -1]"
    assert found["roi_unaligned"].endswith("POOLER_SAMPLING_RATIO to 2")
    assert "fpn_norm" in found
