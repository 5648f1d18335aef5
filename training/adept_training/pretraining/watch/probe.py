"""Measure how well the RPN finds selective-search boxes on images that it was not trained on.

Legend: N images, M boxes, A anchors, L levels, R proposals, P positive and Q negative anchors.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.rpn import RegionProposalNetwork
from torchvision.ops import box_iou

from adept_hub.errors import ImageDecodeError
from adept_hub.models.anchors import ExactAnchorGenerator
from adept_hub.models.parts import LEVELS, STRIDES, DetectorParts
from adept_hub.spec import Preprocessing
from adept_training.data.loader import BoxTable
from adept_training.images import ImageSource, decode
from adept_training.method.rpn import flatten_outputs, make_anchors
from adept_training.proposals.table.store import ProposalTable

_BATCH = 25
_POSITIVE, _NEGATIVE = 0.7, 0.3


@dataclass(frozen=True)
class HeldOut:
    """Images resized to V1 without color changes, and all of their boxes in its pixels, each once."""

    pixels_NHWC: Tensor
    boxes_M4: tuple[Tensor, ...]


def held_out_count(images: int, most: int) -> int:
    """Return how many of the images are held out: at most ``most``, and at most one in twenty."""
    return min(most, images // 20)


def split_keys(keys: list[str], most: int) -> tuple[list[str], list[str]]:
    """Split keys into training and held-out keys by a hash, so that an image stays on its side."""
    count = held_out_count(len(keys), most)
    ranked = sorted(keys, key=lambda key: hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest())
    held_out = set(ranked[:count])
    return [key for key in keys if key not in held_out], [key for key in keys if key in held_out]


def load_held_out(source: ImageSource, table: BoxTable, keys: list[str], size: int, best: int) -> HeldOut:
    """Load the readable images of ``keys`` that have boxes, resized to ``size`` x ``size`` pixels.

    Of their boxes the ``best`` first ones count; 0: all.
    """
    pixels, boxes = [], []
    for key in keys:
        try:
            image = decode(source.read(key), key)
        except ImageDecodeError:
            continue
        height, width = image.shape[:2]
        if isinstance(table, ProposalTable):
            table.check_size(key, (width, height))
        boxes_M4 = table.boxes(key)
        boxes_M4 = np.unique(boxes_M4[: best or len(boxes_M4)], axis=0)
        boxes_M4 = boxes_M4[
            (boxes_M4[:, 2] - boxes_M4[:, 0] < width - 1) | (boxes_M4[:, 3] - boxes_M4[:, 1] < height - 1)
        ]
        if len(boxes_M4) == 0:
            continue
        scale = np.array([size / width, size / height] * 2, dtype=np.float32)
        small = Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR)
        pixels.append(torch.from_numpy(np.asarray(small).copy()))
        boxes.append(torch.from_numpy(boxes_M4 * scale))
    stacked = torch.stack(pixels) if pixels else torch.zeros((0, size, size, 3), dtype=torch.uint8)
    return HeldOut(stacked, tuple(boxes))


@torch.no_grad()
def measure_rpn(
    features: DetectorParts, rpn: nn.Module, held: HeldOut, preprocessing: Preprocessing, top: int = 100
) -> dict[str, float]:
    """Compute the recall of the first ``top`` proposals (NMS 0.7), and how well objectness ranks the anchors.

    ``recall{top}_iou50`` and ``_iou70``: share of all boxes that some proposal covers with that IoU.
    ``objectness_auc``: the probability that a positive anchor (IoU of at least 0.7 with some box) has a higher
    objectness than a negative one (below 0.3 with every box), over all images; ``objectness_auc_level``: the same among
    pairs of one level, so that preferring levels with objects gains nothing. Left out without such a pair.

    Args:
        features: backbone and FPN; norms use running statistics, and every mode is restored.
        rpn: the RPN head, which may belong to another network.
    """
    best: list[Tensor] = []
    positives_L: list[list[Tensor]] = [[] for _ in LEVELS]
    negatives_L: list[list[Tensor]] = [[] for _ in LEVELS]
    for first, feats, proposals in _look(features, rpn, held, preprocessing, top):
        boxes_N = [boxes_M4.to(feats[0].device) for boxes_M4 in held.boxes_M4[first : first + _BATCH]]
        for found_R4, boxes_M4 in zip(proposals, boxes_N, strict=True):
            overlap = box_iou(boxes_M4, found_R4)
            best.append(overlap.amax(dim=1) if found_R4.numel() else overlap.new_zeros(len(boxes_M4)))
        logits_NA, _ = flatten_outputs(*rpn(feats))
        anchors_LA4 = make_anchors(features.spec.anchors, feats)
        for logits_A, boxes_M4 in zip(logits_NA, boxes_N, strict=True):
            levels = zip(anchors_LA4, logits_A.split([len(a) for a in anchors_LA4]), strict=True)
            for level, (anchors_A4, of_level_A) in enumerate(levels):
                iou_A = box_iou(anchors_A4, boxes_M4).amax(dim=1)
                positives_L[level].append(of_level_A[iou_A >= _POSITIVE])
                negatives_L[level].append(of_level_A[iou_A < _NEGATIVE])
    iou_M = torch.cat(best)
    return {
        f"recall{top}_iou50": float((iou_M >= 0.5).float().mean()),
        f"recall{top}_iou70": float((iou_M >= 0.7).float().mean()),
        **_ranking([torch.cat(x) for x in positives_L], [torch.cat(x) for x in negatives_L]),
    }


@torch.no_grad()
def best_proposals(
    features: DetectorParts, rpn: nn.Module, held: HeldOut, preprocessing: Preprocessing, top: int
) -> list[Tensor]:
    """Return the first ``top`` proposals (R, 4) per image, float32 xyxy in its pixels as in `HeldOut`."""
    looks = _look(features, rpn, held, preprocessing, top)
    return [found_R4.cpu() for _, _, proposals in looks for found_R4 in proposals]


def _look(
    features: DetectorParts, rpn: nn.Module, held: HeldOut, preprocessing: Preprocessing, top: int
) -> Iterator[tuple[int, list[Tensor], list[Tensor]]]:
    """Yield the index of the first image, the maps and the proposals of each batch, in evaluation mode."""
    modes = [(module, module.training) for module in (*features.modules(), *rpn.modules())]
    features.eval()
    rpn.eval()
    device = next(features.parameters()).device
    finder = RegionProposalNetwork(
        ExactAnchorGenerator(features.spec.anchors.sizes, features.spec.anchors.ratios, STRIDES), rpn,
        fg_iou_thresh=0.7, bg_iou_thresh=0.3, batch_size_per_image=256, positive_fraction=0.5,
        pre_nms_top_n={"training": 1000, "testing": 1000}, post_nms_top_n={"training": top, "testing": top},
        nms_thresh=0.7,
    ).eval()  # fmt: skip
    try:
        for first in range(0, len(held.pixels_NHWC), _BATCH):
            images = normalized(held.pixels_NHWC[first : first + _BATCH].to(device), preprocessing)
            feats = features.pyramid(images)
            sides = [(images.shape[2], images.shape[3])] * len(images)
            proposals, _ = finder(ImageList(images, sides), dict(zip(LEVELS, feats, strict=True)))
            yield first, feats, cast(list[Tensor], proposals)
    finally:
        for module, mode in modes:
            module.training = mode


def pairs_won(positive_P: Tensor, negative_Q: Tensor) -> float:
    """Compute Mann and Whitney's U: pairs whose positive scores higher, ties as halves. U / (P Q) is the ROC AUC."""
    ordered_Q = negative_Q.sort().values.contiguous()
    below = torch.searchsorted(ordered_Q, positive_P.contiguous())
    not_above = torch.searchsorted(ordered_Q, positive_P.contiguous(), right=True)
    return int((below + not_above).sum()) / 2


