"""Effective rank of the RoI head's features of different boxes, which shows a collapse that no loss shows.

The projector's norms hide it: in one run the spread was 0.80 and the loss fell as it should, but the features had rank
3 in 512 dimensions and fine-tuned worse than random ones.

Norms use statistics measured on the same images. The running statistics of an untrained network are 0 and 1, with
which its features lie in few directions, although those of the same weights do not in training. A start measured with
them would look like a collapse, and a collapsed end like no loss.

Legend: N images, M boxes, B boxes of all images, D dimensions.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from adept_hub.models.parts import DetectorParts
from adept_hub.spec import Preprocessing
from adept_training.method.levels import assign_levels, pool_assigned
from adept_training.pretraining.watch.probe import HeldOut, normalized

_BATCH = 25


@torch.no_grad()
def head_rank(parts: DetectorParts, held: HeldOut, preprocessing: Preprocessing) -> float:
    """Compute `effective_rank` of `head_features`."""
    return effective_rank(head_features(parts, held, preprocessing))


@torch.no_grad()
def head_features(parts: DetectorParts, held: HeldOut, preprocessing: Preprocessing) -> Tensor:
    """Compute the head's features of all boxes of the held-out images, float32 (B, D).

    Args:
        parts: their norms use statistics of these images; every mode and buffer is restored.
    """
    modes = [(module, module.training) for module in parts.modules()]
    norms = [module for module in parts.modules() if isinstance(module, _BatchNorm)]
    saved = [tuple(tensor.clone() for tensor in _statistics(norm)) for norm in norms]
    parts.eval()
    try:
        _measure(norms, lambda: _features(parts, held, preprocessing))
        return _features(parts, held, preprocessing)
    finally:
        for norm, (mean, variance) in zip(norms, saved, strict=True):
            _set_statistics(norm, mean, variance)
        for module, mode in modes:
            module.training = mode


def _features(parts: DetectorParts, held: HeldOut, preprocessing: Preprocessing) -> Tensor:
    """Return float32 (B, D) of all boxes, each pooled from its own level."""
    device, features = next(parts.parameters()).device, []
    for first in range(0, len(held.pixels_NHWC), _BATCH):
        images = normalized(held.pixels_NHWC[first : first + _BATCH].to(device), preprocessing)
        feats, pooled = parts.pyramid(images), []
        for at, boxes_M4 in enumerate(held.boxes_M4[first : first + _BATCH]):
            boxes_1M4 = boxes_M4.to(device)[None]
            levels_1M = assign_levels(boxes_1M4, parts.spec.levels)
            pooled.append(pool_assigned([f[at : at + 1] for f in feats], boxes_1M4, levels_1M, images.shape[-1]))
        features.append(parts.head_features(torch.cat(pooled)).float())
    return torch.cat(features)


def _measure(norms: list[_BatchNorm], show: Callable[[], object]) -> None:
    """Set the statistics of norms to those of the forward passes in ``show``.

    Meanwhile each batch is normalized by its own, as in training. The norms stay in evaluation mode: in training mode
    those of several processes would wait for each other, and only the first process runs this.
    """
    sums = {norm: torch.zeros(3, norm.num_features, dtype=torch.float64) for norm in norms}

    def see(norm: nn.Module, inputs: tuple[Tensor]) -> None:
        assert isinstance(norm, _BatchNorm)
        x = inputs[0].transpose(0, 1).flatten(1).double()
        sums[norm] += torch.stack([torch.full_like(x[:, 0], x.shape[1]), x.sum(dim=1), x.square().sum(dim=1)]).cpu()
        _set_statistics(norm, x.mean(dim=1), x.var(dim=1, correction=0))

    handles = [norm.register_forward_pre_hook(see) for norm in norms]
    try:
        show()
    finally:
        for handle in handles:
            handle.remove()
    for norm, (count, total, squares) in sums.items():
        mean = total / count
        _set_statistics(norm, mean, squares / count - mean.square())


def _statistics(norm: _BatchNorm) -> tuple[Tensor, Tensor]:
    assert norm.running_mean is not None
    assert norm.running_var is not None
    return norm.running_mean, norm.running_var


def _set_statistics(norm: _BatchNorm, mean: Tensor, variance: Tensor) -> None:
    own_mean, own_variance = _statistics(norm)
    own_mean.copy_(mean)
    own_variance.copy_(variance)


def effective_rank(features_BD: Tensor) -> float:
    """Return exp(entropy) of the variance's shares along the principal axes (Roy and Vetterli, EUSIPCO 2007).

    n directions of equal variance give n; identical features give 0.
    """
    centered_BD = features_BD.double() - features_BD.double().mean(dim=0)
    variance_D = torch.linalg.svdvals(centered_BD) ** 2
    if float(variance_D.sum()) == 0:
        return 0.0
    share_D = variance_D / variance_D.sum()
    return float(torch.special.entr(share_D).sum().exp())
