"""Computations that must not run in half precision."""

from __future__ import annotations

import torch
from torch import Tensor


def full(x: Tensor) -> Tensor:
    """Cast ``x`` to float32, unless it is float64: losses and RoIAlign are never computed in half precision."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
