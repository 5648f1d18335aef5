"""How many directions the RoI head's features of different boxes still differ in: a collapse that no loss shows.

The projector's norms hide it. Weights of ours, whose spread was 0.80 and whose loss fell as it should, had features of
rank 3 on 512 dimensions where random ones have 128, and fine-tuned worse than random ones.

Legend: N images, M boxes, B boxes of all images, D dimensions.
"""

from __future__ import annotations

import torch
from torch import Tensor

from adept_hub.models.parts import DetectorParts
from adept_hub.spec import Preprocessing
from adept_training.engine.probe import HeldOut, normalised
from adept_training.method.levels import assign_levels, pool_assigned

_BATCH = 25


@torch.no_grad()
def head_rank(parts: DetectorParts, held: HeldOut, preprocessing: Preprocessing) -> float:
    """`effective_rank` of the head's features of all boxes of the held-out photographs.

    Args:
        parts: with norms that use running statistics here; every mode is put back.
    """
    modes = [(module, module.training) for module in parts.modules()]
    parts.eval()
    device, features = next(parts.parameters()).device, []
    try:
        for first in range(0, len(held.pixels_NHWC), _BATCH):
            images = normalised(held.pixels_NHWC[first : first + _BATCH].to(device), preprocessing)
            feats = parts.pyramid(images)
            for at, boxes_M4 in enumerate(held.boxes_M4[first : first + _BATCH]):
                boxes_1M4 = boxes_M4.to(device)[None]
                levels_1M = assign_levels(boxes_1M4, parts.spec.levels)
                pooled = pool_assigned([f[at : at + 1] for f in feats], boxes_1M4, levels_1M, images.shape[-1])
                features.append(parts.head_features(pooled).float())
    finally:
        for module, mode in modes:
            module.training = mode
    return effective_rank(torch.cat(features))


def effective_rank(features_BD: Tensor) -> float:
    """exp(entropy) of the variance's shares along the principal axes (Roy and Vetterli, EUSIPCO 2007).

    n directions of equal variance give n; features that are all the same give 0.
    """
    centred_BD = features_BD.double() - features_BD.double().mean(dim=0)
    variance_D = torch.linalg.svdvals(centred_BD) ** 2
    if float(variance_D.sum()) == 0:
        return 0.0
    share_D = variance_D / variance_D.sum()
    return float(torch.special.entr(share_D).sum().exp())
