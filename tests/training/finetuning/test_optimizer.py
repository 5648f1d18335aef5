"""What a step of fine-tuning's SGD does to each tensor: decay, momentum and rate, one number at a time."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from adept_training.finetuning.detector import build_detector
from adept_training.finetuning.loop import iteration_seed, make_optimizer
from adept_training.finetuning.recipe import load_finetune_recipe
from tests.training.conftest import TINY


@pytest.mark.parametrize("norm_decay", [0.0, 0.3])
def test_norms_and_the_rest_have_each_its_own_decay(norm_decay: float, make_checkpoint) -> None:
    """Twice, with gradients of one's own: v = 0.7 v + g + decay w; w -= lr v."""
    recipe = load_finetune_recipe(
        None,
        [*TINY, "optimizer.weight_decay=0.02", f"optimizer.norm_decay={norm_decay}", "optimizer.momentum=0.7",
         "optimizer.lr=0.4", "optimizer.lr_batch=8", "engine.batch_size=2"],
    )  # fmt: skip
    model = build_detector(str(make_checkpoint()[0]), 2, recipe.detector, 0)
    optimizer = make_optimizer(model, recipe)
    inside = {id(p) for m in model.modules() if isinstance(m, nn.BatchNorm2d) for p in m.parameters()}
    assert 0 < len(inside) < len(list(model.parameters()))
    expected, velocity = {}, {}
    for step in range(2):
        for at, (name, parameter) in enumerate(model.named_parameters()):
            generator = torch.Generator().manual_seed(1000 * step + at)
            parameter.grad = torch.randn(parameter.shape, generator=generator)
            weight = expected.get(name, parameter.detach().clone())
            decay = norm_decay if id(parameter) in inside else 0.02
            velocity[name] = 0.7 * velocity.get(name, 0) + parameter.grad + decay * weight
            expected[name] = weight - 0.4 * 2 / 8 * velocity[name]
        optimizer.step()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.detach(), expected[name], rtol=1e-4, atol=1e-5, msg=name)


def test_every_seed_step_and_process_has_random_numbers_of_its_own() -> None:
    """Of 64 bits, signed as torch takes them, also for seeds that do not fit."""
    seeds = [0, 1, (1 << 23) - 1, 1 << 23, (1 << 23) + 1, 1 << 62, 3 << 62]
    steps, ranks = [0, 1, (1 << 30) - 1], [0, 1, 1023]
    made = [iteration_seed(seed, step, rank) for seed in seeds for step in steps for rank in ranks]
    assert len(set(made)) == len(made)
    assert all(0 <= value < 1 << 63 for value in made)
    assert iteration_seed(5, 3, 2) == 5 * 2**40 + 3 * 2**10 + 2
