"""The object-level pair loss (ADePT Eq. 6-7; SoCo, ``regression_loss_bboxs_aware``).

Legend: N images, P and Q entries per image (boxes, or boxes times levels), D dimensions.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from adept_training.method.precision import full


def correspondence(ids_NP: Tensor, ids_NQ: Tensor) -> Tensor:
    """Return float32 (N, P, Q): 1 if two entries are the same box. Negative ids match nothing."""
    same = (ids_NP[:, :, None] == ids_NQ[:, None, :]) & (ids_NP[:, :, None] >= 0)
    return same.float()


def pair_loss(prediction_NPD: Tensor, target_NQD: Tensor, match_NPQ: Tensor) -> Tensor:
    """Return -2 x the mean cosine of the matched pairs of each image, averaged over images.

    An image without a pair adds zero and still counts. With the prediction as target the optimum is -2; the four
    directions of three views add to -8. No gradient reaches the target.
    """
    prediction = F.normalize(full(prediction_NPD), dim=-1)
    target = F.normalize(full(target_NQD.detach()), dim=-1)
    cosine_NPQ = torch.bmm(prediction, target.transpose(1, 2))
    cosine_N = (cosine_NPQ * match_NPQ).sum(dim=(1, 2)) / (match_NPQ.sum(dim=(1, 2)) + 1e-6)
    return -2 * cosine_N.mean()


def feature_spread(feature_BD: Tensor) -> Tensor:
    """Return the standard deviation of unit features over a batch, averaged over D; isotropic features give 1.

    Near zero, every box has the same feature: the network has collapsed.
    """
    unit = F.normalize(full(feature_BD.detach()), dim=-1)
    spread: Tensor = unit.std(dim=0).mean() * float(unit.shape[1]) ** 0.5
    return spread


@torch.no_grad()
def retrieval(prediction_NPD: Tensor, target_NQD: Tensor) -> Tensor:
    """Return the share of images whose first box, predicted in one view, is nearest to itself in the other view.

    The mean over all boxes is subtracted first. Chance is 1 / N; unlike the loss it cannot be good in a collapse.
    """
    prediction, target = (_centered(x[:, 0]) for x in (prediction_NPD, target_NQD))
    nearest_N = (prediction @ target.T).argmax(dim=1)
    return (nearest_N == torch.arange(len(nearest_N), device=nearest_N.device)).float().mean()


def _centered(vectors_ND: Tensor) -> Tensor:
    unit = F.normalize(full(vectors_ND), dim=-1)
    return F.normalize(unit - unit.mean(dim=0), dim=-1)
