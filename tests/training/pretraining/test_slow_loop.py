"""The loop of pre-training against one written here: when the target moves, what is clipped, at which rate.

The steps are few and in float64, so that every one of the weights can be held against the other loop's.
"""

from __future__ import annotations

import math
from pathlib import Path

import torch

from adept_training.data.loader import Order, Samples, Steps, make_loader
from adept_training.images import ImageSource
from adept_training.method.adept import Adept
from adept_training.pretraining.asked import Asked
from adept_training.pretraining.pretrain import pretrain
from adept_training.pretraining.recipe import Recipe
from adept_training.runtime.state import saved_states
from tests.training.support import RandomBoxes, tiny, write_photographs

#: Each is unlike its default, and the clip is one that bites.
SETTINGS = (
    "engine.precision=fp64", "engine.channels_last=false", "engine.seed=5", "optimizer.name=sgd",
    "optimizer.lr=0.003", "optimizer.rpn_lr=0.0005", "optimizer.momentum=0.7", "optimizer.clip=100",
    "optimizer.weight_decay=0.003", "method.momentum=0.6", "schedule.epochs=2", "views.sizes=[32,32,32]",
    "schedule.warmup_epochs=0.7", "schedule.warmup_start=0.2", "schedule.final_lr=0.0004",
)  # fmt: skip


def _slow_run(recipe: Recipe, source: ImageSource) -> tuple[Adept, list[float]]:
    """BYOL's and SoCo's order: move the target to where the online network is, then both passes, then the step."""
    keys = tuple(source.keys())
    per_epoch = len(keys) // recipe.engine.batch_size
    steps = round(recipe.schedule.epochs * per_epoch)
    samples = Samples(source, RandomBoxes(), keys, recipe.views, recipe.colors, recipe.engine.seed)
    torch.manual_seed(recipe.engine.seed)
    before = torch.get_default_dtype()
    model = Adept(recipe.model, recipe.method, recipe.views.sizes).double().train()
    torch.set_default_dtype(torch.float64)  # of the images that the step makes, as Fabric's 64-true has it
    online, target = dict(model.online.named_parameters()), dict(model.target.named_parameters())
    velocity = {name: torch.zeros_like(p) for name, p in online.items()}
    norms = []
    order = Order(len(keys), recipe.engine.batch_size, recipe.engine.seed)
    try:
        for k, batch in enumerate(make_loader(samples, Steps(order, 0, steps), 0)):
            m = 1 - (1 - recipe.method.momentum) * (math.cos(math.pi * k / steps) + 1) / 2
            for name, parameter in target.items():
                parameter.data = m * parameter.data + (1 - m) * online[name].data
            model.zero_grad()
            model(batch).loss.backward()
            norms.append(math.sqrt(sum(float((p.grad**2).sum()) for p in online.values() if p.grad is not None)))
            scale = min(1.0, recipe.optimizer.clip / (norms[-1] + 1e-6))
            warmup = round(recipe.schedule.warmup_epochs * per_epoch)
            for name, p in online.items():
                peak, final = (0.0005 if ".rpn." in name else 0.003), recipe.schedule.final_lr
                share = (k - warmup) / (steps - warmup)
                lr = peak * (0.2 + 0.8 * k / warmup) if k < warmup else (
                    final + (peak - final) * (1 + math.cos(math.pi * share)) / 2)  # fmt: skip
                gradient = p.grad * scale + (0.003 * p.data if p.ndim > 1 else 0)
                velocity[name] = 0.7 * velocity[name] + gradient
                p.data = p.data - lr * velocity[name]
    finally:
        torch.set_default_dtype(before)
    return model, norms


def test_every_weight_is_that_of_the_slow_loop(tmp_path: Path) -> None:
    source, recipe = write_photographs(tmp_path / "photographs", 12), tiny(*SETTINGS)
    pretrain(recipe, source, RandomBoxes(), tmp_path / "run", asked=Asked(report=False))
    found = torch.load(saved_states(tmp_path / "run" / "checkpoints")[-1], weights_only=True)["model"]
    model, norms = _slow_run(recipe, source)
    assert len(norms) == 6
    assert min(norms) < recipe.optimizer.clip < max(norms), "some steps are clipped, some are not"
    for key, expected in model.state_dict().items():
        torch.testing.assert_close(
            found[key], expected, rtol=1e-6, atol=1e-8, msg=lambda text, key=key: f"{key}: {text}"
        )
