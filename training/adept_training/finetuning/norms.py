"""Batch norms while fine-tuning: which keep learning, and statistics measured exactly before they are used."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from adept_training.finetuning.recipe import FinetuneRecipe


def batch_norms(model: nn.Module) -> list[_BatchNorm]:
    """Every batch norm of a model."""
    return [module for module in model.modules() if isinstance(module, _BatchNorm)]


def without_statistics(model: nn.Module) -> list[_BatchNorm]:
    """The batch norms whose statistics are those of construction, mean 0 and variance 1: they have seen no image."""
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
    """Give norms the plain means of the statistics of ``batches``, and leave them in evaluation mode."""
    kept = [(norm, norm.momentum) for norm in norms]
    for norm, _ in kept:
        norm.reset_running_stats()
        norm.momentum = None  # the mean of all batches
        norm.train()
    with torch.no_grad():
        for batch in batches:
            forward(batch)
    for norm, momentum in kept:
        norm.momentum = momentum
        norm.eval()


def set_training(model: nn.Module, recipe: FinetuneRecipe, step: int) -> None:
    """Training mode, with the batch norms' statistics learning or not, as the recipe says for this iteration."""
    model.train()
    policy = recipe.norms.policy
    if policy == "frozen" or (policy == "freeze_after_warmup" and step >= recipe.warmup):
        for norm in batch_norms(model):
            norm.eval()


@contextmanager
def precise_statistics(
    model: nn.Module, batches: Iterable[object], forward: Callable[[object], object]
) -> Iterator[None]:
    """Within the block, running statistics are plain means over ``batches`` (Detectron2's PRECISE_BN).

    An exponential mean follows the last few batches, which are small and were seen by older weights. The statistics
    that training continues from are put back afterwards. Norms in evaluation mode are frozen and keep what they have.
    """
    norms = [norm for norm in batch_norms(model) if norm.training]
    kept: list[tuple[Tensor, Tensor, Tensor, float | None]] = []
    for norm in norms:
        assert norm.running_mean is not None
        assert norm.running_var is not None
        assert norm.num_batches_tracked is not None
        state = (norm.running_mean, norm.running_var, norm.num_batches_tracked)
        kept.append((*(t.clone() for t in state), norm.momentum))  # type: ignore[arg-type]  # three tensors
        norm.reset_running_stats()
        norm.momentum = None  # the mean of all batches
    try:
        with torch.no_grad():
            for batch in batches:
                forward(batch)
        yield
    finally:
        for norm, (mean, variance, tracked, momentum) in zip(norms, kept, strict=True):
            norm.running_mean.copy_(mean)  # type: ignore[union-attr]  # asserted above
            norm.running_var.copy_(variance)  # type: ignore[union-attr]
            norm.num_batches_tracked.copy_(tracked)  # type: ignore[union-attr]
            norm.momentum = momentum
