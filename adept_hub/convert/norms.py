"""Norm variants: batch norms as they are, frozen, or folded exactly into the convolution before them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

import torch
from torch import Tensor

from adept_hub.models.contract import part_of

#: SyncBN and BN share one state; FrozenBN has no batch counter; "none" has FrozenBN in the backbone (no framework's
#: ResNet has convolutions with biases) and folded norms in the FPN and the RoI head.
Norm = Literal["SyncBN", "BN", "FrozenBN", "none"]
NORMS: tuple[Norm, ...] = ("SyncBN", "BN", "FrozenBN", "none")

#: Of torch's BatchNorm2d and of every framework here.
EPS = 1e-5
_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


def with_norm(tensors: Mapping[str, Tensor], norm: Norm) -> dict[str, Tensor]:
    """Canonical tensors as a model with this kind of norm holds them."""
    if norm in ("SyncBN", "BN"):
        return dict(tensors)
    if norm == "FrozenBN":
        return without_counters(tensors)
    return fold_norms(without_counters(tensors, ("backbone",)), ("fpn", "head"))


def without_counters(
    tensors: Mapping[str, Tensor], parts: Iterable[str] = ("backbone", "fpn", "head")
) -> dict[str, Tensor]:
    """The tensors of frozen norms: ``num_batches_tracked`` of ``parts`` is left out."""
    chosen = set(parts)
    return {k: t for k, t in tensors.items() if not (k.endswith(".num_batches_tracked") and part_of(k) in chosen)}


def fold_norms(tensors: Mapping[str, Tensor], parts: Iterable[str]) -> dict[str, Tensor]:
    """Fold every norm of ``parts`` (fpn, head) into the weight and a new bias of the convolution before it.

    In evaluation mode BN(conv(x)) = conv(x) * s + (beta - mean * s) with s = gamma / sqrt(var + eps), so that the
    folded convolution has weight * s and bias beta - mean * s. Computed in float64, returned in the weight's dtype.
    """
    chosen = set(parts)
    folded = dict(tensors)
    for key in tensors:
        if not key.endswith(".running_mean") or part_of(key) not in chosen:
            continue
        norm = key.removesuffix(".running_mean")
        conv = f"{norm.removesuffix('.1')}.0"  # torchvision's Conv2dNormActivation: 0 is the conv, 1 its norm
        gamma, beta = (folded.pop(f"{norm}.{leaf}").double() for leaf in ("weight", "bias"))
        mean, var = (folded.pop(f"{norm}.{leaf}").double() for leaf in _STATISTICS[:2])
        folded.pop(f"{norm}.num_batches_tracked", None)
        weight = folded[f"{conv}.weight"]
        scale = gamma / torch.sqrt(var + EPS)
        folded[f"{conv}.weight"] = (weight.double() * scale[:, None, None, None]).to(weight.dtype)
        folded[f"{conv}.bias"] = (beta - mean * scale).to(weight.dtype)
    return folded
