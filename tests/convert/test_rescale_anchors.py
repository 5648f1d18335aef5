"""Rescaled anchors decode to the same boxes, by torchvision's own box coder."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torchvision.models.detection._utils import BoxCoder

from adept_hub.convert.rescale_anchors import rescale_anchors
from adept_hub.errors import UnsupportedDetectorError
from adept_hub.models.anchors import ExactAnchorGenerator
from tests.frameworks_support import SMALL, random_tensors

DOWNSTREAM = (32.0, 64.0, 128.0, 256.0, 512.0)


def decoded(tensors, sizes, hidden_PC):
    """Boxes (P, 3, 4) of the three anchors of each level at the origin, one row of hidden features a level."""
    weight, bias = tensors["rpn.bbox_pred.weight"].flatten(1), tensors["rpn.bbox_pred.bias"]
    deltas_P12 = hidden_PC @ weight.T + bias
    cells = ExactAnchorGenerator(sizes, SMALL.anchors.ratios, (4, 8, 16, 32, 64)).cell_anchors
    anchors_P34 = torch.stack(cells)
    boxes = BoxCoder((1.0, 1.0, 1.0, 1.0)).decode_single(deltas_P12.reshape(-1, 4), anchors_P34.reshape(-1, 4))
    return boxes.reshape(-1, 3, 4)


def test_boxes_are_the_same():
    tensors = random_tensors(SMALL)
    hidden = torch.randn(5, SMALL.fpn_channels, generator=torch.Generator().manual_seed(7))
    expected = decoded(tensors, (24.0, 48.0, 96.0, 192.0, 384.0), hidden)
    rescaled = rescale_anchors(tensors, SMALL, DOWNSTREAM)
    torch.testing.assert_close(decoded(rescaled, DOWNSTREAM, hidden), expected, rtol=1e-5, atol=1e-3)
    assert (decoded(tensors, DOWNSTREAM, hidden) - expected).abs().max() > 1


def test_only_the_box_deltas_change_and_the_originals_do_not():
    tensors = random_tensors(SMALL)
    before = {key: t.clone() for key, t in tensors.items()}
    rescaled = rescale_anchors(tensors, SMALL, DOWNSTREAM)
    changed = [key for key in tensors if not torch.equal(tensors[key], rescaled[key])]
    assert changed == ["rpn.bbox_pred.weight", "rpn.bbox_pred.bias"]
    assert all(torch.equal(tensors[key], before[key]) for key in tensors)


def test_factors_that_differ_between_levels_are_refused():
    with pytest.raises(UnsupportedDetectorError, match="pretraining"):
        rescale_anchors(random_tensors(SMALL), SMALL, (32.0, 64.0, 128.0, 200.0, 512.0))


def test_a_checkpoint_without_an_rpn_has_nothing_to_rescale():
    tensors = {k: t for k, t in random_tensors(SMALL).items() if not k.startswith("rpn.")}
    assert rescale_anchors(tensors, SMALL, DOWNSTREAM) == tensors


def test_anchors_of_the_same_sizes_change_nothing_rounded_or_not():
    tensors, sizes = random_tensors(SMALL), (24.0, 48.0, 96.0, 192.0, 384.0)
    rounded = replace(SMALL, anchors=replace(SMALL.anchors, generator="rounded"))
    for spec in (SMALL, rounded):
        same = rescale_anchors(tensors, spec, sizes)
        assert same.keys() == tensors.keys()
        assert all(same[key] is tensors[key] for key in tensors)


def test_anchors_rounded_to_whole_pixels_have_no_common_factor():
    """Those of 24 px and ratio 1/2 are 33.9 x 17.0, rounded 34 x 16; of 32 px 45.3 x 22.6, rounded 46 x 22."""
    rounded = replace(SMALL, anchors=replace(SMALL.anchors, generator="rounded"))
    with pytest.raises(UnsupportedDetectorError, match="pretraining"):
        rescale_anchors(random_tensors(SMALL), rounded, DOWNSTREAM)
