"""Every choice of the RPN's loss at a value that is not its default, against a walk over anchors.

Legend: N images, K boxes, A anchors.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from adept_hub.spec import AnchorSpec
from adept_training.method.rpn import RPNRecipe, make_anchors, rpn_loss, sample_anchors

RECIPE = RPNRecipe(
    positive_iou=0.45, negative_iou=0.15, batch_per_image=90, positive_fraction=0.1, smooth_l1_beta=0.4,
    min_box_size=14.0,
)  # fmt: skip
VIEW, N = 96, 2


def _iou(a: list[float], b: list[float]) -> float:
    w, h = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    both = max(w, 0.0) * max(h, 0.0)
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


def _slow_labels(anchors: Tensor, boxes: list[list[float]]) -> tuple[list[int], list[int]]:
    """1, 0 or -1 for each anchor, and the box that it overlaps most."""
    table = [[_iou(anchor, box) for box in boxes] for anchor in anchors.tolist()]
    best_of_box = [max(row[k] for row in table) for k in range(len(boxes))]
    labels = []
    for row in table:
        closest = any(v == top > 0 for v, top in zip(row, best_of_box, strict=True))
        labels.append(1 if closest or max(row) >= 0.45 else 0 if max(row) < 0.15 else -1)
    return labels, [row.index(max(row)) for row in table]


def test_the_loss_is_that_of_a_walk_over_the_sampled_anchors() -> None:
    generator = torch.Generator().manual_seed(2)
    anchors_LA4 = make_anchors(AnchorSpec((12.0, 22.0, 36.0, 50.0)), [torch.zeros(N, 1, -(-VIEW // s), -(-VIEW // s))
                                                                      for s in (4, 8, 16, 32)])  # fmt: skip
    anchors = torch.cat(anchors_LA4)
    # The third is too thin on one side, the fourth of the first image is no target.
    boxes = torch.tensor([[[8, 9, 40, 37], [50, 40, 90, 91], [10, 60, 60, 73], [60, 5, 90, 30]],
                          [[20, 20, 48, 60], [4, 50, 30, 80], [33, 2, 80, 15], [55, 52, 83, 86.0]]])  # fmt: skip
    valid = torch.tensor([[True, True, True, False], [True, True, True, True]])
    logits = torch.randn(N, len(anchors), generator=generator)
    deltas = torch.randn(N, len(anchors), 4, generator=generator) * 0.4
    seeds = torch.tensor([11, 12])
    found = rpn_loss(logits, deltas, anchors_LA4, boxes, valid, seeds, RECIPE)

    labels_NA = [_slow_labels(anchors, [b for b, v in zip(boxes[n].tolist(), valid[n], strict=True)
                                        if v and min(b[2] - b[0], b[3] - b[1]) >= 14]) for n in range(N)]  # fmt: skip
    table = torch.tensor([labels for labels, _ in labels_NA], dtype=torch.int8)
    positive_NA, negative_NA = sample_anchors(table, seeds, RECIPE)
    assert (table == 1).sum(dim=1).min() > 9, "more positives than a tenth of 90"
    assert positive_NA.sum(dim=1).tolist() == [9, 9]
    assert negative_NA.sum(dim=1).tolist() == [81, 81]
    objectness = box = 0.0
    for n in range(N):
        kept = [
            b for b, v in zip(boxes[n].tolist(), valid[n], strict=True) if v and min(b[2] - b[0], b[3] - b[1]) >= 14
        ]
        for a, anchor in enumerate(anchors.tolist()):
            x = float(logits[n, a])
            if positive_NA[n, a]:
                objectness += math.log1p(math.exp(-x))
                goal, (w, h) = kept[labels_NA[n][1][a]], (anchor[2] - anchor[0], anchor[3] - anchor[1])
                offsets = [
                    (goal[0] + goal[2] - anchor[0] - anchor[2]) / 2 / w,
                    (goal[1] + goal[3] - anchor[1] - anchor[3]) / 2 / h,
                    math.log((goal[2] - goal[0]) / w), math.log((goal[3] - goal[1]) / h),
                ]  # fmt: skip
                for wanted, given in zip(offsets, deltas[n, a].tolist(), strict=True):
                    error = abs(wanted - given)
                    box += error**2 / 0.8 if error < 0.4 else error - 0.2
            elif negative_NA[n, a]:
                objectness += math.log1p(math.exp(x))
    torch.testing.assert_close(float(found.objectness), objectness / (90 * N), rtol=1e-5, atol=0)
    torch.testing.assert_close(float(found.box), box / (90 * N), rtol=1e-5, atol=0)
    counts = [int((part == 1).sum()) / N for part in table.split([len(a) for a in anchors_LA4], dim=1)]
    assert found.positives_L.tolist() == counts
