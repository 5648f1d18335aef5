"""RoIAlign over the pyramid against a loop over single boxes, and levels by hand."""

from __future__ import annotations

import pytest
import torch
from torchvision.ops import roi_align

from adept_hub.errors import UnsupportedDetectorError
from adept_hub.models import DetectorParts, assemble_detector
from adept_hub.models.pooling import PyramidRoIAlign, canonical_levels, canonical_size_of
from adept_hub.spec import DetectorSpec, LevelSpec


@pytest.mark.parametrize(
    ("side", "level"), [(1, 0), (55, 0), (111.9, 0), (112, 1), (223.9, 1), (224, 2), (447, 2), (448, 3), (4000, 3)]
)
def test_levels_change_at_112_224_and_448_pixels(side: float, level: int) -> None:
    assert canonical_levels(torch.tensor([[10.0, 20.0, 10 + side, 20 + side]]), 4).tolist() == [level]


def test_a_degenerate_box_belongs_to_the_finest_level() -> None:
    assert canonical_levels(torch.tensor([[5.0, 5.0, 5.0, 9.0]]), 4).tolist() == [0]


def test_pooled_features_equal_a_loop_over_boxes() -> None:
    generator = torch.Generator().manual_seed(0)
    strides, names = (4, 8, 16, 32), ["p2", "p3", "p4", "p5"]
    maps = {n: torch.randn(2, 5, 512 // s, 512 // s, generator=generator) for n, s in zip(names, strides, strict=True)}
    sides = [20.0, 130.0, 260.0, 470.0, 60.0]
    boxes = [torch.tensor([[i * 7.3, i * 3.1, i * 7.3 + s, i * 3.1 + s * 0.9] for i, s in enumerate(sides)])] * 2
    pooled = PyramidRoIAlign(names, 7, strides)(maps, boxes, [(512, 512)] * 2)
    row = 0
    for image, own in enumerate(boxes):
        for box in own:
            size = float(((box[2] - box[0]) * (box[3] - box[1])).sqrt())
            level = 0 if size < 112 else 1 if size < 224 else 2 if size < 448 else 3
            feat, stride = maps[names[level]][image : image + 1], strides[level]
            alone = roi_align(feat, [box[None]], 7, 1 / stride, sampling_ratio=-1, aligned=True)
            torch.testing.assert_close(pooled[row : row + 1], alone)
            row += 1
    assert row == len(pooled) == 10


def test_no_box_at_all_gives_an_empty_batch() -> None:
    pool = PyramidRoIAlign(["p2"], 7, (4,))
    assert pool({"p2": torch.zeros(1, 3, 8, 8)}, [torch.zeros(0, 4)], [(32, 32)]).shape == (0, 3, 7, 7)


@pytest.mark.parametrize(("side", "level"), [(47, 0), (49, 1), (95, 1), (97, 2), (191, 2), (193, 3), (900, 3)])
def test_levels_of_pre_training_change_at_48_96_and_192_pixels(side: float, level: int) -> None:
    """SoCo's rule, worked by hand from its limits; the detector's pooler has it where it is asked for."""
    boxes = torch.tensor([[0.0, 0.0, side, side]])
    assert canonical_levels(boxes, 4, canonical_size_of(LevelSpec())).tolist() == [level]


def test_limits_that_are_not_octaves_apart_are_refused() -> None:
    with pytest.raises(UnsupportedDetectorError, match="octave"):
        canonical_size_of(LevelSpec((48.0, 96.0, 200.0, 224.0)))


@pytest.mark.parametrize("detector", ["faster_rcnn", "mask_rcnn", "cascade_rcnn"])
def test_a_detector_pools_boxes_and_masks_by_the_rule_asked_for(detector: str) -> None:
    spec = DetectorSpec(depth=18, fpn_channels=8, head_conv_channels=8, head_fc_channels=8)
    maps = {f"p{i + 2}": torch.full((1, 8, 128 >> i, 128 >> i), float(i + 2)) for i in range(4)}
    box = [torch.tensor([[20.0, 20.0, 120.0, 120.0]])]  # 100 px: P2 by FPN's rule, P4 by SoCo's
    for levels, expected in (("stock", 2), ("pretraining", 4)):
        heads = assemble_detector(DetectorParts(spec), 3, detector, levels=levels).roi_heads
        for pool in (heads.box_roi_pool, heads.mask_roi_pool):
            if pool is not None:
                assert pool(maps, box, [(512, 512)]).round().unique().tolist() == [expected]
    with pytest.raises(UnsupportedDetectorError, match="stock, pretraining"):
        assemble_detector(DetectorParts(spec), 3, detector, levels="soco")
