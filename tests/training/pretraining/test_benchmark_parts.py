"""The benchmark takes a step apart by the model's own methods: it must follow them."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from adept_training.method.adept import Adept
from adept_training.pretraining.optim import make_optimizer
from benchmarks.pretrain.batch import make_batch
from benchmarks.pretrain.step import count_gflops, parts_of, train_on
from tests.training.support import tiny


@pytest.mark.parametrize("method", ["adept_joint", "soco"])
def test_a_step_can_be_taken_apart(method: str) -> None:
    recipe = tiny(f"method.name={method}", "views.sizes=[32,32,32]")
    model = Adept(recipe.model, recipe.method, recipe.views.sizes).train()
    optimizer = make_optimizer(model, recipe.optimizer, 2)
    batch, args = make_batch(2, (32, 32, 32), 1), SimpleNamespace(device="cpu", precision="fp32", batch=2)
    before = {name: p.clone() for name, p in model.named_parameters()}
    train_on(model, optimizer, batch, args)  # type: ignore[arg-type]  # what it reads of the options
    assert not torch.equal(
        model.online.parts.fpn.layer_blocks[0][0].weight, before["online.parts.fpn.layer_blocks.0.0.weight"]
    )
    parts = parts_of(model, optimizer, batch, args)  # type: ignore[arg-type]
    assert {"colors", "target", "backbone and FPN", "RPN and losses", "backward", "optimizer"} <= parts.keys()
    assert count_gflops(recipe, batch, args) > 0.01  # type: ignore[arg-type]
