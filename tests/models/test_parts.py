"""The canonical architecture against torchvision's own v2 builder and hand-counted sizes."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torchvision.models.detection import fasterrcnn_resnet50_fpn_v2

from adept_hub.models import DetectorParts, assemble_detector
from adept_hub.spec import DetectorSpec
from tests.conftest import SMALL


def test_r50_has_the_tensors_of_torchvision_v2_less_its_second_rpn_convolution() -> None:
    with torch.device("meta"):
        ours = assemble_detector(DetectorParts(DetectorSpec(depth=50)), 91).state_dict()
        theirs = fasterrcnn_resnet50_fpn_v2(weights=None, weights_backbone=None, num_classes=91).state_dict()
    second = {key for key in theirs if key.startswith("rpn.head.conv.1.")}
    assert len(second) == 2
    assert {k: v.shape for k, v in ours.items()} == {k: v.shape for k, v in theirs.items() if k not in second}


@pytest.mark.parametrize(("side", "expected"), [(224, [56, 28, 14, 7]), (112, [28, 14, 7, 4])])
def test_pyramid_sides_at_the_sizes_of_the_paper(side: int, expected: list[int]) -> None:
    maps = DetectorParts(SMALL).eval().pyramid(torch.zeros(1, 3, side, side))
    assert [m.shape[-1] for m in maps] == expected
    assert {m.shape[1] for m in maps} == {32}


def test_a_224_view_has_12495_anchors() -> None:
    _, logits, deltas = DetectorParts(SMALL).eval()(torch.zeros(1, 3, 224, 224))
    assert sum(level.numel() for level in logits) == 12_495
    assert sum(level.numel() for level in deltas) == 4 * 12_495


@pytest.mark.parametrize("depth", [18, 34, 50, 101])
def test_every_depth_ends_each_residual_block_with_a_zero_norm(depth: int) -> None:
    parts = DetectorParts(DetectorSpec(depth=depth, fpn_channels=8, head_conv_channels=8, head_fc_channels=8))
    last = "bn3" if depth >= 50 else "bn2"
    gains = [t for key, t in parts.state_dict().items() if key.endswith(f"{last}.weight")]
    assert len(gains) == {18: 8, 34: 16, 50: 16, 101: 33}[depth]
    assert all(not gain.any() for gain in gains)


def test_convolutions_have_a_bias_exactly_where_no_norm_follows() -> None:
    parts = DetectorParts(SMALL)
    for name in ("backbone", "fpn", "head"):
        convs = [m for m in parts.get_submodule(name).modules() if isinstance(m, nn.Conv2d)]
        assert convs
        assert all(conv.bias is None for conv in convs), name
    assert all(conv.bias is not None for conv in parts.rpn.modules() if isinstance(conv, nn.Conv2d))


def test_stride_two_is_in_the_3x3_of_a_bottleneck() -> None:
    block = DetectorParts(DetectorSpec(depth=50)).backbone["layer2"][0]
    assert block.conv1.stride == (1, 1)
    assert block.conv2.stride == (2, 2)
