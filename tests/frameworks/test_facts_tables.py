"""Every fact of a config: from one that states an unusual value for each, and from one that states nothing."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from adept_hub.convert.facts import Facts
from adept_hub.frameworks.detectron2.facts import detectron2_facts
from adept_hub.frameworks.mmdet.facts import mmdet_facts

ODD = Facts(
    channel_order="rgb", mean=(1.0, 2.0, 3.0), std=(4.0, 5.0, 6.0), depth=34, stride_in_1x1=True, backbone_norm="GN",
    frozen_stages=3, norm_eval=False, fpn_norm="FrozenBN", fpn_channels=96, p6="conv", rpn_convs=2, rpn_softmax=True,
    anchor_sizes=((12.0,), (24.0,)), anchor_ratios=(0.3, 1.2), anchors_rounded=False, head_convs=4, head_fcs=1,
    head_conv_channels=80, head_fc_channels=90, head_norm="SyncBN", roi_aligned=False, roi_sampling=2, p4_from=96.0,
)  # fmt: skip
#: A freshly written MMDetection config with its required keys alone.
BARE: dict[str, Any] = {
    "data_preprocessor": {}, "backbone": {}, "neck": {},
    "rpn_head": {"anchor_generator": {"scales": [8], "ratios": [0.5, 1.0, 2.0], "strides": [4, 8]}},
    "roi_head": {"bbox_roi_extractor": {"roi_layer": {}}, "bbox_head": {"type": "ConvFCBBoxHead"}},
}  # fmt: skip


def test_every_fact_of_an_mmdetection_config() -> None:
    head = {
        "type": "ConvFCBBoxHead", "num_shared_convs": 4, "num_shared_fcs": 1, "conv_out_channels": 80,
        "fc_out_channels": 90, "norm_cfg": {"type": "SyncBN"},
    }  # fmt: skip
    extractor = {"roi_layer": {"aligned": False, "sampling_ratio": 2}, "finest_scale": 24}
    model = {
        "data_preprocessor": {"mean": [1.0, 2.0, 3.0], "std": [4.0, 5.0, 6.0], "bgr_to_rgb": True},
        "backbone": {
            "depth": 34, "style": "caffe", "norm_cfg": {"type": "GN"}, "frozen_stages": 3, "norm_eval": False,
        },
        "neck": {
            "norm_cfg": {"type": "BN", "requires_grad": False}, "out_channels": 96, "add_extra_convs": "on_output",
        },
        "rpn_head": {
            "num_convs": 2, "loss_cls": {"use_sigmoid": False},
            "anchor_generator": {"scales": [3], "ratios": [0.3, 1.2], "strides": [4, 8]},
        },
        "roi_head": {"bbox_roi_extractor": extractor, "bbox_head": head},
    }  # fmt: skip
    assert mmdet_facts(model) == ODD
    several = {"bbox_roi_extractor": [extractor, {"roi_layer": {}}], "bbox_head": [head, {"type": "Shared2FCBBoxHead"}]}
    assert mmdet_facts(model | {"roi_head": several}) == ODD, "a cascade's first stage"
    for kind, counts in (("Shared2FCBBoxHead", (0, 2)), ("Shared4Conv1FCBBoxHead", (4, 1))):
        found = mmdet_facts(model | {"roi_head": {"bbox_roi_extractor": extractor, "bbox_head": {"type": kind}}})
        assert (found.head_convs, found.head_fcs) == counts


def test_what_an_mmdetection_config_leaves_out() -> None:
    """By the signatures of MMDetection 3: ResNet, FPN, RPNHead, ConvFCBBoxHead, SingleRoIExtractor, RoIAlign."""
    assert mmdet_facts(BARE) == Facts(
        channel_order="bgr", mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0), depth=None, stride_in_1x1=False,
        backbone_norm="BN", frozen_stages=-1, norm_eval=True, fpn_norm="", fpn_channels=None, p6="pool", rpn_convs=1,
        rpn_softmax=False, anchor_sizes=((32.0,), (64.0,)), anchor_ratios=(0.5, 1.0, 2.0), anchors_rounded=False,
        head_convs=0, head_fcs=0, head_conv_channels=256, head_fc_channels=1024, head_norm="", roi_aligned=True,
        roi_sampling=0, p4_from=224.0,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("generator", "sizes"),
    [
        ({"scales": [2, 4], "strides": [4, 8]}, ((8, 16), (16, 32))),
        ({"scales": [1, 2], "base_sizes": [11, 30], "strides": [4, 8]}, ((11, 22), (30, 60))),
        ({"octave_base_scale": 4, "scales_per_octave": 2, "strides": [4]}, ((16, 16 * 2**0.5),)),
        ({"strides": [4, 8]}, ((32,), (64,))),
    ],
)
def test_the_sizes_of_mmdetection_s_anchors(generator: dict[str, Any], sizes: tuple[tuple[float, ...], ...]) -> None:
    found = mmdet_facts(BARE | {"rpn_head": {"anchor_generator": {"ratios": [1.0], **generator}}}).anchor_sizes
    assert found is not None
    assert [pytest.approx(level) for level in sizes] == list(found)


def test_every_fact_of_a_detectron2_config() -> None:
    config = {
        "INPUT": {"FORMAT": "RGB"},
        "MODEL": {
            "PIXEL_MEAN": [1.0, 2.0, 3.0], "PIXEL_STD": "(4.0, 5.0, 6.0)",
            "BACKBONE": {"NAME": "build_retinanet_resnet_fpn_backbone", "FREEZE_AT": 3},
            "RESNETS": {"DEPTH": 34, "NORM": "GN", "STRIDE_IN_1X1": True},
            "FPN": {"NORM": "FrozenBN", "OUT_CHANNELS": 96},
            "ANCHOR_GENERATOR": {"SIZES": [[12.0], [24.0]], "ASPECT_RATIOS": [[0.3, 1.2]]},
            "RPN": {"CONV_DIMS": "[-1, -1]"},
            "ROI_BOX_HEAD": {
                "NUM_CONV": 4, "NUM_FC": 1, "CONV_DIM": 80, "FC_DIM": 90, "NORM": "SyncBN", "POOLER_TYPE": "ROIAlign",
                "POOLER_SAMPLING_RATIO": 2,
            },
        },
    }  # fmt: skip
    fixed = {"norm_eval": None, "p6": "build_retinanet_resnet_fpn_backbone", "rpn_softmax": False, "p4_from": 224.0}
    assert detectron2_facts(config) == dataclasses.replace(ODD, **fixed)


def test_what_a_detectron2_config_leaves_out() -> None:
    """By detectron2/config/defaults.py with Base-RCNN-FPN.yaml."""
    assert detectron2_facts({}) == Facts(
        channel_order="bgr", mean=(103.53, 116.28, 123.675), std=(1.0, 1.0, 1.0), depth=50, stride_in_1x1=True,
        backbone_norm="FrozenBN", frozen_stages=2, norm_eval=None, fpn_norm="", fpn_channels=256, p6="pool",
        rpn_convs=1, rpn_softmax=False, anchor_sizes=((32,), (64,), (128,), (256,), (512,)),
        anchor_ratios=(0.5, 1.0, 2.0), anchors_rounded=False, head_convs=0, head_fcs=2, head_conv_channels=256,
        head_fc_channels=1024, head_norm="", roi_aligned=True, roi_sampling=0, p4_from=224.0,
    )  # fmt: skip
