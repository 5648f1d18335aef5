"""Momentum by SoCo's formula, the update by hand, and what the target is."""

from __future__ import annotations

import math

import pytest
import torch

from adept_training.method.momentum import momentum_at, update_target
from adept_training.method.networks import Network, make_target
from adept_training.method.recipe import MethodRecipe
from tests.conftest import SMALL


def test_momentum_rises_from_its_base_to_one() -> None:
    assert momentum_at(0, 1000, 0.99) == pytest.approx(0.99)
    assert momentum_at(500, 1000, 0.99) == pytest.approx(0.995)
    assert momentum_at(1000, 1000, 0.99) == pytest.approx(1.0)
    # SoCo's expression at step 250 of 1000, worked on a calculator: 1 - 0.01 * (cos 45 degrees + 1) / 2.
    assert momentum_at(250, 1000, 0.99) == pytest.approx(1 - 0.01 * (math.sqrt(0.5) + 1) / 2)


@pytest.fixture
def networks() -> tuple[Network, Network]:
    torch.manual_seed(0)
    online = Network(SMALL, 32, 16, SMALL.head_fc_channels)
    return online, make_target(online)


def test_the_target_begins_as_a_frozen_copy_without_rpn_and_predictor(networks: tuple[Network, Network]) -> None:
    online, target = networks
    names = {name for name, _ in target.named_parameters()}
    assert not any(".rpn." in name or "predictor" in name for name in names)
    assert {name.split(".")[1] for name in names if name.startswith("parts.")} == {"backbone", "fpn", "head"}
    assert not any(parameter.requires_grad for parameter in target.parameters())
    theirs = dict(online.named_parameters())
    for name, parameter in target.named_parameters():
        assert torch.equal(parameter, theirs[name])
        assert parameter.data_ptr() != theirs[name].data_ptr()


def test_an_update_moves_parameters_and_leaves_buffers(networks: tuple[Network, Network]) -> None:
    online, target = networks
    before = {name: value.clone() for name, value in target.state_dict().items()}
    with torch.no_grad():
        for parameter in online.parameters():
            parameter.add_(torch.randn_like(parameter))
        for buffer in online.buffers():
            buffer.add_(1)
    update_target(target, online, 0.9)
    theirs = dict(online.named_parameters())
    for name, parameter in target.named_parameters():
        torch.testing.assert_close(parameter, 0.9 * before[name] + 0.1 * theirs[name], atol=1e-6, rtol=1e-6)
    for name, buffer in target.named_buffers():
        assert torch.equal(buffer, before[name]), "statistics are the target's own (SoCo)"


def test_a_norm_after_the_projector_takes_away_what_all_boxes_have_in_common() -> None:
    torch.manual_seed(0)
    features = 5 + torch.randn(64, SMALL.head_fc_channels)
    plain, normed = (Network(SMALL, 32, 16, SMALL.head_fc_channels, norm=norm) for norm in (False, True))
    target = make_target(normed)
    assert plain.projector(features).mean(dim=0).abs().max() > 0.05
    assert normed.projector(features).mean(dim=0).abs().max() < 1e-5
    assert torch.equal(target.projector(features), normed.projector(features))
    assert {n for n, _ in normed.named_parameters()} == {n for n, _ in plain.named_parameters()}


def test_a_short_run_has_a_constant_momentum_that_leaves_nothing_of_the_start() -> None:
    bounded = MethodRecipe(momentum=0.9, momentum_bound="run")
    assert [bounded.momentum_of(place, 40, 40) for place in (0, 17, 39)] == [0.5] * 3, "1 - 20 / 40"
    assert bounded.momentum_of(0, 10, 10) == 0.0
    assert 0.0 < bounded.momentum_of(3, 4999, 4999) ** 4999 < 3e-9, "exp(-20) = 2.06e-9"
    # The clock leaves 80 of 9,000 steps: they count.
    assert bounded.momentum_of(100, 9000, 80.0) == 0.75
    assert "method.momentum=0.9 has no effect" in bounded.momentum_line(80)
    assert "the momentum is 0.750." in bounded.momentum_line(80)
    assert not MethodRecipe(momentum_bound="run").momentum_line(80), "nobody asked for the default"
    for recipe, reachable in ((bounded, 5000), (MethodRecipe(momentum=0.9), 40)):
        assert not recipe.momentum_line(reachable)
        assert recipe.momentum_of(20, 40, reachable) == momentum_at(20, 40, 0.9) == pytest.approx(0.95)
