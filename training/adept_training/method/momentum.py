"""The target network's momentum and its update (BYOL's moving average)."""

from __future__ import annotations

import math

import torch

from adept_training.method.networks import PartsNetwork

#: A run of fewer steps has a bound on its momentum, if the recipe has ``momentum_bound: run``.
SHORT_RUN = 5000
#: Time constants of the moving average in a bounded run: exp(-20) of the start remains at its end.
_TIME_CONSTANTS = 20


def momentum_at(step: int, steps: int, base: float) -> float:
    """Return SoCo's momentum: from ``base`` to 1 along half a cosine; step 0 is the first update."""
    return 1 - (1 - base) * (math.cos(math.pi * step / steps) + 1) / 2


def run_momentum(steps: float) -> float:
    """Return the constant momentum of a short run of ``steps`` steps, after which exp(-20) of the start is left."""
    return max(0.0, 1 - _TIME_CONSTANTS / steps)


@torch.no_grad()
def update_target(target: PartsNetwork, online: PartsNetwork, momentum: float) -> None:
    """Set target = momentum x target + (1 - momentum) x online, parameters only, in one call over all tensors.

    Frozen parameters, which both networks share, are left alone.
    """
    theirs = dict(online.named_parameters())
    pairs = [(mine, theirs[name]) for name, mine in target.named_parameters() if mine is not theirs[name]]
    torch._foreach_lerp_([mine for mine, _ in pairs], [other for _, other in pairs], 1 - momentum)
