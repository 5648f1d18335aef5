"""What must not be computed in half precision."""

from __future__ import annotations

import torch
from torch import Tensor


def full(x: Tensor) -> Tensor:
    """``x`` in float32, or in float64 if it is already: losses and RoIAlign are never taken in half precision."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
