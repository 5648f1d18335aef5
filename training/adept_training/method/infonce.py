"""InfoNCE over boxes (van den Oord et al. 2018; MoCo v3's form of it): each box against the boxes of other images.

Legend: N images, P and Q entries per image, R = N P queries, M keys of all processes, D dimensions.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn import functional as F
from torchvision.ops import box_iou

from adept_training.method.precision import full

#: Boxes of one image are each other's negatives below this IoU.
APART = 0.1
#: Stands for minus infinity, whose differences are not numbers.
_NEVER = -1e30
#: Id of every entry of a queue, which no box has: they are nobody's positives.
_PAST = 1 << 60


class Entries(NamedTuple):
    """Embeddings of boxes in one view.

    Attributes:
        vectors_NPD: embeddings.
        ids_NP: int64 ids within the image; negative ones match nothing and do not count as negatives.
        image_N: int64, the same number for the same image on all processes.
        boxes_NP4: xyxy as shares of the image, as visible in the view; None where no image's own boxes are negatives.
    """

    vectors_NPD: Tensor
    ids_NP: Tensor
    image_N: Tensor
    boxes_NP4: Tensor | None = None


class Past(NamedTuple):
    """Unit embeddings of past steps and the numbers of their images; -1: empty."""

    vectors_QD: Tensor
    image_Q: Tensor


class Queue(nn.Module):
    """The newest ``size`` embeddings of the target in each view. Its buffers are part of the training state."""

    vectors_VQD: Tensor
    image_VQ: Tensor

    def __init__(self, size: int, width: int, views: int = 3) -> None:
        super().__init__()
        self.register_buffer("vectors_VQD", torch.zeros(views, size, width))
        self.register_buffer("image_VQ", torch.full((views, size), -1))

    def past(self, view: int) -> Past:
        """Return what is kept of a view."""
        return Past(self.vectors_VQD[view], self.image_VQ[view])

    @torch.no_grad()
    def push(self, keys: Entries, view: int) -> None:
        """Add the embeddings of all processes, except those with negative ids, in place of the oldest."""
        flat = _gathered(_flat(keys._replace(boxes_NP4=None)))
        image_M = torch.cat([flat.image_M.masked_fill(flat.ids_M < 0, -1), self.image_VQ[view]])
        vectors_MD = torch.cat([flat.vectors_MD.to(self.vectors_VQD.dtype), self.vectors_VQD[view]])
        # The newest first, what is empty last.
        rows = torch.argsort((image_M < 0).to(torch.uint8), stable=True)[: self.image_VQ.shape[1]]
        self.image_VQ[view] = image_M[rows]
        self.vectors_VQD[view] = vectors_MD[rows]


class _Flat(NamedTuple):
    vectors_MD: Tensor
    ids_M: Tensor
    image_M: Tensor
    boxes_M4: Tensor | None


def infonce(
    queries: Entries, keys: Entries, temperature: float, *, drop: float = 0.0, past: Past | None = None
) -> Tensor:  # fmt: skip
    """Return 2 t x the mean cross-entropy of each query's positives against its negatives.

    A positive is a key of the same id in the same image; each is contrasted with all negatives of the query alone, so
    that duplicates of a box do not compete. As in `pair_loss`, pairs are averaged within each image and then over
    images, of which one without a pair adds zero and still counts. Keys are gathered from all processes, whose
    gradients average to that of the whole batch. The factor is MoCo v3's: the gradient for a cosine is then that of
    `pair_loss`, times the probability of the negatives.

    Args:
        queries: predictions of this process.
        keys: the target's, of this process; no gradient reaches them.
        temperature: t, by which cosines are divided.
        drop: share of the negatives of each query, rounded down, that are left out: the most similar ones.
        past: further negatives, alike on all processes.
    """
    count = len(queries.vectors_NPD)
    with torch.autocast(queries.vectors_NPD.device.type, enabled=False):
        query, key = _flat(queries), _gathered(_flat(keys))
        if past is not None:
            key = _joined(key, past)
        logits_RM = query.vectors_MD @ key.vectors_MD.detach().T / temperature
        same_image_RM = query.image_M[:, None] == key.image_M
        valid_RM = (query.ids_M[:, None] >= 0) & (key.ids_M >= 0)
        positive_RM = valid_RM & same_image_RM & (query.ids_M[:, None] == key.ids_M)
        negative_RM = valid_RM & ~same_image_RM
        if query.boxes_M4 is not None and key.boxes_M4 is not None:
            apart_RM = (box_iou(query.boxes_M4, key.boxes_M4) < APART) & (key.ids_M != _PAST)
            negative_RM |= valid_RM & same_image_RM & apart_RM & ~positive_RM
        if drop:
            negative_RM &= ~_most_similar(logits_RM.detach(), negative_RM, drop)
        against_R = logits_RM.masked_fill(~negative_RM, _NEVER).logsumexp(dim=1)
        # -log(e^positive / (e^positive + sum of e^negative))
        loss_RM = F.softplus(against_R[:, None] - logits_RM) * positive_RM
        pairs_N = positive_RM.reshape(count, -1).sum(dim=1)
        loss_N = loss_RM.reshape(count, -1).sum(dim=1) / (pairs_N + 1e-6)
        return 2 * temperature * loss_N.mean()


def _most_similar(logits_RM: Tensor, negative_RM: Tensor, share: float) -> Tensor:
    """Return which entries are among the largest ``share`` of the negatives of their row."""
    most = int(share * logits_RM.shape[1])
    if most == 0:
        return torch.zeros_like(negative_RM)
    top = logits_RM.masked_fill(~negative_RM, _NEVER).topk(most, dim=1).indices
    count_R1 = (negative_RM.sum(dim=1, keepdim=True) * share).floor()
    within = torch.arange(most, device=top.device) < count_R1
    return torch.zeros_like(negative_RM).scatter(1, top, within)


def share_of_image(boxes_NK4: Tensor, window_N5: Tensor, view: int) -> Tensor:
    """Map boxes in pixels of a view with ``view`` pixels per side to shares of the image, xyxy.

    Args:
        boxes_NK4: xyxy.
        window_N5: the view's, as in `Batch.windows_N35`.
        view: side of the view in pixels.
    """
    x1, y1, x2, y2 = (boxes_NK4 / view).unbind(dim=2)
    flip_N1 = window_N5[:, 4:] > 0.5
    left, right = torch.where(flip_N1, 1 - x2, x1), torch.where(flip_N1, 1 - x1, x2)
    corner_N12, span_N12 = window_N5[:, None, :2], window_N5[:, None, 2:4]
    boxes_NK22 = torch.stack([torch.stack([left, y1], dim=2), torch.stack([right, y2], dim=2)], dim=2)
    return (boxes_NK22 * span_N12[:, :, None] + corner_N12[:, :, None]).flatten(2)


def _joined(key: _Flat, past: Past) -> _Flat:
    ids_Q = torch.where(past.image_Q >= 0, _PAST, -1)
    boxes_M4 = key.boxes_M4
    if boxes_M4 is not None:
        boxes_M4 = torch.cat([boxes_M4, boxes_M4.new_zeros(len(ids_Q), 4)])
    vectors_MD = torch.cat([key.vectors_MD, past.vectors_QD.to(key.vectors_MD.dtype)])
    return _Flat(vectors_MD, torch.cat([key.ids_M, ids_Q]), torch.cat([key.image_M, past.image_Q]), boxes_M4)


def _flat(entries: Entries) -> _Flat:
    vectors_RD = F.normalize(full(entries.vectors_NPD), dim=-1).flatten(0, 1)
    image_R = entries.image_N[:, None].expand_as(entries.ids_NP).flatten()
    boxes_R4 = None if entries.boxes_NP4 is None else full(entries.boxes_NP4).flatten(0, 1)
    return _Flat(vectors_RD, entries.ids_NP.flatten(), image_R, boxes_R4)


@torch.no_grad()
def _gathered(flat: _Flat) -> _Flat:
    boxes_M4 = None if flat.boxes_M4 is None else gather(flat.boxes_M4)
    return _Flat(gather(flat.vectors_MD), gather(flat.ids_M), gather(flat.image_M), boxes_M4)


def gather(local: Tensor) -> Tensor:
    """Concatenate the tensors of all processes, which are of one shape, in their order; without gradients."""
    if not _several():
        return local
    parts = [torch.empty_like(local) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, local.detach().contiguous())
    return torch.cat(parts)


def rank() -> int:
    """Return this process's place among those that `gather` concatenates."""
    return dist.get_rank() if _several() else 0


def _several() -> bool:
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1
