"""A frozen backbone or stem against a step in which nothing is frozen and its gradients are dropped."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from adept_training.data.loader import Batch
from adept_training.method.adept import Adept
from adept_training.method.model import StepOutput
from adept_training.method.momentum import update_target
from adept_training.pretraining.optim import make_optimizer
from tests.training.method.test_waits import _batch
from tests.training.support import tiny

STEM = ("parts.backbone.conv1.", "parts.backbone.bn1.")


def _models(folder: Path, frozen: tuple[str, ...], freeze: str, *settings: str) -> tuple[Adept, Adept, Batch]:
    """A model with the setting and the same one without; norms have statistics, and the target is another network."""
    torch.manual_seed(0)
    settings = ("views.sizes=[32,48,32]", *settings)
    plain, batch = _batch(folder, *settings)
    recipe = tiny(*settings, f"method.freeze={freeze}")
    model = Adept(recipe.model, recipe.method, recipe.views.sizes).train()
    for name, tensor in plain.online.state_dict().items():
        if name.endswith(("running_mean", "running_var", "bn1.weight", "bn2.weight")):
            tensor.add_(torch.rand_like(tensor))
    with torch.no_grad():
        for name, tensor in plain.target.state_dict().items():
            theirs = plain.online.state_dict()[name]
            same = name.startswith(frozen) or not theirs.is_floating_point()
            tensor.copy_(theirs if same else theirs + 0.01 * torch.rand_like(theirs))
    model.load_state_dict(plain.state_dict())
    return model.double(), plain.double(), batch


def _two_steps(model: Adept, batch: Batch, frozen: tuple[str, ...]) -> list[StepOutput]:
    """Move the target and step twice; the frozen modules' norms are in evaluation mode, their gradients dropped."""
    rates = tiny("optimizer.name=sgd", "optimizer.lr=0.1", "optimizer.rpn_lr=null").optimizer
    optimizer, outputs = make_optimizer(model, rates, 4), []
    for network in (model.online, model.target):
        for name, module in network.named_modules():
            if f"{name}.".startswith(frozen):
                module.eval()
    for _ in range(2):
        update_target(model.target, model.online, 0.7)
        outputs.append(model(batch))
        optimizer.zero_grad()
        outputs[-1].loss.backward()
        for name, parameter in model.online.named_parameters():
            if name.startswith(frozen):
                parameter.grad = None
        optimizer.step()
    return outputs


@pytest.mark.parametrize(
    ("freeze", "settings"),
    [
        ("backbone", ("method.name=adept_joint", "method.rpn.views=all", "method.rpn.reaches_backbone=true")),
        ("backbone", ("method.name=soco", "method.target_pass=by_size", "views.box_sets=separate")),
        ("backbone", ("method.name=adept_joint", "method.boxes=ss+rpn")),
        ("stem", ("method.name=byol",)),
    ],
)
def test_it_is_the_step_whose_gradients_of_the_frozen_modules_are_dropped(
    freeze: str, settings: tuple[str, ...], tmp_path: Path
) -> None:
    frozen = ("parts.backbone.",) if freeze == "backbone" else STEM
    model, plain, batch = _models(tmp_path, frozen, freeze, *settings)
    torch.set_default_dtype(torch.float64)  # of the images that the step makes
    try:
        ours, theirs = _two_steps(model, batch, ()), _two_steps(plain, batch, frozen)
    finally:
        torch.set_default_dtype(torch.float32)
    for found, expected in zip(ours, theirs, strict=True):
        for values, others in ((found.terms, expected.terms), (found.stats, expected.stats)):
            assert values.keys() == others.keys()
            for key in values:
                torch.testing.assert_close(values[key], others[key], rtol=1e-9, atol=1e-12)
    for name, tensor in plain.state_dict().items():
        torch.testing.assert_close(model.state_dict()[name], tensor, rtol=1e-9, atol=1e-12, msg=name)


def test_both_networks_run_one_backbone_once_per_view_and_nothing_of_it_is_trained(tmp_path: Path) -> None:
    passes = {}
    for freeze in ("none", "stem", "backbone"):
        model, batch = _batch(tmp_path, f"method.freeze={freeze}")
        assert (model.target.parts.backbone is model.online.parts.backbone) is (freeze == "backbone")
        seen: list[Tensor] = []
        for backbone in {model.online.parts.backbone, model.target.parts.backbone}:
            backbone.register_forward_hook(lambda _, __, maps, seen=seen: seen.append(maps["c5"]))
        model(batch).loss.backward()
        passes[freeze] = (len(seen), sum(c5.requires_grad for c5 in seen))
        owned = {id(p) for group in make_optimizer(model, tiny().optimizer, 4).param_groups for p in group["params"]}
        for name, parameter in model.online.named_parameters():
            held = (freeze == "backbone" and "backbone" in name) or (freeze == "stem" and name.startswith(STEM))
            assert (id(parameter) in owned) is (parameter.grad is not None) is not held, name
    assert passes == {"none": (6, 3), "stem": (6, 3), "backbone": (3, 0)}
