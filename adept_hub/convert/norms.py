"""Norm variants: trainable batch norms, frozen ones, or none, folded exactly into the preceding convolutions."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import torch
from torch import Tensor

from adept_hub.convert.options import Norm
from adept_hub.models.contract import part_of

#: Epsilon of torch's BatchNorm2d and of every framework's norms here.
EPS = 1e-5
NORMED_PARTS = ("backbone", "fpn", "head")


def with_norm(tensors: Mapping[str, Tensor], norm: Norm, counted: Collection[str] = ()) -> dict[str, Tensor]:
    """Return the canonical tensors of a model with this kind of norm; a part without norms stays so.

    The frozen norms of the parts ``counted`` have batch counters: MMDetection's backbone freezes ordinary BatchNorm
    modules.
    """
    tensors = with_counters(tensors, counted)
    if norm in ("SyncBN", "BN"):
        return dict(tensors)
    if norm == "FrozenBN":
        return without_counters(tensors, [part for part in NORMED_PARTS if part not in counted])
    return fold_into_convs(without_counters(tensors, [p for p in ("backbone",) if p not in counted]), ("fpn", "head"))


def without_counters(tensors: Mapping[str, Tensor], parts: Iterable[str]) -> dict[str, Tensor]:
    """Drop ``num_batches_tracked`` of ``parts``, which frozen norms do not have."""
    frozen = set(parts)
    return {k: t for k, t in tensors.items() if not (k.endswith(".num_batches_tracked") and part_of(k) in frozen)}


def with_counters(tensors: Mapping[str, Tensor], parts: Iterable[str] = NORMED_PARTS) -> dict[str, Tensor]:
    """Add zero counters to the norms of ``parts`` without any (they were frozen); other parts are unchanged."""
    counted = dict(tensors)
    for part in parts:
        keys = [key for key in tensors if part_of(key) == part]
        if any(key.endswith(".num_batches_tracked") for key in keys):
            continue
        norms = [key.removesuffix(".running_var") for key in keys if key.endswith(".running_var")]
        counted |= {f"{norm}.num_batches_tracked": torch.tensor(0) for norm in norms}
    return counted


def fold_into_convs(tensors: Mapping[str, Tensor], parts: Iterable[str]) -> dict[str, Tensor]:
    """Fold every norm of ``parts`` (fpn, head) into the weight and a new bias of the preceding convolution.

    In evaluation mode BN(conv(x)) = conv(x) * s + (beta - mean * s) with s = gamma / sqrt(var + eps), so that the
    folded convolution has weight * s and bias beta - mean * s. Computed in float64, returned in the weight's dtype.
    """
    selected = set(parts)
    folded = dict(tensors)
    for key in tensors:
        if not key.endswith(".running_mean") or part_of(key) not in selected:
            continue
        norm = key.removesuffix(".running_mean")
        conv = f"{norm.removesuffix('.1')}.0"  # torchvision's Conv2dNormActivation: 0 is the conv, 1 its norm
        leaves = ("weight", "bias", "running_mean", "running_var")
        gamma, beta, mean, var = (folded.pop(f"{norm}.{leaf}").double() for leaf in leaves)
        folded.pop(f"{norm}.num_batches_tracked", None)
        weight = folded[f"{conv}.weight"]
        scale = gamma / torch.sqrt(var + EPS)
        folded[f"{conv}.weight"] = (weight.double() * scale[:, None, None, None]).to(weight.dtype)
        folded[f"{conv}.bias"] = (beta - mean * scale).to(weight.dtype)
    return folded


def with_identity_norms(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Add identity norms to an FPN or head without norms: the inverse of `fold_into_convs`.

    The convolution's bias becomes the norm's; mean 0, variance 1 and gain sqrt(1 + eps) leave the output unchanged.
    This is exact in evaluation mode; in training mode the norm uses batch statistics, unlike the original model.
    """
    normed = dict(tensors)
    for part in ("fpn", "head"):
        if any(part_of(key) == part and key.endswith(".running_mean") for key in tensors):
            continue
        for key in [k for k in tensors if part_of(k) == part and k.endswith(".0.bias")]:
            bias = normed.pop(key)
            norm = f"{key.removesuffix('.0.bias')}.1"
            normed |= {
                f"{norm}.weight": torch.full_like(bias, (1 + EPS) ** 0.5),
                f"{norm}.bias": bias,
                f"{norm}.running_mean": torch.zeros_like(bias),
                f"{norm}.running_var": torch.ones_like(bias),
            }
    return normed
