"""Every fact of a detector against a checkpoint without any default: what is found, how severe, and both values."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from adept_hub.convert.facts import Facts
from adept_hub.doctor import diagnose
from adept_hub.frameworks import DETECTRON2, MMDET
from tests.house import House

#: A detector that agrees with the house in everything; P6's anchors are twice P5's.
RIGHT = Facts(
    channel_order="rgb", mean=(25.5, 51.0, 76.5), std=(102.0, 127.5, 153.0), depth=18, stride_in_1x1=False,
    backbone_norm="BN", frozen_stages=0, norm_eval=False, fpn_norm="BN", fpn_channels=24, p6="pool", rpn_convs=1,
    rpn_softmax=False, anchor_sizes=((11.0,), (23.0,), (47.0,), (90.0,), (180.0,)), anchor_ratios=(0.4, 1.7),
    anchors_rounded=False, head_convs=4, head_fcs=1, head_conv_channels=40, head_fc_channels=72, head_norm="BN",
    roi_aligned=True, roi_sampling=0, p4_from=72.0,
)  # fmt: skip
SIZES = ((32.0,), (64.0,), (128.0,), (256.0,), (512.0,))
CASES: list[tuple[dict[str, Any], str, str, str, str]] = [
    ({"channel_order": "bgr"}, "channel_order", "error", "BGR", "RGB"),
    ({"mean": (26.1, 51.0, 76.5)}, "mean", "error", "[26.1, 51.0, 76.5]", "[25.5, 51.0, 76.5]"),
    ({"std": (102.0, 127.5, 152.4)}, "std", "error", "[102.0, 127.5, 152.4]", "[102.0, 127.5, 153.0]"),
    ({"depth": 34}, "depth", "error", "ResNet-34", "ResNet-18"),
    ({"backbone_norm": ""}, "backbone_norm", "error", "no norm", "batch norm"),
    ({"backbone_norm": "GN"}, "backbone_norm", "error", "GN", "batch norm"),
    ({"backbone_norm": "FrozenBN"}, "frozen_norms", "warning", "frozen batch norms", "trainable batch norms"),
    ({"norm_eval": True}, "frozen_norms", "warning", "frozen batch norms", "trainable batch norms"),
    ({"frozen_stages": 1}, "frozen_stages", "warning", "1", "0: all stages are trained"),
    ({"fpn_norm": ""}, "fpn_norm", "error", "no norm", "batch norm"),
    ({"fpn_channels": 256}, "fpn_channels", "error", "256", "24"),
    ({"p6": "conv"}, "fpn_extra_convs", "error", "P6 by conv", "P6 pooled from P5"),
    ({"rpn_convs": 2}, "rpn_convs", "error", "2 convolutions", "one"),
    ({"rpn_softmax": True}, "rpn_softmax", "error", "two softmax logits per anchor", "one sigmoid logit"),
    ({"anchor_ratios": (0.5, 1.0)}, "anchors", "error", "[0.5, 1.0]", "[0.4, 1.7]"),
    ({"anchor_sizes": ((11.0, 12.0),) * 5}, "anchors", "error", "2 sizes per level", "one size per level"),
    ({"anchor_sizes": SIZES}, "anchor_sizes", "warning", "[32.0, 64.0, 128.0, 256.0, 512.0] px",
     "[11.0, 23.0, 47.0, 90.0] px on P2-P5"),
    ({"anchors_rounded": True}, "anchors_rounded", "warning", "anchors rounded to pixels", "unrounded anchors"),
    ({"head_convs": 0, "head_fcs": 2}, "head_shape", "error", "0 convolutions, 2 fc", "4 convolutions, 1 fc"),
    ({"head_conv_channels": 256}, "head_shape", "error", "256 and 72 wide", "40 and 72 wide"),
    ({"head_fc_channels": 1024}, "head_shape", "error", "40 and 1024 wide", "40 and 72 wide"),
    ({"head_norm": "GN"}, "head_norm", "error", "GN", "batch norm"),
    ({"roi_aligned": False}, "roi_align", "warning", "not aligned, sampling ratio 0",
     "aligned, adaptive sampling (0)"),
    ({"roi_sampling": 2}, "roi_align", "warning", "aligned, sampling ratio 2", "aligned, adaptive sampling (0)"),
    ({"p4_from": 224.0}, "levels", "warning", "P4 takes boxes from 224 px", "P4 takes boxes from 72 px"),
    ({"p4_from": 144.0}, "levels", "warning", "P4 takes boxes from 144 px", "P4 takes boxes from 72 px"),
]  # fmt: skip


def test_a_detector_that_agrees_and_one_that_states_nothing_have_no_findings(house: House) -> None:
    for facts in (RIGHT, Facts(), replace(RIGHT, mean=(25.9, 51.0, 76.5))):  # rounded to less than half a gray level
        assert diagnose(facts, house.config, DETECTRON2) == []


@pytest.mark.parametrize(("change", "code", "severity", "actual", "expected"), CASES)
def test_each_disagreement_is_found_alone(
    change: dict[str, Any], code: str, severity: str, actual: str, expected: str, house: House
) -> None:
    (found,) = diagnose(replace(RIGHT, **change), house.config, DETECTRON2)
    assert (found.code, found.severity, found.actual, found.expected) == (code, severity, actual, expected)
    assert found.remedy


def test_a_bottleneck_s_stride_matters_from_resnet_50_on(house: House) -> None:
    facts = replace(RIGHT, stride_in_1x1=True)
    assert diagnose(facts, house.config, DETECTRON2) == []
    deep = replace(house.config, spec=replace(house.config.spec, depth=50))
    assert [f.code for f in diagnose(replace(facts, depth=50), deep, DETECTRON2)] == ["stride_in_1x1"]


def test_remedies_have_the_values_of_the_checkpoint_and_errors_come_first(house: House) -> None:
    wrong = replace(RIGHT, p4_from=224.0, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0), fpn_channels=256, depth=50,
                    anchor_sizes=SIZES, anchor_ratios=(0.5,))  # fmt: skip
    for framework, finest in ((DETECTRON2, "72"), (MMDET, "18")):
        facts = replace(wrong, frozen_stages=framework.none_frozen)
        found = diagnose(facts, house.config, framework)
        severities = [finding.severity for finding in found]
        assert severities == sorted(severities), "errors first"
        remedy = {finding.code: finding.remedy for finding in found}
        assert "25.5, 51.0, 76.5" in remedy["mean"]
        assert "102.0, 127.5, 153.0" in remedy["std"]
        assert "24" in remedy["fpn_channels"]
        assert "18" in remedy["depth"]
        assert "0.4, 1.7" in remedy["anchors"]
        assert all(size in remedy["anchor_sizes"] for size in ("11", "23", "47", "90", "180"))
        assert finest in remedy["levels"]
