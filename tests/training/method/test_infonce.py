"""InfoNCE against a loop in plain Python: its value, its gradient, what is a positive and what a negative.

Legend: N images, K boxes.
"""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn import functional as F

from adept_training.method.infonce import Entries, infonce, share_of_image
from tests.two_processes import in_two_processes

N, K, D, T = 3, 4, 5, 0.3
#: Image 1 has duplicates of a box, as padding makes them; image 2 no pair; an entry of image 0 is no box.
IDS_P = torch.tensor([[3, 1, -1, 7], [0, 2, 2, 4], [1, 2, 3, 4]])
IDS_Q = torch.tensor([[7, 3, 1, -1], [4, 0, 2, 2], [9, 8, 7, -1]])
IMAGES = torch.tensor([5, 2, 8])


def _boxes(seed: int) -> Tensor:
    corner = torch.rand(N, K, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 0.6
    return torch.cat([corner, corner + 0.3], dim=2)


def entries(seed: int, ids: Tensor, *, boxes: bool, images: Tensor = IMAGES) -> Entries:
    vectors = torch.randn(N, K, D, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return Entries(vectors.requires_grad_(), ids, images, _boxes(seed) if boxes else None)


def _iou(a: list[float], b: list[float]) -> float:
    w, h = (min(a[i + 2], b[i + 2]) - max(a[i], b[i]) for i in (0, 1))
    both = max(w, 0) * max(h, 0)
    return both / (sum((x[2] - x[0]) * (x[3] - x[1]) for x in (a, b)) - both)


def slow(one: Entries, two: Entries, *, drop: float = 0.0, past: tuple[tuple[list[float], int], ...] = ()) -> Tensor:
    """One pair after another; the vectors stay tensors for their gradient.

    Args:
        drop: share of the negatives that are left out.
        past: further keys, each with the number of its image.
    """
    total = one.vectors_NPD.new_zeros(())
    for n in range(len(one.ids_NP)):
        losses = []
        for k in range(one.ids_NP.shape[1]):
            positives, negatives = [], []
            for m, j in itertools.product(range(len(two.ids_NP)), range(two.ids_NP.shape[1])):
                if one.ids_NP[n, k] < 0 or two.ids_NP[m, j] < 0:
                    continue
                cosine = F.cosine_similarity(one.vectors_NPD[n, k], two.vectors_NPD[m, j].detach(), dim=0)
                if one.image_N[n] != two.image_N[m]:
                    negatives.append(cosine)
                elif one.ids_NP[n, k] == two.ids_NP[m, j]:
                    positives.append(torch.exp(cosine / T))
                elif one.boxes_NP4 is None or two.boxes_NP4 is None:
                    continue
                elif _iou(one.boxes_NP4[n, k].tolist(), two.boxes_NP4[m, j].tolist()) < 0.1:
                    negatives.append(cosine)
            for vector, image in past if one.ids_NP[n, k] >= 0 else ():
                if image != one.image_N[n]:
                    key = torch.tensor(vector, dtype=torch.float64)
                    negatives.append(F.cosine_similarity(one.vectors_NPD[n, k], key, dim=0))
            negatives.sort(key=lambda cosine: -cosine.item())
            against = sum(torch.exp(cosine / T) for cosine in negatives[int(drop * len(negatives)) :])
            losses += [-torch.log(p / (p + against)) for p in positives]
        total = total + sum(losses) / max(len(losses), 1)
    return 2 * T * total / len(one.ids_NP)


@pytest.mark.parametrize("boxes", [False, True])
def test_loss_and_gradient_are_those_of_a_loop(boxes: bool) -> None:
    one, two = entries(0, IDS_P, boxes=boxes), entries(1, IDS_Q, boxes=boxes)
    wanted_loss, fast = slow(one, two), infonce(one, two, T)
    assert fast.item() == pytest.approx(wanted_loss.item(), abs=1e-6)
    (wanted,), (found,) = (torch.autograd.grad(loss, one.vectors_NPD) for loss in (wanted_loss, fast))
    torch.testing.assert_close(found, wanted, atol=1e-6, rtol=1e-5)
    assert found[0, 0].abs().sum() > 0
    assert found[0, 2].abs().sum() == found[2].abs().sum() == 0, "no box, no pair"


def test_boxes_of_the_same_image_count_only_where_they_are_apart() -> None:
    values = [infonce(*(entries(i, ids, boxes=b) for i, ids in ((0, IDS_P), (1, IDS_Q))), T) for b in (False, True)]
    assert values[1] > values[0]
    same = torch.tensor([0.1, 0.1, 0.4, 0.4], dtype=torch.float64).expand(N, K, 4)
    one, two = (entries(i, ids, boxes=True)._replace(boxes_NP4=same) for i, ids in ((0, IDS_P), (1, IDS_Q)))
    assert infonce(one, two, T).item() == values[0].item()


def test_an_image_that_is_there_twice_is_not_its_own_negative() -> None:
    """An image that cannot be read is replaced by another, which may be in the batch already."""
    one, two = (entries(i, ids, boxes=False) for i, ids in ((0, IDS_P), (1, IDS_Q)))
    twice = torch.tensor([5, 2, 2])
    expected = slow(one._replace(image_N=twice), two._replace(image_N=twice))
    assert infonce(one._replace(image_N=twice), two._replace(image_N=twice), T).item() == pytest.approx(expected.item())
    assert expected.item() != pytest.approx(slow(one, two).item())


def test_without_a_negative_there_is_nothing_to_learn() -> None:
    one, two = (entries(i, ids, boxes=False, images=torch.zeros(N).long()) for i, ids in ((0, IDS_P), (1, IDS_Q)))
    loss = infonce(one, two, T)
    loss.backward()
    assert loss.item() == 0
    assert one.vectors_NPD.grad is not None
    assert one.vectors_NPD.grad.abs().max() == 0


def test_half_precision_stays_outside() -> None:
    one, two = (entries(i, ids, boxes=True) for i, ids in ((0, IDS_P), (1, IDS_Q)))
    one, two = (x._replace(vectors_NPD=x.vectors_NPD.detach().bfloat16()) for x in (one, two))
    exact = infonce(*(x._replace(vectors_NPD=x.vectors_NPD.double()) for x in (one, two)), T)
    with torch.autocast("cpu", torch.bfloat16):
        loss = infonce(one, two, T)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(exact.item(), abs=1e-6)


def test_boxes_are_mapped_back_through_their_window() -> None:
    """A window of x .2 to .6, y .1 to .9, of 50 pixels: pixel 10 lies at a fifth of it, from the right if flipped."""
    boxes = torch.tensor([[[10.0, 5, 30, 50]], [[10.0, 5, 30, 50]]])
    windows = torch.tensor([[0.2, 0.1, 0.4, 0.8, 0], [0.2, 0.1, 0.4, 0.8, 1]])
    expected = torch.tensor([[[0.28, 0.18, 0.44, 0.9]], [[0.36, 0.18, 0.52, 0.9]]])
    torch.testing.assert_close(share_of_image(boxes, windows, 50), expected)


def half(folder: str) -> None:
    """The loss and the gradient of this process's two images."""
    dist.init_process_group("gloo")
    rank = dist.get_rank()
    one, two = (x._replace(**{k: v[2 * rank : 2 * rank + 2] for k, v in x._asdict().items()}) for x in two_halves())
    vectors = one.vectors_NPD.detach().requires_grad_()
    loss = infonce(one._replace(vectors_NPD=vectors), two, T)
    loss.backward()
    torch.save((loss.item(), vectors.grad), f"{folder}/{rank}.pt")


def two_halves() -> tuple[Entries, Entries]:
    """Entries of four images, for two processes."""
    generator = torch.Generator().manual_seed(2)
    made = []
    for ids in ([[0, 1, 2], [0, 1, 1], [3, 2, 0], [1, 0, 4]], [[1, 0, 2], [1, 0, 9], [0, 2, 2], [4, 1, 0]]):
        corner = torch.rand(4, 3, 2, generator=generator, dtype=torch.float64) * 0.6
        vectors = torch.randn(4, 3, D, generator=generator, dtype=torch.float64)
        boxes = torch.cat([corner, corner + 0.3], dim=2)
        made.append(Entries(vectors, torch.tensor(ids), torch.tensor([3, 6, 1, 8]), boxes))
    return made[0], made[1]


def test_two_processes_have_the_negatives_and_the_gradient_of_one(tmp_path: Path) -> None:
    one, two = two_halves()
    vectors = one.vectors_NPD.clone().requires_grad_()
    whole = infonce(one._replace(vectors_NPD=vectors), two, T)
    whole.backward()
    assert vectors.grad is not None
    in_two_processes(tmp_path, half, str(tmp_path))
    losses, gradients = zip(*(torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1)), strict=True)
    assert math.fsum(losses) / 2 == pytest.approx(whole.item(), abs=1e-9)
    # DDP averages the gradients of both.
    torch.testing.assert_close(torch.cat(gradients) / 2, vectors.grad, atol=1e-9, rtol=1e-7)
