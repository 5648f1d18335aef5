"""Prototypes against a loop in plain Python: assignment, loss, gradients; and across processes.

Legend: N images, D dimensions.
"""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import Tensor

from adept_training.data.loader import Order, Samples, Steps, make_loader
from adept_training.method.adept import Adept
from adept_training.method.infonce import Entries, Past
from adept_training.method.prototypes import sinkhorn, swapped_prediction
from tests.training.method.test_infonce import IDS_P, IDS_Q, D, N, T, entries, two_halves
from tests.training.support import RandomBoxes, tiny, write_photographs
from tests.two_processes import in_two_processes

EPSILON = 0.3


def _prototypes() -> Tensor:
    return torch.randn(6, D, generator=torch.Generator().manual_seed(5), dtype=torch.float64) * 3


def _unit(vector: list[float]) -> list[float]:
    return [x / math.hypot(*vector) for x in vector]


def _shares(rows: list[list[float]], prototypes: list[list[float]]) -> list[list[float]]:
    """Three rounds: each column to a sum of one per prototype, each row to one per box."""
    table = [[math.exp(sum(a * b for a, b in zip(row, p, strict=True)) / EPSILON) for p in prototypes] for row in rows]
    for _ in range(3):
        sums = [sum(row[c] for row in table) for c in range(len(prototypes))]
        table = [[x / total for x, total in zip(row, sums, strict=True)] for row in table]
        table = [[x / sum(row) for x in row] for row in table]
    return table


def _slow(one: Entries, two: Entries, prototypes: Tensor, past: list[list[float]]) -> Tensor:
    directions = [_unit(p) for p in prototypes.tolist()]
    valid = [(n, j) for n in range(N) for j in range(two.ids_NP.shape[1]) if two.ids_NP[n, j] >= 0]
    rows = [_unit(two.vectors_NPD[n, j].tolist()) for n, j in valid] + past
    codes = dict(zip(valid, _shares(rows, directions)[: len(valid)], strict=True))
    total = one.vectors_NPD.new_zeros(())
    for n in range(N):
        losses = []
        for k in range(one.ids_NP.shape[1]):
            for j in range(two.ids_NP.shape[1]):
                if one.ids_NP[n, k] == two.ids_NP[n, j] >= 0:
                    scores = [torch.cosine_similarity(one.vectors_NPD[n, k], p, dim=0) / T for p in prototypes]
                    log_sum = torch.log(sum(torch.exp(score) for score in scores))
                    losses.append(-sum(q * (s - log_sum) for q, s in zip(codes[n, j], scores, strict=True)))
        total = total + sum(losses) / max(len(losses), 1)
    return 2 * T * total / N


@pytest.mark.parametrize("queued", [False, True])
def test_loss_and_gradients_are_those_of_a_loop(queued: bool) -> None:
    one, two = entries(0, IDS_P, boxes=False), entries(1, IDS_Q, boxes=False)
    prototypes = _prototypes().requires_grad_()
    vectors = torch.randn(3, D, generator=torch.Generator().manual_seed(8)).double()
    vectors = torch.nn.functional.normalize(vectors, dim=1)
    past = Past(vectors, torch.tensor([5, -1, 9])) if queued else None
    wanted = _slow(one, two, prototypes, [vectors[0].tolist(), vectors[2].tolist()] if queued else [])
    loss = swapped_prediction(one, two, prototypes, T, EPSILON, past)
    assert loss.item() == pytest.approx(wanted.item(), abs=1e-6)
    inputs = (one.vectors_NPD, prototypes)
    for found, expected in zip(*(torch.autograd.grad(x, inputs) for x in (loss, wanted)), strict=True):
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)
    loss = swapped_prediction(one, two, prototypes, T, EPSILON)
    assert torch.autograd.grad(loss, two.vectors_NPD, allow_unused=True) == (None,), "no gradient reaches the target"


