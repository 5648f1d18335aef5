"""What it means that a framework's detector agrees with the canonical one, on the same random photographs."""

from __future__ import annotations

import re

import torch

from adept_hub.convert.export import write_export
from adept_hub.frameworks import FRAMEWORKS
from tests.convert.probes import PROBES
from tests.frameworks_support import SMALL, config_of, random_tensors

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


def assert_agree(
    probe,
    reference,
    *,
    boxes: bool = True,
    stages: int = 1,
    tolerance: float = 1e-4,
    bgr: bool = False,
    proposals_each: int = 100,
) -> None:
    """C2-C5, FPN maps, RPN logits and deltas, first proposals and head features are those of the reference.

    ``bgr``: of the reference alone. ``proposals_each``: as many as it keeps.
    """
    theirs = IMAGES.flip(1) if bgr else IMAGES
    with torch.no_grad():
        expected, found = reference.stages(theirs), probe.stages(IMAGES)
        assert len(found) == len(expected) == 4
        for level, (a, b) in enumerate(zip(found, expected, strict=True)):
            assert relative(a, b) < tolerance, f"C{level + 2}"
        expected, found = reference.pyramid(theirs), probe.pyramid(IMAGES)
        assert len(found) == len(expected) == 5
        for level, (a, b) in enumerate(zip(found, expected, strict=True)):
            assert relative(a, b) < tolerance, f"P{level + 2}"
        for kind, a_L, b_L in zip(("logits", "deltas"), probe.rpn(found), reference.rpn(expected), strict=True):
            for level, (a, b) in enumerate(zip(a_L, b_L, strict=True)):
                assert relative(a, b) < tolerance, f"RPN {kind} on P{level + 2}"
        proposals = reference.proposals(theirs)
        if boxes:
            for a, b in zip(probe.proposals(IMAGES), proposals, strict=True):
                assert len(b) == proposals_each
                assert (a[: len(b)] - b).abs().max() < 1e-2
        heads = probe.heads(IMAGES, proposals)
        assert len(heads) == stages
        for head in heads:
            assert relative(head, reference.heads(theirs, proposals)[0]) < tolerance


def exported(framework, folder, target, spec=SMALL):
    """An export as the framework itself builds and loads it; only predictors may be missing, nothing unexpected."""
    return written(framework, folder / "out", random_tensors(spec), config_of(spec), target)


def written(framework, out, tensors, config, target):
    """The same of any tensors with their config."""
    write_export(tensors, config, FRAMEWORKS[framework], out, target)
    probe = PROBES[framework](out)
    if framework in PREDICTORS:
        assert not probe.unexpected
        assert [k for k in probe.missing if not re.match(PREDICTORS[framework], k)] == []
    return probe
