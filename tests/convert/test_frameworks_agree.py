"""The same photograph through the canonical detector and through each real framework.

Detectors, depths and norms are crossed in test_matrix.py. Weights, biases and running statistics are all random, so
that no default value can hide an error.
"""

from __future__ import annotations

import runpy

import pytest
import torch

from adept_hub.convert.export import write_export
from adept_hub.convert.options import Target
from adept_hub.frameworks import FRAMEWORKS, TORCHVISION
from tests.convert.agreement import IMAGES, assert_agree, exported
from tests.convert.probes import PROBES, canonical_probe
from tests.frameworks_support import (
    LARGE,
    SMALL,
    config_of,
    one_thread,  # noqa: F401  # an autouse fixture
    random_tensors,
)


@pytest.mark.frameworks
@pytest.mark.parametrize("framework", list(PROBES))
def test_r50_agrees(framework, tmp_path):
    probe = exported(framework, tmp_path, Target(), LARGE)
    assert_agree(probe, canonical_probe(LARGE, random_tensors(LARGE)))


@pytest.mark.frameworks
@pytest.mark.parametrize(
    ("framework", "norm"),
    [(f, n) for f in PROBES for n in ("BN", "FrozenBN", "none")],
)
def test_norm_variants_agree(framework, norm, tmp_path):
    probe = exported(framework, tmp_path, Target(norm=norm))
    assert_agree(probe, canonical_probe(SMALL, random_tensors(SMALL)))
    kinds = {type(m).__name__ for m in probe.model.modules() if "BatchNorm" in type(m).__name__}
    body = {"BN": "BatchNorm2d", "FrozenBN": "FrozenBatchNorm2d", "none": "FrozenBatchNorm2d"}
    # mmdet freezes its backbone's ordinary norms in place, as its own configs do; Detectron2's "BN" is a subclass.
    frozen = framework == "mmdet" and norm in ("FrozenBN", "none")
    assert (
        kinds == {body[norm], "BatchNorm2d"}
        if frozen and norm == "FrozenBN"
        else {"BatchNorm2d"}
        if frozen
        else {body[norm]}
    )
    if frozen:
        assert not any(p.requires_grad for n, p in probe.model.backbone.named_parameters() if "bn" in n)
        assert not any(m.training for n, m in probe.model.train().backbone.named_modules() if "bn" in n)


@pytest.mark.frameworks
@pytest.mark.parametrize("framework", list(PROBES))
@pytest.mark.parametrize("anchors", ["pretraining", "rescaled"])
def test_either_remedy_for_the_anchors_gives_the_boxes_of_pre_training(framework, anchors, tmp_path):
    probe = exported(framework, tmp_path, Target(anchors=anchors))
    reference = canonical_probe(SMALL, random_tensors(SMALL), anchor_sizes=(24.0, 48.0, 96.0, 192.0, 384.0))
    stock = canonical_probe(SMALL, random_tensors(SMALL), anchor_sizes=(32.0, 64.0, 128.0, 256.0, 512.0))
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
    write_export(swapped, config_of(SMALL), FRAMEWORKS[framework], tmp_path / "out")
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
    write_export(random_tensors(SMALL), config_of(SMALL), TORCHVISION, tmp_path / "tv", Target(levels="pretraining"))
    module = runpy.run_path(str(tmp_path / "tv" / "build_model.py"))
    assert module["canonical_levels"](boxes_K4, 4).tolist() == expected
    assert module["build_model"]().roi_heads.box_roi_pool.canonical_size == 96


@pytest.mark.frameworks
@pytest.mark.parametrize("framework", list(PROBES))
def test_heads_agree_on_the_levels_of_pre_training(framework, tmp_path):
    """Detectron2 by the line of Python that the refusal and the documents name."""
    probe = exported(framework, tmp_path, Target(levels="stock" if framework == "detectron2" else "pretraining"))
    reference = canonical_probe(SMALL, random_tensors(SMALL), levels="pretraining")
    if framework == "detectron2":
        with pytest.raises(AssertionError):
            assert_agree(probe, reference)
        probe.model.roi_heads.box_pooler.canonical_box_size = 96
    assert_agree(probe, reference)


@pytest.mark.frameworks
@pytest.mark.parametrize("framework", list(PROBES))
def test_pixels_become_the_same_input(framework, tmp_path):
    probe = exported(framework, tmp_path, Target())
    image = torch.randint(0, 256, (3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(2))
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    expected = (image / 255 - mean[:, None, None]) / std[:, None, None]
    assert (probe.normalized(image) - expected).abs().max() < 1e-4
