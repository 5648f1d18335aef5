"""The RPN's loss against selective-search boxes (ADePT Eq. 1; Faster R-CNN 3.1.2), for a whole batch at once.

Legend: N images, K boxes per image, A anchors of all levels together, L levels, C channels.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Annotated, Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.models.detection._utils import BoxCoder
from torchvision.ops import box_iou

from adept_hub.io.schema import Range
from adept_hub.models.anchors import ExactAnchorGenerator
from adept_hub.models.parts import STRIDES
from adept_hub.spec import AnchorSpec
from adept_training.method.precision import full

Share = Annotated[float, Range(0.0, 1.0)]

POSITIVE, NEGATIVE, IGNORED = 1, 0, -1


@dataclass(frozen=True)
class RPNRecipe:
    """Eq. 1 and what the paper leaves open (Detectron2's values)."""

    #: Weight of L_RPN in the sum.
    weight: Annotated[float, Range(0.0, 1e6)] = 1.0
    #: Views on which the RPN learns. V1 alone is the plain reading of the paper.
    views: Literal["v1", "all"] = "v1"
    #: An anchor is positive at this IoU with a box, or as the best of a box.
    positive_iou: Share = 0.7
    #: An anchor below this IoU with every box is negative.
    negative_iou: Share = 0.3
    #: A negative anchor at this IoU with a box that is not a target is ignored (see ``views.other_boxes``); null:
    #: ``positive_iou``.
    other_iou: Share | None = None
    #: Anchors sampled per image.
    batch_per_image: Annotated[int, Range(1, 100_000)] = 256
    #: Largest share of positives among the sampled anchors.
    positive_fraction: Share = 0.5
    #: Where the box loss turns from quadratic to linear.
    smooth_l1_beta: Annotated[float, Range(0.0, 1e3)] = 1 / 9
    #: Boxes with a shorter side (pixels of the view) are not targets.
    min_box_size: Annotated[float, Range(0.0, 1e5)] = 0.0
    #: Table 4's "det+RPN": L_RPN also trains FPN and backbone. The paper's method keeps it out.
    reaches_backbone: bool = False


class RPNLoss(NamedTuple):
    """The two terms of Eq. 1, already divided, the positive anchors per level (per image), and an ignored share.

    ``ignored`` is the share of all anchors that would be negative, but overlap a box that is no target.
    """

    objectness: Tensor
    box: Tensor
    positives_L: Tensor
    ignored: Tensor


def make_anchors(anchors: AnchorSpec, feats_LNCHW: list[Tensor]) -> list[Tensor]:
    """Return anchors (H * W * ratios, 4) per level, float32 xyxy in pixels of the view, on the device of the maps."""
    sides = tuple((feat.shape[-2], feat.shape[-1]) for feat in feats_LNCHW)
    return list(_grid(anchors, sides, feats_LNCHW[0].device))


@functools.lru_cache(maxsize=16)
def _grid(anchors: AnchorSpec, sides: tuple[tuple[int, int], ...], device: torch.device) -> tuple[Tensor, ...]:
    with torch.inference_mode(False):
        generator = ExactAnchorGenerator(anchors.sizes, anchors.ratios, STRIDES)
        generator.set_cell_anchors(torch.float32, device)
        return tuple(generator.grid_anchors([list(side) for side in sides], []))


def flatten_outputs(logits_LNAHW: list[Tensor], deltas_LNAHW: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Return logits (N, A) and deltas (N, A, 4) in the order of the anchors: levels, rows, columns, ratios."""
    logits = [x.permute(0, 2, 3, 1).flatten(1) for x in logits_LNAHW]
    deltas = [x.permute(0, 2, 3, 1).reshape(len(x), -1, 4) for x in deltas_LNAHW]
    return full(torch.cat(logits, dim=1)), full(torch.cat(deltas, dim=1))


def valid_targets(boxes_NK4: Tensor, valid_NK: Tensor, recipe: RPNRecipe) -> Tensor:
    """Return a mask (N, K) of the targets: valid boxes with an area and no side below ``min_box_size``."""
    side_NK = (boxes_NK4[..., 2:] - boxes_NK4[..., :2]).amin(dim=-1)
    return valid_NK & (side_NK > 0) & (side_NK >= recipe.min_box_size)


def label_anchors(
    anchors_A4: Tensor,
    boxes_NK4: Tensor,
    valid_NK: Tensor,
    recipe: RPNRecipe,
    others: tuple[Tensor, Tensor] | None = None,
) -> tuple[Tensor, Tensor]:
    """Compute labels (N, A) int8 and the index (N, A) of the box of largest overlap.

    Positive: an anchor of largest overlap with some box (all of them on a tie), or one above ``positive_iou``.
    Negative: below ``negative_iou`` to every box. The rest, and every anchor of an image without a valid box, is
    ignored: such an image does not define background.

    Args:
        others: boxes (N, M, 4) and validity (N, M) that are not targets; negatives that overlap one by ``other_iou``
            are ignored.
    """
    label_NA, index_NA, _ = _label_anchors(anchors_A4, boxes_NK4, valid_NK, recipe, others)
    return label_NA, index_NA


def _label_anchors(
    anchors_A4: Tensor,
    boxes_NK4: Tensor,
    valid_NK: Tensor,
    recipe: RPNRecipe,
    others: tuple[Tensor, Tensor] | None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Compute labels and indices as `label_anchors`, and the share of anchors that only ``others`` keep from being
    negative.
    """
    overlap_NKA = _overlaps(anchors_A4, boxes_NK4, valid_NK)
    best_NA, index_NA = overlap_NKA.max(dim=1)
    top_NK1 = overlap_NKA.amax(dim=2, keepdim=True)
    closest_NA = ((overlap_NKA == top_NK1) & (top_NK1 > 0)).any(dim=1)
    label_NA = torch.full_like(best_NA, IGNORED, dtype=torch.int8)
    label_NA.masked_fill_(best_NA < recipe.negative_iou, NEGATIVE)
    other_NA = torch.zeros_like(closest_NA)
    if others is not None:
        least = recipe.positive_iou if recipe.other_iou is None else recipe.other_iou
        other_NA = _best_overlap(anchors_A4, *others) >= least
    positive_NA, some_N1 = closest_NA | (best_NA >= recipe.positive_iou), valid_NK.any(dim=1, keepdim=True)
    ignored = (other_NA & (label_NA == NEGATIVE) & ~positive_NA & some_N1).float().mean()
    label_NA.masked_fill_(other_NA, IGNORED)
    label_NA.masked_fill_(positive_NA, POSITIVE)
    label_NA.masked_fill_(~some_N1, IGNORED)
    return label_NA, index_NA, ignored


def _overlaps(anchors_A4: Tensor, boxes_NK4: Tensor, valid_NK: Tensor) -> Tensor:
    """Compute IoU (N, K, A), -1 for boxes that do not count."""
    overlap_NKA = box_iou(boxes_NK4.reshape(-1, 4), anchors_A4).reshape(*valid_NK.shape, -1)
    masked: Tensor = overlap_NKA.masked_fill(~valid_NK[..., None], -1.0)
    return masked


def _best_overlap(anchors_A4: Tensor, boxes_NK4: Tensor, valid_NK: Tensor) -> Tensor:
    """Compute each anchor's largest IoU (N, A) with the boxes that count, -1 if none does."""
    if anchors_A4.device.type != "cpu":
        return _overlaps(anchors_A4, boxes_NK4, valid_NK).amax(dim=1)
    # A hundred boxes with every anchor of a batch do not fit into a processor's cache; those of one image do.
    best_NA = anchors_A4.new_full((len(boxes_NK4), len(anchors_A4)), -1.0, dtype=boxes_NK4.dtype)
    for best_A, boxes_K4, valid_K in zip(best_NA, boxes_NK4, valid_NK, strict=True):
        if valid_K.any():
            best_A.copy_(box_iou(boxes_K4[valid_K], anchors_A4).amax(dim=0))
    return best_NA


def sample_anchors(label_NA: Tensor, seed_N: Tensor, recipe: RPNRecipe) -> tuple[Tensor, Tensor]:
    """Sample masks (N, A) of positives and negatives: ``batch_per_image`` in all, at most half of them positive.

    The draw is a hash of the image's seed and the anchor's index: the same on every device and number of processes.
    """
    key_NA = _hash(seed_N[:, None], torch.arange(label_NA.shape[1], device=label_NA.device)[None])
    most = int(recipe.batch_per_image * recipe.positive_fraction)
    positive_NA = _lowest(key_NA, label_NA == POSITIVE, torch.full_like(seed_N, most), most)
    left_N = recipe.batch_per_image - positive_NA.sum(dim=1)
    negative_NA = _lowest(key_NA, label_NA == NEGATIVE, left_N, recipe.batch_per_image)
    return positive_NA, negative_NA


def rpn_loss(
    logits_NA: Tensor,
    deltas_NA4: Tensor,
    anchors_LA4: list[Tensor],
    boxes_NK4: Tensor,
    valid_NK: Tensor,
    seed_N: Tensor,
    recipe: RPNRecipe,
    others: tuple[Tensor, Tensor] | None = None,
) -> RPNLoss:
    """Compute log loss and smooth L1, each summed over the sampled anchors and divided by batch_per_image x N.

    Args:
        logits_NA, deltas_NA4: from `flatten_outputs`.
        anchors_LA4: from `make_anchors`.
        boxes_NK4: targets, xyxy in pixels of the view; ``valid_NK`` marks those that count.
        seed_N: one number per image for the sampling.
        others: see `label_anchors`.
    """
    anchors_A4 = torch.cat(anchors_LA4)
    valid_NK = valid_targets(boxes_NK4, valid_NK, recipe)
    label_NA, index_NA, ignored = _label_anchors(anchors_A4, boxes_NK4, valid_NK, recipe, others)
    positive_NA, negative_NA = sample_anchors(label_NA, seed_N, recipe)
    share = recipe.batch_per_image * len(logits_NA)
    log_loss_NA = F.binary_cross_entropy_with_logits(logits_NA, positive_NA.to(logits_NA.dtype), reduction="none")
    objectness = (log_loss_NA * (positive_NA | negative_NA)).sum() / share
    image, anchor = torch.nonzero(positive_NA, as_tuple=True)
    matched = boxes_NK4[image, index_NA[image, anchor]]
    targets = BoxCoder((1.0, 1.0, 1.0, 1.0)).encode_single(matched, anchors_A4[anchor])
    predicted = deltas_NA4[image, anchor]
    targets = targets.to(predicted.dtype)
    box = F.smooth_l1_loss(predicted, targets, beta=recipe.smooth_l1_beta, reduction="sum") / share
    levels = torch.split(label_NA, [len(a) for a in anchors_LA4], dim=1)
    positives_L = torch.stack([(x == POSITIVE).sum() for x in levels]).float() / len(logits_NA)
    return RPNLoss(objectness, box, positives_L, ignored)


def _lowest(key_NA: Tensor, among_NA: Tensor, count_N: Tensor, most: int) -> Tensor:
    """Return the mask of the ``count_N`` smallest allowed keys per row; ``most`` bounds the counts."""
    most = min(most, key_NA.shape[1])
    blocked = key_NA.masked_fill(~among_NA, torch.iinfo(torch.int64).max)
    order_NM = blocked.topk(most, dim=1, largest=False, sorted=True).indices
    wanted_NM = torch.arange(most, device=key_NA.device)[None] < count_N[:, None]
    mask = torch.zeros_like(among_NA).scatter_(1, order_NM, wanted_NM)
    return mask & among_NA


def _hash(a: Tensor, b: Tensor) -> Tensor:
    """Return a 32-bit mix of two integers (MurmurHash3's finalizer on each) in int64, the same on every device."""
    low, high = a & 0xFFFFFFFF, a >> 32
    x = _mix(b ^ 0x9E3779B9)
    x = _mix(x ^ low)
    return (_mix(x ^ high) << 20) | b  # the index breaks ties


def _mix(x: Tensor) -> Tensor:
    x = x & 0xFFFFFFFF
    x = ((x ^ (x >> 16)) * 0x5BCA6B) & 0xFFFFFFFF
    x = ((x ^ (x >> 13)) * 0x2B2AE35) & 0xFFFFFFFF
    return x ^ (x >> 16)