def test_boxes_are_spread_evenly_over_the_prototypes() -> None:
    """Boxes that all lean to the first prototype are divided among all; what is not valid has no share."""
    cosine = torch.tensor([[0.9, 0.1, 0.0], [0.9, 0.2, 0.0], [0.9, 0.0, 0.2], [0.0, 0.0, 1.0]]).double()
    shares = sinkhorn(cosine, torch.tensor([True, True, True, False]), 0.05)
    assert shares[3].tolist() == [0, 0, 0]
    torch.testing.assert_close(shares[:3].sum(dim=1), torch.ones(3).double())
    assert shares[:3].argmax(dim=1).tolist() == [0, 1, 2]
    assert torch.isfinite(sinkhorn(-torch.ones(2, 3), torch.tensor([True, False]), 0.02)).all()


def test_half_precision_stays_outside() -> None:
    one, two = (entries(i, ids, boxes=False) for i, ids in ((0, IDS_P), (1, IDS_Q)))
    one, two = (x._replace(vectors_NPD=x.vectors_NPD.detach().bfloat16()) for x in (one, two))
    exact = (x._replace(vectors_NPD=x.vectors_NPD.double()) for x in (one, two))
    with torch.autocast("cpu", torch.bfloat16):
        loss = swapped_prediction(one, two, _prototypes().float(), T, EPSILON)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(swapped_prediction(*exact, _prototypes(), T, EPSILON).item(), abs=1e-5)


@pytest.mark.parametrize("name", ["soco", "byol"])
def test_a_step_trains_the_prototypes(name: str, tmp_path: Path) -> None:
    settings = (f"method.name={name}", "method.objective=prototypes", "method.prototypes=24", "method.queue=32")
    recipe, source = tiny(*settings), write_photographs(tmp_path, 4)
    samples = Samples(source, RandomBoxes(), tuple(source.keys()), recipe.views, recipe.colors, seed=0)
    batch = next(iter(make_loader(samples, Steps(Order(4, 4, 0), 0, 1), workers=0)))
    torch.manual_seed(0)
    model = Adept(recipe.model, recipe.method, recipe.views.sizes).train()
    model(batch).loss.backward()
    assert model.prototypes is not None
    assert model.prototypes.weight.grad is not None
    assert model.prototypes.weight.shape == (24, 16)
    assert (model.prototypes.weight.grad.abs().sum(dim=1) > 0).all()
    assert model.queue is not None
    assert int((model.queue.image_VQ >= 0).sum()) == (48 if name == "soco" else 12)


def half(folder: str) -> None:
    """The loss and the gradients of this process's two images."""
    dist.init_process_group("gloo")
    rank = dist.get_rank()
    one, two = (x._replace(**{k: v[2 * rank : 2 * rank + 2] for k, v in x._asdict().items()}) for x in two_halves())
    vectors, prototypes = one.vectors_NPD.detach().requires_grad_(), _prototypes().requires_grad_()
    loss = swapped_prediction(one._replace(vectors_NPD=vectors), two, prototypes, T, EPSILON)
    loss.backward()
    torch.save((loss.item(), vectors.grad, prototypes.grad), f"{folder}/{rank}.pt")


def test_two_processes_have_the_assignment_and_the_gradients_of_one(tmp_path: Path) -> None:
    one, two = two_halves()
    vectors, prototypes = one.vectors_NPD.clone().requires_grad_(), _prototypes().requires_grad_()
    whole = swapped_prediction(one._replace(vectors_NPD=vectors), two, prototypes, T, EPSILON)
    whole.backward()
    in_two_processes(tmp_path, half, str(tmp_path))
    losses, of_vectors, of_prototypes = zip(*(torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1)), strict=True)
    assert math.fsum(losses) / 2 == pytest.approx(whole.item(), abs=1e-9)
    torch.testing.assert_close(torch.cat(of_vectors) / 2, vectors.grad, atol=1e-9, rtol=1e-7)
    torch.testing.assert_close(sum(of_prototypes) / 2, prototypes.grad, atol=1e-9, rtol=1e-7)
