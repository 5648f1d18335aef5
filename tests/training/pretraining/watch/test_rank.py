"""The effective rank against hand-made spectra; the head's against features gathered one box at a time."""

from __future__ import annotations

import pytest
import torch
from torchvision.ops import roi_align

from adept_hub.models.parts import DetectorParts
from adept_hub.spec import Preprocessing
from adept_training.pretraining.watch.probe import HeldOut
from adept_training.pretraining.watch.rank import _features, _measure, effective_rank, head_rank
from tests.conftest import SMALL


def test_equal_directions_count_whole() -> None:
    corners = torch.cat([torch.eye(3), -torch.eye(3)]) @ torch.linalg.qr(torch.randn(8, 8)).Q[:3]
    assert effective_rank(7 + corners) == pytest.approx(3.0, abs=1e-5)


def test_unequal_directions_count_by_the_entropy_of_their_variance() -> None:
    features = torch.tensor([[3.0, 0], [-3, 0], [0, 1], [0, -1]])  # variances 18 : 2
    expected = (0.9**-0.9) * (0.1**-0.1)
    assert effective_rank(features) == pytest.approx(expected, rel=1e-6)


def test_features_that_are_all_the_same_have_no_rank() -> None:
    assert effective_rank(torch.ones(5, 3)) == 0.0


def test_the_heads_rank_is_that_of_features_in_training_mode() -> None:
    """Against torch's own norms in training mode, for a network that has never been trained."""
    torch.manual_seed(0)
    parts = DetectorParts(SMALL).train()
    parts.fpn.eval()  # a mode of its own, to be put back
    pixels = torch.randint(0, 256, (4, 64, 64, 3), dtype=torch.uint8)
    boxes = tuple(torch.tensor([[4.0, 8, 44, 60], [0, 0, 20, 16], [10.0 + i, 5, 62, 40]]) for i in range(4))
    pixel_facts = Preprocessing(mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6))
    before = {key: value.clone() for key, value in parts.state_dict().items()}
    modes = [module.training for module in parts.modules()]
    found = head_rank(parts, HeldOut(pixels, boxes), pixel_facts)
    assert [module.training for module in parts.modules()] == modes
    assert all(torch.equal(value, before[key]) for key, value in parts.state_dict().items())

    parts.train()

    def features(pixels_NHWC: torch.Tensor) -> torch.Tensor:
        x = pixels_NHWC.permute(0, 3, 1, 2) / 255 - torch.tensor(pixel_facts.mean)[:, None, None]
        maps = parts.pyramid(x / torch.tensor(pixel_facts.std)[:, None, None])
        pooled = []
        for n in range(len(pixels_NHWC)):
            for box in boxes[n]:
                side = float(((box[2] - box[0]) * (box[3] - box[1])).sqrt())
                level = next(i for i, upper in enumerate((*SMALL.levels.upper[:3], 1e9)) if side <= upper)
                scale = maps[level].shape[-1] / 64
                pooled.append(roi_align(maps[level][n : n + 1], [box[None]], 7, scale, -1, True))
        return parts.head_features(torch.cat(pooled))

    with torch.no_grad():
        assert found == pytest.approx(effective_rank(features(pixels)), rel=1e-3)


def test_statistics_are_those_of_all_batches_whatever_their_sizes() -> None:
    norm, batches = torch.nn.BatchNorm2d(3).eval(), [torch.randn(n, 3, 4, 5) * n + n for n in (1, 4, 2)]
    _measure([norm], lambda: [norm(x) for x in batches])
    pixels_C = torch.cat([x.transpose(0, 1).flatten(1) for x in batches], dim=1)
    torch.testing.assert_close(norm.running_mean, pixels_C.mean(dim=1))
    torch.testing.assert_close(norm.running_var, pixels_C.var(dim=1, correction=0))
    assert not norm._forward_pre_hooks


def test_an_untrained_head_has_a_high_rank_and_running_statistics_would_hide_it() -> None:
    torch.manual_seed(0)
    parts = DetectorParts(SMALL)
    pixels = torch.randint(0, 256, (40, 64, 64, 3), dtype=torch.uint8)
    boxes = tuple(torch.tensor([[4.0, 8, 44, 60], [0, 0, 20, 16], [10.0 + i / 4, 5, 62, 40]]) for i in range(40))
    held = HeldOut(pixels, boxes)
    with torch.no_grad():
        hidden = effective_rank(_features(parts.eval(), held, Preprocessing()))
    assert head_rank(parts, held, Preprocessing()) > 1.5 * hidden