def _ranking(positives_L: list[Tensor], negatives_L: list[Tensor]) -> dict[str, float]:
    metrics: dict[str, float] = {}
    every_P, every_Q = torch.cat(positives_L), torch.cat(negatives_L)
    if len(every_P) and len(every_Q):
        metrics["objectness_auc"] = pairs_won(every_P, every_Q) / (len(every_P) * len(every_Q))
    pairs = sum(len(p) * len(q) for p, q in zip(positives_L, negatives_L, strict=True))
    if pairs:
        won = sum(pairs_won(p, q) for p, q in zip(positives_L, negatives_L, strict=True))
        metrics["objectness_auc_level"] = won / pairs
    return metrics


def normalized(pixels_NHWC: Tensor, preprocessing: Preprocessing) -> Tensor:
    """Convert uint8 RGB (N, H, W, 3) to a network's input: float32 (N, 3, H, W), channels last."""
    mean = torch.tensor(preprocessing.mean, device=pixels_NHWC.device)[:, None, None]
    std = torch.tensor(preprocessing.std, device=pixels_NHWC.device)[:, None, None]
    images_NCHW = (pixels_NHWC.permute(0, 3, 1, 2).float() / 255 - mean) / std
    return images_NCHW.contiguous(memory_format=torch.channels_last)
