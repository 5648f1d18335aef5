"""The pair loss against a loop in plain Python, and its optimum.

Legend: N images, P and Q entries an image, D dimensions.
"""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from adept_training.method.contrast import correspondence, feature_spread, pair_loss, retrieval


def _slow(prediction: list, target: list, ids_p: list, ids_q: list) -> float:
    """-2 x mean over images of the mean cosine over matched pairs, one number at a time."""
    per_image = []
    for vectors_p, vectors_q, names_p, names_q in zip(prediction, target, ids_p, ids_q, strict=True):
        cosines = []
        for p, name_p in zip(vectors_p, names_p, strict=True):
            for q, name_q in zip(vectors_q, names_q, strict=True):
                if name_p == name_q and name_p >= 0:
                    dot = sum(a * b for a, b in zip(p, q, strict=True))
                    cosines.append(dot / (math.hypot(*p) * math.hypot(*q)))
        per_image.append(sum(cosines) / (len(cosines) + 1e-6))
    return -2 * sum(per_image) / len(per_image)


def test_the_loss_is_that_of_a_loop() -> None:
    torch.manual_seed(0)
    prediction, target = torch.randn(3, 4, 5), torch.randn(3, 4, 5)
    ids_p = torch.tensor([[3, 1, 7, 7], [0, 2, 2, 4], [1, 2, 3, 4]])  # duplicates, as padding makes them
    ids_q = torch.tensor([[7, 3, 1, 1], [4, 0, 2, 2], [9, 9, 9, 9]])  # the third image has no pair
    loss = pair_loss(prediction, target, correspondence(ids_p, ids_q))
    assert loss.item() == pytest.approx(
        _slow(prediction.tolist(), target.tolist(), ids_p.tolist(), ids_q.tolist()), abs=1e-6
    )


def test_negative_ids_match_nothing() -> None:
    ids = torch.tensor([[-1, 2]])
    assert correspondence(ids, ids).tolist() == [[[0.0, 0.0], [0.0, 1.0]]]


def test_four_directions_of_perfect_predictions_give_minus_eight() -> None:
    vectors = torch.randn(2, 4, 16)
    ids = torch.arange(4).expand(2, 4)
    one = pair_loss(vectors, 3 * vectors, correspondence(ids, ids))
    assert 4 * one.item() == pytest.approx(-8, abs=1e-4)


def test_an_image_without_a_pair_adds_nothing_but_counts() -> None:
    vectors = torch.randn(2, 1, 8)
    match = torch.tensor([[[1.0]], [[0.0]]])
    assert pair_loss(vectors, vectors, match).item() == pytest.approx(-1.0, abs=1e-5)


def test_no_gradient_reaches_the_target() -> None:
    prediction, target = torch.randn(1, 2, 4, requires_grad=True), torch.randn(1, 2, 4, requires_grad=True)
    pair_loss(prediction, target, torch.ones(1, 2, 2)).backward()
    assert target.grad is None
    assert prediction.grad is not None
    assert prediction.grad.abs().sum() > 0


def test_spread_is_one_for_isotropic_features_and_zero_in_a_collapse() -> None:
    torch.manual_seed(0)
    assert feature_spread(torch.randn(4000, 64)).item() == pytest.approx(1.0, abs=0.02)
    assert feature_spread(torch.ones(100, 64) * torch.rand(100, 1)).item() < 1e-3


def test_retrieval_counts_images_that_find_themselves() -> None:
    target = torch.eye(4)[:, None]
    prediction = target.clone()
    prediction[3] = target[0]
    assert retrieval(prediction, target).item() == 0.75


def _slow_retrieval(prediction: Tensor, target: Tensor) -> float:
    """One image at a time: unit vectors, each minus the mean of its network's, and the nearest by the cosine."""
    ours, theirs = ([row / row.norm() for row in vectors] for vectors in (prediction, target))
    ours, theirs = ([row - sum(rows) / len(rows) for row in rows] for rows in (ours, theirs))
    hits = 0
    for i, row in enumerate(ours):
        cosines = [float(row @ other / (row.norm() * other.norm())) for other in theirs]
        hits += cosines.index(max(cosines)) == i
    return hits / len(ours)


def test_retrieval_is_that_of_a_loop_whatever_the_lengths() -> None:
    generator = torch.Generator().manual_seed(0)
    shares = []
    for _ in range(20):
        target, noise = torch.randn(2, 8, 3, generator=generator)
        prediction = (target + 0.5 * noise) * torch.rand(8, 1, generator=generator)
        shares.append(retrieval(prediction[:, None], target[:, None]).item())
        assert shares[-1] == _slow_retrieval(prediction, target)
    assert 0.4 < sum(shares) / 20 < 0.9


def test_retrieval_takes_away_what_all_boxes_have_in_common() -> None:
    """Every prediction leans far in one direction, and targets lean in it by different amounts.

    By the cosine alone all images would find the one that leans most. What is compared is what differs, in either
    network by its own mean.
    """
    own, common = torch.eye(5)[:4], torch.eye(5)[4]
    lean = torch.tensor([0.3, 0.5, 0.8, 1.3])[:, None]
    prediction, target = own + 6 * common, own + lean * common
    raw = torch.nn.functional.cosine_similarity(prediction[:, None], target[None], dim=2)
    assert raw.argmax(dim=1).tolist() == [3, 3, 3, 3]
    assert retrieval(prediction[:, None], target[:, None]).item() == 1.0
    # Of several boxes an image the first alone is looked for.
    others = torch.randn(4, 2, 5, generator=torch.Generator().manual_seed(0))
    both = [torch.cat([x[:, None], others], dim=1) for x in (prediction, target)]
    assert retrieval(*both).item() == 1.0
