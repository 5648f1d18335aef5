"""One process or many: Fabric configured by the launcher's environment, and norms over the whole batch."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal, cast

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.distributed.nn import functional as dist_fn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from adept_hub.detectors.device import find_device
from adept_hub.errors import RecipeError

Precision = Literal["fp64", "fp32", "bf16", "fp16"]
_PRECISION: Mapping[str, str] = {"fp64": "64-true", "fp32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}


def processes() -> int:
    """Return how many processes torchrun or SLURM started; 1 without them."""
    return int(os.environ.get("WORLD_SIZE") or os.environ.get("SLURM_NTASKS") or 1)


def check_precision(precision: str) -> None:
    """Check that the device can compute in a precision.

    Raises:
        RecipeError: fp16 on a CPU, where Fabric would use bfloat16 instead.
    """
    if precision == "fp16" and not torch.cuda.is_available():
        raise RecipeError("engine.precision fp16 needs a GPU.\nOn a CPU: --set engine.precision=bf16")


def make_fabric(precision: Precision = "fp32", accelerator: str = "auto") -> Fabric:
    """Launch Fabric with the processes that torchrun or SLURM started, or with this one only.

    Args:
        precision: precision of the arithmetic; parameters stay in float32 (``fp64``: float64).
        accelerator: ``auto`` for the launcher's processes on GPUs if there are any; ``cpu``, ``cuda`` or ``mps`` for
            this process alone on that device.

    Raises:
        RecipeError: the device cannot compute in this precision.
        OptionValueError: this machine has no such device.
    """
    check_precision(precision)
    options: dict[str, Any] = {"accelerator": accelerator, "devices": 1}
    if accelerator != "auto":
        find_device(accelerator)
    else:
        world = processes()
        local = int(os.environ.get("LOCAL_WORLD_SIZE") or os.environ.get("SLURM_NTASKS_PER_NODE") or world)
        many = world > 1
        options = {
            "accelerator": "cuda" if torch.cuda.is_available() else "cpu",
            "devices": local if many else 1,
            "num_nodes": max(world // local, 1),
            "strategy": "ddp" if many else "auto",
        }
    with _warnings_alone():
        fabric = Fabric(precision=cast(Any, _PRECISION[precision]), **options)
        fabric.launch()
    return fabric


@contextmanager
def _warnings_alone() -> Iterator[None]:
    """Keep Fabric from printing what a recipe says already, such as the precision; its warnings pass."""
    logger = logging.getLogger("lightning_fabric")
    before = logger.level
    logger.setLevel(max(before, logging.WARNING))
    try:
        yield
    finally:
        logger.setLevel(before)


def any_of(fabric: Fabric, *flags: bool) -> list[bool]:
    """Return for each flag whether it is true on any process, so that all processes act alike."""
    if fabric.world_size == 1:
        return list(flags)
    agreed = fabric.all_reduce(torch.tensor(flags, dtype=torch.float32, device=fabric.device), reduce_op="max")
    return [bool(value) for value in cast(Tensor, agreed)]


def synchronize_norms(model: nn.Module, fabric: Fabric) -> None:
    """Replace batch norms, if there are several processes, by norms with the statistics of the global batch.

    On a GPU they become torch's SyncBatchNorm; on a CPU, which that does not support, `GlobalBatchNorm`. Names,
    parameters and buffers stay the same objects.
    """
    if fabric.world_size == 1:
        return
    kind = nn.SyncBatchNorm if fabric.device.type == "cuda" else GlobalBatchNorm
    for module in list(model.modules()):
        for name, child in module.named_children():
            if isinstance(child, (nn.BatchNorm1d, nn.BatchNorm2d)):
                norm = kind(child.num_features, child.eps, child.momentum, child.affine, child.track_running_stats)
                norm._parameters, norm._buffers = child._parameters, child._buffers
                norm.train(child.training)
                setattr(module, name, norm)


class GlobalBatchNorm(_BatchNorm):
    """Batch norm over all processes by differentiable all-reduces: mean first, then variance around it."""

    def _check_input_dim(self, input: Tensor) -> None:  # noqa: A002  # torch's name
        if input.dim() < 2:
            raise ValueError(f"expected at least 2 dimensions, got {input.dim()}")

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  # torch's name
        if not self.training:
            return F.batch_norm(
                input, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps
            )
        x = input.to(torch.promote_types(input.dtype, torch.float32))  # statistics are never in half precision
        over = [d for d in range(x.dim()) if d != 1]
        shape = [1, -1] + [1] * (x.dim() - 2)
        # Sums in float64, as in torch's own norm on a CPU: training amplifies differences in rounding.
        local = x.sum(dim=over, dtype=torch.float64)
        total = _total(torch.cat([local, local.new_tensor([x.numel() / x.shape[1]])]))
        count, mean = total[-1], (total[:-1] / total[-1]).to(x.dtype)
        centered = x - mean.reshape(shape)
        variance = (_total(centered.square().sum(dim=over, dtype=torch.float64)) / count).to(x.dtype)
        count = count.to(x.dtype)
        self._remember(mean.detach(), variance.detach() * count.detach() / (count.detach() - 1))
        out = centered * (variance + self.eps).rsqrt().reshape(shape)
        if self.affine:
            out = out * self.weight.reshape(shape) + self.bias.reshape(shape)
        return out.to(input.dtype)

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        # Without a momentum, torch's norms use the plain average of all batches.
        weight = 1 / int(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, weight)
        self.running_var.lerp_(variance, weight)


def _total(local: Tensor) -> Tensor:
    """Sum over the processes, differentiably."""
    summed: Tensor = dist_fn.all_reduce(local)  # type: ignore[no-untyped-call]  # torch leaves it untyped
    return summed
