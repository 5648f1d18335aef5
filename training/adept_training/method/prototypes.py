"""Swapped prediction of prototypes over boxes (SwAV, Caron et al. 2020): the prototypes of a box in another view.

Legend: N images, P and Q entries per image, M keys of all processes and of a queue, C prototypes, D dimensions.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from adept_training.method.contrast import correspondence
from adept_training.method.infonce import Entries, Past, gather, rank
from adept_training.method.precision import full

_ROUNDS = 3


def swapped_prediction(
    queries: Entries,
    keys: Entries,
    prototypes_CD: Tensor,
    temperature: float,
    epsilon: float,
    past: Past | None = None,
) -> Tensor:
    """Return 2 t x the mean cross-entropy of each query's prototypes with those assigned to the same box by the target.

    The assignment is balanced over the boxes of all processes by `sinkhorn`. As in `pair_loss`, pairs of the same box
    are averaged within each image and then over images, of which one without a pair adds zero and still counts.

    Args:
        queries: predictions of this process.
        keys: the target's, of this process; no gradient reaches them. Negative ids match nothing and are not assigned.
        prototypes_CD: of any length; their directions count, which are trained through the queries.
        temperature: t, by which cosines are divided.
        epsilon: smoothness of the assignment.
        past: further boxes to balance with, alike on all processes.
    """
    with torch.autocast(queries.vectors_NPD.device.type, enabled=False):
        directions_CD = F.normalize(full(prototypes_CD), dim=1)
        query_NPD, key_NQD = (F.normalize(full(x.vectors_NPD), dim=-1) for x in (queries, keys))
        code_NQC = _codes(key_NQD, keys.ids_NP, directions_CD, epsilon, past)
        log_NPC = F.log_softmax(query_NPD @ directions_CD.T / temperature, dim=-1)
        match_NPQ = correspondence(queries.ids_NP, keys.ids_NP).to(log_NPC.dtype)
        entropy_NPQ = -log_NPC @ code_NQC.transpose(1, 2)
        loss_N = (entropy_NPQ * match_NPQ).sum(dim=(1, 2)) / (match_NPQ.sum(dim=(1, 2)) + 1e-6)
        return 2 * temperature * loss_N.mean()


def sinkhorn(cosine_MC: Tensor, valid_M: Tensor, epsilon: float) -> Tensor:
    """Return each box's shares (M, C) of the prototypes, such that all prototypes have about as much (SwAV's code).

    Three rounds of Sinkhorn and Knopp: every prototype, then every box. Rows that are not valid are zero.
    """
    # Minus 1 keeps the exponential finite and cancels out.
    share_MC = torch.exp((cosine_MC - 1) / epsilon) * valid_M[:, None]
    tiny = torch.finfo(share_MC.dtype).tiny
    for _ in range(_ROUNDS):
        share_MC = share_MC / share_MC.sum(dim=0).clamp(min=tiny)
        share_MC = share_MC / share_MC.sum(dim=1, keepdim=True).clamp(min=tiny)
    return share_MC


@torch.no_grad()
def _codes(key_NQD: Tensor, ids_NQ: Tensor, directions_CD: Tensor, epsilon: float, past: Past | None) -> Tensor:
    """Return the assignment of this process's keys, (N, Q, C)."""
    own_RD, valid_R = key_NQD.flatten(0, 1), ids_NQ.flatten() >= 0
    vectors, valid = [gather(own_RD)], [gather(valid_R)]
    if past is not None:
        vectors.append(past.vectors_QD.to(own_RD.dtype))
        valid.append(past.image_Q >= 0)
    share_MC = sinkhorn(torch.cat(vectors) @ directions_CD.T, torch.cat(valid), epsilon)
    first = rank() * len(own_RD)
    return share_MC[first : first + len(own_RD)].reshape(*ids_NQ.shape, -1)
