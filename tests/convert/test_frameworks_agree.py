"""The same photograph through the canonical detector and through each real framework.

Weights, biases and running statistics are all random, so that no default value can hide an error.
"""

from __future__ import annotations

import pytest
import torch
from frameworks_support import LARGE, SMALL, config_of, random_tensors
from probes import PROBES, canonical_probe

from adept_hub.convert.export import write_export
from adept_hub.convert.options import Target

#: P5 is 3 x 5 of these, P6 2 x 3: odd sides, where strides and pooling rules differ between implementations.
IMAGES = torch.randn(2, 3, 96, 160, generator=torch.Generator().manual_seed(1))
PREDICTORS = {
    "detectron2": ("roi_heads.box_predictor.", "roi_heads.mask_head."),
    "mmdet": ("roi_head.bbox_head.fc_", "roi_head.mask_head."),
}


def relative(a: torch.Tensor, b: torch.Tensor) -> float:
    """Largest difference relative to the reference's largest value."""
    assert a.shape == b.shape
    return float((a - b).abs().max() / b.abs().max())


def assert_agree(probe, reference, *, boxes: bool = True, stages: int = 1, tolerance: float = 1e-4) -> None:
    """FPN maps, RPN logits and deltas, first proposals and head features are those of the reference."""
    with torch.no_grad():
        expected, found = reference.pyramid(IMAGES), probe.pyramid(IMAGES)
        assert len(found) == len(expected) == 5
        for level, (a, b) in enumerate(zip(found, expected, strict=True)):
            assert relative(a, b) < tolerance, f"P{level + 2}"
        for kind, a_L, b_L in zip(("logits", "deltas"), probe.rpn(found), reference.rpn(expected), strict=True):
            for level, (a, b) in enumerate(zip(a_L, b_L, strict=True)):
                assert relative(a, b) < tolerance, f"RPN {kind} on P{level + 2}"
        proposals = reference.proposals(IMAGES)
        if boxes:
            for a, b in zip(probe.proposals(IMAGES), proposals, strict=True):
                assert len(b) == 100
                assert (a - b).abs().max() < 1e-2
        heads = probe.heads(IMAGES, proposals)
        assert len(heads) == stages
        for head in heads:
            assert relative(head, reference.heads(IMAGES, proposals)[0]) < tolerance


@pytest.mark.frameworks
@pytest.mark.parametrize("framework", list(PROBES))
@pytest.mark.parametrize("detector", ["faster_rcnn", "mask_rcnn"])
def test_small_detector_agrees(framework, detector, tmp_path):
    spec, tensors = SMALL, random_tensors(SMALL)
    write_export(tensors, config_of(spec), framework, tmp_path / "out", Target(detector, num_classes=4))
    probe = PROBES[framework](tmp_path / "out")
    assert_agree(probe, canonical_probe(spec, tensors, detector))
    if framework in PREDICTORS:
        assert not probe.unexpected
        assert [k for k in probe.missing if not k.startswith(PREDICTORS[framework])] == []


@pytest.mark.frameworks
@pytest.mark.parametrize("framework", list(PROBES))
def test_r50_agrees(framework, tmp_path):
    spec, tensors = LARGE, random_tensors(LARGE)
    write_export(tensors, config_of(spec), framework, tmp_path / "out")
    assert_agree(PROBES[framework](tmp_path / "out"), canonical_probe(spec, tensors))


@pytest.mark.frameworks
@pytest.mark.parametrize("framework", list(PROBES))
def test_pixels_become_the_same_input(framework, tmp_path):
    spec, tensors = SMALL, random_tensors(SMALL)
    write_export(tensors, config_of(spec), framework, tmp_path / "out")
    image = torch.randint(0, 256, (3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(2))
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    expected = (image / 255 - mean[:, None, None]) / std[:, None, None]
    assert (PROBES[framework](tmp_path / "out").normalised(image) - expected).abs().max() < 1e-4
