"""LARS as in SoCo, the parameter groups, and the learning rate of a step."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from adept_training.pretraining.recipe import OptimizerRecipe


class LARS(Optimizer):
    """SGD with momentum, each weight's gradient scaled by trust * |w| / (|g| + eps) (SoCo, ``lars.py``).

    The weight decay is added to the gradient before the norms are taken. A group with ``adapt=False`` is plain SGD. All
    tensors of a group are updated together.

    One difference: a tensor whose gradient is zero everywhere is not decayed. The trust ratio turns any decay, however
    small, into a full step, and such tensors shrink without bound: with small views no box falls on P4 and P5, and
    their convolutions shrank to a tenth of their size in 1,541 steps.
    """

    def __init__(
        self,
        params: Iterable[dict[str, Any]],
        lr: float,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        trust: float = 0.001,
        eps: float = 1e-8,
    ) -> None:
        defaults = {
            "lr": lr, "momentum": momentum, "weight_decay": weight_decay, "trust": trust, "eps": eps, "adapt": True,
        }  # fmt: skip
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]  # torch overloads
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            params = [p for p in group["params"] if p.grad is not None]
            if params:
                self._step_group(group, params)
        return loss

    def _step_group(self, group: dict[str, Any], params: list[Tensor]) -> None:
        grads = [p.grad for p in params if p.grad is not None]
        decay = [group["weight_decay"]] * len(params)
        if group["adapt"]:
            grad_norms = torch.stack(torch._foreach_norm(grads))
            decay = list((group["weight_decay"] * (grad_norms > 0).to(grad_norms.dtype)).unbind())
        # The only copy of the size of the gradients; everything below is in place.
        steps = list(torch._foreach_mul(params, decay))
        torch._foreach_add_(steps, grads)
        if group["adapt"]:
            weight_norms = torch.stack(torch._foreach_norm(params))
            step_norms = torch.stack(torch._foreach_norm(steps))
            ratio = group["trust"] * weight_norms / (step_norms + group["eps"])
            ratio = torch.where((weight_norms > 0) & (step_norms > 0), ratio, torch.ones_like(ratio))
            torch._foreach_mul_(steps, list(ratio.unbind()))
        buffers = [self._buffer(p) for p in params]
        torch._foreach_mul_(buffers, group["momentum"])
        torch._foreach_add_(buffers, steps)
        torch._foreach_add_(params, buffers, alpha=-group["lr"])

    def _buffer(self, param: Tensor) -> Tensor:
        state = self.state[param]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(param)
        buffer: Tensor = state["momentum_buffer"]
        return buffer


def make_optimizer(model: nn.Module, recipe: OptimizerRecipe, batch_size: int) -> Optimizer:
    """Create the optimizer of a run; every group keeps its peak rate as ``peak``.

    One-dimensional tensors (biases, norms) have neither weight decay nor adaptation. ``rpn_lr`` makes the RPN a group
    of plain SGD: its biases bypass LARS, and at LARS's rates they would oscillate.
    """
    base = recipe.lr * (batch_size / 256 if recipe.lr_scaling == "linear" else 1.0)
    groups: dict[tuple[bool, bool, float], dict[str, Any]] = {}
    for name, param in model.named_parameters():
        if not param.requires_grad:
            continue
        own = recipe.rpn_lr is not None and ".rpn." in name
        flat = param.ndim == 1
        peak = recipe.rpn_lr if own and recipe.rpn_lr is not None else base * _scale(name, recipe)
        group = groups.setdefault(
            (own, flat, peak),
            {
                "params": [],
                "lr": peak,
                "peak": peak,
                "weight_decay": 0.0 if flat else recipe.weight_decay,
                "adapt": not (own or flat),
            },
        )
        group["params"].append(param)
    listed = list(groups.values())
    if recipe.name == "lars":
        return LARS(listed, base, recipe.momentum, recipe.weight_decay, recipe.trust)
    if recipe.name == "sgd":
        return torch.optim.SGD(listed, base, recipe.momentum, weight_decay=recipe.weight_decay)
    return torch.optim.AdamW(listed, base, (recipe.momentum, 0.999), weight_decay=recipe.weight_decay)


def _scale(name: str, recipe: OptimizerRecipe) -> float:
    """Return the multiple of the rate of a parameter: that of its detector part, of projector or predictor, or 1."""
    words = name.removeprefix("online.").removeprefix("parts.").split(".")
    scale: float = getattr(recipe.lr_scale, words[0], 1.0)
    return scale


def lr_at(step: int, peak: float, warmup: int, total: int, start: float, final: float) -> float:
    """Return the rate of step 0, 1, ...: linear from ``start`` x peak in ``warmup`` steps, then cosine to ``final``."""
    if step < warmup:
        return peak * (start + (1 - start) * step / warmup)
    progress = (step - warmup) / max(total - warmup, 1)
    return final + (peak - final) * (1 + math.cos(math.pi * min(progress, 1.0))) / 2


def set_lr(optimizer: Optimizer, step: int, warmup: int, total: int, start: float, final: float) -> float:
    """Set every group's rate for ``step``; return the first group's."""
    for group in optimizer.param_groups:
        group["lr"] = lr_at(step, group["peak"], warmup, total, start, final)
    return float(optimizer.param_groups[0]["lr"])
