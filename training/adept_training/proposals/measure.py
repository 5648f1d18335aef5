"""Statistics of a table for pre-training: number and size of boxes, and the RPN anchors that they would train.

Legend: K boxes, A anchors, L = 4 levels (P2..P5).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from adept_training.proposals.search.boxes import Boxes, first_of_each
from adept_training.proposals.table.store import ProposalTable

VIEW = 224  # pixels; the first view is the whole image, resized
STRIDES = (4, 8, 16, 32)
ANCHOR_SIZES = (24, 48, 96, 192)  # section 4 of the paper
ANCHOR_RATIOS = (0.5, 1.0, 2.0)
POSITIVE_IOU = 0.7
BOXES_DRAWN = 4  # K of the paper

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class LevelPositives:
    """The anchors of one pyramid level, on average over images."""

    name: str
    anchors: int
    positives: float  # per image: IoU >= 0.7 with one of the K boxes drawn
    best: float  # per image: below that, but the best anchor that one of the boxes has


@dataclass(frozen=True)
class Statistics:
    """Statistics over the sampled images."""

    images: int
    fallbacks: int
    counts: npt.NDArray[np.int64]  # boxes per image
    unique_counts: npt.NDArray[np.int64]
    # Of every box of the images that needed no fallback:
    scales: Floats  # sqrt(w h / W H)
    ratios: Floats  # w / h in pixels of the image
    view_sizes: Floats  # sqrt(w h) in pixels of the 224 x 224 view
    levels: tuple[LevelPositives, ...]
    matched: float  # share of drawn boxes that have an anchor with IoU >= 0.7


def measure(table: ProposalTable, *, most: int = 5000, most_matched: int = 1000, seed: int = 0) -> Statistics:
    """Compute statistics over at most ``most`` images drawn at random; match anchors on ``most_matched`` of them.

    Fallback boxes are not targets of the RPN: they are left out of sizes, shapes and matching.
    """
    rng = np.random.default_rng(seed)
    keys = table.keys()
    chosen = [keys[i] for i in sorted(rng.permutation(len(keys))[:most])]
    sizes = np.array([table.size(key) for key in chosen], np.float64)
    boxes = [np.asarray(table.boxes(key), np.float64) for key in chosen]
    fallback = np.array([table.fallback(key) for key in chosen])
    counts = np.array([len(found) for found in boxes])
    regular = [i for i in range(len(chosen)) if not fallback[i]]
    wh = np.concatenate([np.empty((0, 2)), *(boxes[i][:, 2:] - boxes[i][:, :2] for i in regular)])
    image_wh = np.repeat(sizes[regular], counts[regular], axis=0)
    scales = np.sqrt(wh.prod(axis=1) / image_wh.prod(axis=1))
    drawable = rng.permutation(regular).tolist()
    drawn = [
        in_view(rng.permutation(boxes[i])[:BOXES_DRAWN], (int(sizes[i][0]), int(sizes[i][1])))
        for i in drawable[:most_matched]
    ]
    levels, matched = match_anchors(drawn)
    return Statistics(
        images=len(chosen),
        fallbacks=int(fallback.sum()),
        counts=counts,
        unique_counts=np.array([len(first_of_each(found.astype(np.float32))) for found in boxes]),
        scales=scales,
        ratios=np.divide(wh[:, 0], wh[:, 1], out=np.ones(len(wh)), where=wh[:, 1] > 0),
        view_sizes=scales * VIEW,
        levels=levels,
        matched=matched,
    )


def in_view(boxes_K4: Boxes | Floats, size: tuple[int, int]) -> Floats:
    """Convert boxes of an image of ``size`` (width, height) to pixels of its resized 224 x 224 view."""
    width, height = size
    return np.asarray(boxes_K4 * (VIEW / np.array([width, height, width, height])), np.float64)


def anchors() -> list[Floats]:
    """Return the anchors of every level, float64 (A, 4) xyxy in pixels of the view; 12,495 in all."""
    levels = []
    for stride, size in zip(STRIDES, ANCHOR_SIZES, strict=True):
        centers = np.arange(VIEW // stride) * float(stride)
        y, x = (grid.reshape(-1, 1) for grid in np.meshgrid(centers, centers, indexing="ij"))
        ratios = np.array(ANCHOR_RATIOS)
        w, h = size / np.sqrt(ratios) / 2, size * np.sqrt(ratios) / 2
        levels.append(np.stack([x - w, y - h, x + w, y + h], axis=2).reshape(-1, 4))
    return levels


def match_anchors(drawn: Sequence[Floats]) -> tuple[tuple[LevelPositives, ...], float]:
    """Compute mean positives per level over images, and the share of boxes with an anchor of IoU >= 0.7.

    ``drawn``: the boxes of each image, float64 (K, 4) xyxy in pixels of the view.
    """
    of_level = anchors()
    all_A4 = np.concatenate(of_level)
    ends = np.cumsum([len(level) for level in of_level])
    level_A = np.searchsorted(ends, np.arange(len(all_A4)), side="right")
    positives, best = np.zeros(4), np.zeros(4)
    matched = total = 0
    for boxes_K4 in drawn:
        iou_AK = box_iou(all_A4, boxes_K4)
        top_K = iou_AK.max(axis=0)
        is_positive_A = (iou_AK >= POSITIVE_IOU).any(axis=1)
        is_best_A = ((iou_AK == top_K) & (top_K > 0)).any(axis=1) & ~is_positive_A
        positives += np.bincount(level_A[is_positive_A], minlength=4)
        best += np.bincount(level_A[is_best_A], minlength=4)
        matched += int((top_K >= POSITIVE_IOU).sum())
        total += len(boxes_K4)
    images = max(1, len(drawn))
    levels = tuple(
        LevelPositives(f"P{i + 2}", len(of_level[i]), positives[i] / images, best[i] / images) for i in range(4)
    )
    return levels, matched / max(1, total)


def box_iou(a_A4: Floats, b_K4: Floats) -> Floats:
    """Compute intersection over union, (A, K)."""
    low = np.maximum(a_A4[:, None, :2], b_K4[None, :, :2])
    high = np.minimum(a_A4[:, None, 2:], b_K4[None, :, 2:])
    overlap = np.clip(high - low, 0, None).prod(axis=2)
    area_A, area_K = (a_A4[:, 2:] - a_A4[:, :2]).prod(axis=1), (b_K4[:, 2:] - b_K4[:, :2]).prod(axis=1)
    union = area_A[:, None] + area_K[None] - overlap
    return np.asarray(np.divide(overlap, union, out=np.zeros_like(overlap), where=union > 0))
