"""The same photograph through the canonical detector and through each real framework.

Weights, biases and running statistics are all random, so that no default value can hide an error.
"""

from __future__ import annotations

import dataclasses
import re
import runpy

import pytest
import torch
from frameworks_support import (
    LARGE,
    SMALL,
    config_of,
    one_thread,  # noqa: F401  # an autouse fixture
    random_tensors,
)
from probes import PROBES, canonical_probe

from adept_hub.convert.export import write_export
from adept_hub.convert.options import Target

#: P5 is 3 x 5 of these, P6 2 x 3: odd sides, where strides and pooling rules differ between implementations.
IMAGES = torch.randn(2, 3, 96, 160, generator=torch.Generator().manual_seed(1))
PREDICTORS = {
    "detectron2": r"roi_heads\.(box_predictor|mask_head)\.",
    "mmdet": r"roi_head\.(bbox_head\.(\d\.)?fc_(cls|reg)|mask_head)\.",
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


def exported(framework, folder, target, spec=SMALL):
    """An export as the framework itself builds and loads it; only predictors may be missing, nothing unexpected."""
    write_export(random_tensors(spec), config_of(spec), framework, folder / "out", target)
    probe = PROBES[framework](folder / "out")
    if framework in PREDICTORS:
        assert not probe.unexpected
        assert [k for k in probe.missing if not re.match(PREDICTORS[framework], k)] == []
    return probe


@pytest.mark.frameworks
@pytest.mark.parametrize("framework", list(PROBES))
@pytest.mark.parametrize("detector", ["faster_rcnn", "mask_rcnn"])
def test_small_detector_agrees(framework, detector, tmp_path):
    probe = exported(framework, tmp_path, Target(detector, num_classes=4))
    assert_agree(probe, canonical_probe(SMALL, random_tensors(SMALL), detector))


@pytest.mark.frameworks
@pytest.mark.parametrize("framework", list(PROBES))
def test_r50_agrees(framework, tmp_path):
    probe = exported(framework, tmp_path, Target(), LARGE)
    assert_agree(probe, canonical_probe(LARGE, random_tensors(LARGE)))


@pytest.mark.frameworks
@pytest.mark.parametrize("framework", ["detectron2", "mmdet"])
@pytest.mark.parametrize("depth", [34, 101])
def test_other_depths_agree(framework, depth, tmp_path):
    spec = dataclasses.replace(SMALL, depth=depth)
    assert_agree(exported(framework, tmp_path, Target(), spec), canonical_probe(spec, random_tensors(spec)))


@pytest.mark.frameworks
@pytest.mark.parametrize("framework", list(PROBES))
def test_every_stage_of_a_cascade_has_the_pre_trained_head(framework, tmp_path):
    probe = exported(framework, tmp_path, Target("cascade_rcnn", num_classes=4))
    assert_agree(probe, canonical_probe(SMALL, random_tensors(SMALL)), stages=3)


@pytest.mark.frameworks
@pytest.mark.parametrize(
    ("framework", "norm"),
    [(f, n) for f in PROBES for n in ("BN", "FrozenBN", "none") if (f, n) != ("mmdet", "FrozenBN")],
)
def test_norm_variants_agree(framework, norm, tmp_path):
    probe = exported(framework, tmp_path, Target(norm=norm))
    assert_agree(probe, canonical_probe(SMALL, random_tensors(SMALL)))
    kinds = {type(m).__name__ for m in probe.model.modules() if "BatchNorm" in type(m).__name__}
    body = {"BN": "BatchNorm2d", "FrozenBN": "FrozenBatchNorm2d", "none": "FrozenBatchNorm2d"}
    # mmdet freezes ordinary norms in place, as its own configs do; Detectron2's "BN" is a subclass of torch's.
    assert kinds == {"BatchNorm2d" if framework == "mmdet" else body[norm]}
    if framework == "mmdet" and norm == "none":
        assert not any(p.requires_grad for n, p in probe.model.backbone.named_parameters() if "bn" in n)


@pytest.mark.frameworks
@pytest.mark.parametrize("framework", list(PROBES))
@pytest.mark.parametrize("anchors", ["pretraining", "rescaled"])
def test_either_remedy_for_the_anchors_gives_the_boxes_of_pre_training(framework, anchors, tmp_path):
    probe = exported(framework, tmp_path, Target(anchors=anchors))
    reference = canonical_probe(SMALL, random_tensors(SMALL), anchor_sizes=(24.0, 48.0, 96.0, 192.0, 384.0))
    stock = canonical_probe(SMALL, random_tensors(SMALL))
    with torch.no_grad():
        expected, found = reference.proposals(IMAGES)[0], probe.proposals(IMAGES)[0]
        assert (found - expected).abs().max() < 1e-2
        assert not torch.allclose(stock.proposals(IMAGES)[0], expected, atol=1)


@pytest.mark.frameworks
@pytest.mark.parametrize(
    ("framework", "one", "other"),
    [
        ("detectron2", "fpn.inner_blocks.2.1.running_mean", "fpn.inner_blocks.2.1.bias"),
        ("detectron2", "fpn.layer_blocks.1.0.weight", "fpn.layer_blocks.2.0.weight"),
        ("mmdet", "backbone.layer2.0.bn1.weight", "backbone.layer2.0.bn2.weight"),
        ("mmdet", "head.2.0.weight", "head.3.0.weight"),
        ("torchvision", "head.1.1.running_var", "head.2.1.running_var"),
    ],
)
def test_two_swapped_tensors_are_seen(framework, one, other, tmp_path):
    """What the comparison is worth: a table with two rows exchanged loads strictly, and is caught."""
    tensors = random_tensors(SMALL)
    swapped = {**tensors, one: tensors[other], other: tensors[one]}
    write_export(swapped, config_of(SMALL), framework, tmp_path / "out")
    with pytest.raises(AssertionError):
        assert_agree(PROBES[framework](tmp_path / "out"), canonical_probe(SMALL, tensors))


@pytest.mark.frameworks
def test_boxes_are_pooled_from_the_levels_of_pre_training_where_that_can_be_said(tmp_path):
    sides = torch.tensor([30.0, 47, 49, 95, 97, 191, 193, 400])
    boxes_K4 = torch.stack([torch.zeros(8), torch.zeros(8), sides, sides], dim=1)
    expected = [sum(side > limit for limit in SMALL.levels.upper[:3]) for side in sides.tolist()]
    assert expected == [0, 0, 1, 1, 2, 2, 3, 3]
    mmdet = exported("mmdet", tmp_path, Target(levels="pretraining"))
    rois_K5 = torch.cat([torch.zeros(8, 1), boxes_K4], dim=1)
    assert mmdet.model.roi_head.bbox_roi_extractor.map_roi_levels(rois_K5, 4).tolist() == expected
    write_export(random_tensors(SMALL), config_of(SMALL), "torchvision", tmp_path / "tv", Target(levels="pretraining"))
    module = runpy.run_path(str(tmp_path / "tv" / "build_model.py"))
    assert module["canonical_levels"](boxes_K4, 4).tolist() == expected


@pytest.mark.frameworks
@pytest.mark.parametrize("framework", list(PROBES))
def test_pixels_become_the_same_input(framework, tmp_path):
    probe = exported(framework, tmp_path, Target())
    image = torch.randint(0, 256, (3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(2))
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    expected = (image / 255 - mean[:, None, None]) / std[:, None, None]
    assert (probe.normalised(image) - expected).abs().max() < 1e-4
