"""Small constant tensors, made once: creating one from Python numbers waits for a GPU every time."""

from __future__ import annotations

import functools

import torch
from torch import Tensor


def constant(values: tuple[float, ...], like: Tensor) -> Tensor:
    """Return ``values`` as a tensor of the dtype and device of ``like``. It is shared: do not write to it."""
    return _made(values, like.dtype, like.device)


@functools.lru_cache(maxsize=256)
def _made(values: tuple[float, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    with torch.inference_mode(False):
        return torch.tensor(values, dtype=dtype, device=device)
