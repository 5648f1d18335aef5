"""Batch norms in fine-tuning: which keep updating, and exact statistics before they are used."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from adept_training.finetuning.recipe import FinetuneRecipe


def batch_norms(model: nn.Module) -> list[_BatchNorm]:
    """Return every batch norm of a model."""
    return [module for module in model.modules() if isinstance(module, _BatchNorm)]


def without_statistics(model: nn.Module) -> list[_BatchNorm]:
    """Return the batch norms whose statistics are the initial mean 0 and variance 1: they have seen no image."""
    return [
        norm
        for norm in batch_norms(model)
        if norm.running_mean is not None
        and norm.running_var is not None
        and not bool(norm.running_mean.any())
        and bool((norm.running_var == 1).all())
    ]


def measure_statistics(
    norms: Iterable[_BatchNorm], batches: Iterable[object], forward: Callable[[object], object]
) -> None:
    """Set the statistics of norms to the plain means over ``batches``, and leave them in evaluation mode."""
    momenta = [(norm, norm.momentum) for norm in norms]
    for norm, _ in momenta:
        norm.reset_running_stats()
        norm.momentum = None  # the mean of all batches
        norm.train()
    with torch.no_grad():
        for batch in batches:
            forward(batch)
    for norm, momentum in momenta:
        norm.momentum = momentum
        norm.eval()


def frozen_modules(model: nn.Module, recipe: FinetuneRecipe) -> list[nn.Module]:
    """Return the modules of a detector that stay as they are in its source (``optimizer.freeze``)."""
    body = "backbone.body"
    paths = {"none": (), "stem": (f"{body}.conv1", f"{body}.bn1"), "backbone": (body,)}[recipe.optimizer.freeze]
    return [model.get_submodule(path) for path in paths]


def set_training(model: nn.Module, recipe: FinetuneRecipe, step: int) -> None:
    """Set training mode, with batch norms updating or frozen as the recipe has it for this iteration."""
    model.train()
    for module in frozen_modules(model, recipe):
        module.eval()
    policy = recipe.norms.policy
    if policy == "frozen" or (policy == "freeze_after_warmup" and step >= recipe.warmup):
        for norm in batch_norms(model):
            norm.eval()


@contextmanager
def precise_statistics(
    model: nn.Module, batches: Iterable[object], forward: Callable[[object], object]
) -> Iterator[None]:
    """Use running statistics that are plain means over ``batches`` (Detectron2's PRECISE_BN) within the block.

    An exponential mean follows the last few batches, which are small and were seen by older weights. The training
    statistics are restored afterwards. Norms in evaluation mode are frozen and stay as they are.
    """
    norms = [norm for norm in batch_norms(model) if norm.training]
    saved: list[tuple[Tensor, Tensor, Tensor, float | None]] = []
    for norm in norms:
        assert norm.running_mean is not None
        assert norm.running_var is not None
        assert norm.num_batches_tracked is not None
        state = (norm.running_mean, norm.running_var, norm.num_batches_tracked)
        saved.append((*(t.clone() for t in state), norm.momentum))  # type: ignore[arg-type]  # three tensors
        norm.reset_running_stats()
        norm.momentum = None  # the mean of all batches
    try:
        with torch.no_grad():
            for batch in batches:
                forward(batch)
        yield
    finally:
        for norm, (mean, variance, tracked, momentum) in zip(norms, saved, strict=True):
            norm.running_mean.copy_(mean)  # type: ignore[union-attr]  # asserted above
            norm.running_var.copy_(variance)  # type: ignore[union-attr]
            norm.num_batches_tracked.copy_(tracked)  # type: ignore[union-attr]
            norm.momentum = momentum
