"""A whole step with InfoNCE against a slow walk over views and boxes, on the batch of `test_slow_step`."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from adept_hub.errors import RecipeError
from adept_training.data.loader import Batch, BoxBatch, Order, Samples, Steps, make_loader
from adept_training.method.adept import Adept
from tests.training.method.test_slow_step import SIZES, N, _batch, _maps, _model, _vector
from tests.training.support import RandomBoxes, tiny, write_photographs

T = 0.5


def _on_photograph(batch: Batch, n: int, view: int, box: list[float]) -> list[float]:
    x, y, w, h, flip = (float(value) for value in batch.windows_N35[n, view])
    x1, y1, x2, y2 = (value / SIZES[view] for value in box)
    if flip:
        x1, x2 = 1 - x2, 1 - x1
    return [x + x1 * w, y + y1 * h, x + x2 * w, y + y2 * h]


def _iou(a: list[float], b: list[float]) -> float:
    w, h = (min(a[i + 2], b[i + 2]) - max(a[i], b[i]) for i in (0, 1))
    both = max(w, 0) * max(h, 0)
    return both / (sum((x[2] - x[0]) * (x[3] - x[1]) for x in (a, b)) - both)


def _slow(
    model: Adept, batch: Batch, *, same_image: bool, past: dict[int, list[tuple[Tensor, int]]] | None = None
) -> dict[str, float]:
    """``past``: vectors of each view and the numbers of their images."""
    maps = {net: [_maps(net, batch, view) for view in range(3)] for net in (model.online, model.target)}
    sets = [list(batch.boxes1_S), [batch.boxes2], [batch.boxes3]]

    def direction(view: int, one: BoxBatch, other: int, two: BoxBatch) -> float:
        places = list(itertools.product(range(N), range(one.ids_NK.shape[1])))
        rows = {
            (side, n, k): _vector(net, maps[net][v], n, boxes.boxes_NK4[n, k], SIZES[v])
            for side, net, v, boxes in ((0, model.online, view, one), (1, model.target, other, two))
            for n, k in places
        }
        total = 0.0
        for n in range(N):
            losses = []
            for k in range(one.ids_NK.shape[1]):
                positives, negatives = [], []
                mine = _on_photograph(batch, n, view, one.boxes_NK4[n, k].tolist())
                for m, j in places:
                    score = math.exp(float(rows[0, n, k] @ rows[1, m, j]) / T)
                    theirs = _on_photograph(batch, m, other, two.boxes_NK4[m, j].tolist())
                    if m == n and one.ids_NK[n, k] == two.ids_NK[m, j]:
                        positives.append(score)
                    elif m != n or (same_image and _iou(mine, theirs) < 0.1):
                        negatives.append(score)
                for vector, image in (past or {}).get(other, []):
                    if image != batch.image_N[n]:
                        negatives.append(math.exp(float(rows[0, n, k] @ vector) / T))
                losses += [-math.log(p / (p + sum(negatives))) for p in positives]
            total += sum(losses) / max(len(losses), 1)
        return 2 * T * total / N

    found = {}
    for name, view, mine in (("contrast_12", 1, sets[0][0]), ("contrast_13", 2, sets[0][-1])):
        other = sets[view][0]
        found[name] = direction(0, mine, view, other) + direction(view, other, 0, mine)
    return found


@torch.no_grad()
@pytest.mark.parametrize("mode", ["assigned", "all_levels"])
def test_every_direction_has_the_boxes_of_other_images_as_negatives(mode: str) -> None:
    batch, values = _batch(), {}
    for same_image in (False, True):
        settings = ("method.objective=infonce", f"method.temperature={T}", f"method.head_mode={mode}")
        model = _model("method.name=soco", *settings, f"method.same_image_negatives={str(same_image).lower()}")
        values[same_image] = _slow(model, batch, same_image=same_image)
        step = model(batch)
        assert step.terms.keys() == values[same_image].keys()
        for name, value in values[same_image].items():
            assert float(step.terms[name]) == pytest.approx(value, abs=1e-4), name
    assert all(values[True][name] > values[False][name] + 1e-2 for name in values[True])


@torch.no_grad()
def test_each_view_has_a_queue_of_its_own() -> None:
    batch = _batch()
    model = _model("method.name=soco", "method.objective=infonce", f"method.temperature={T}", "method.queue=13")
    assert model.queue is not None
    vectors = torch.nn.functional.normalize(torch.randn(3, 13, 16, generator=torch.Generator().manual_seed(1)), dim=2)
    images = torch.tensor([4, 77, -1, 0, 9, 50, 51, 52, 53, 54, -1, 55, 56])
    model.queue.vectors_VQD.copy_(vectors)
    model.queue.image_VQ.copy_(images.expand(3, 13))
    past = {v: [(vectors[v, i], int(images[i])) for i in range(13) if images[i] >= 0] for v in range(3)}
    expected = _slow(model, batch, same_image=False, past=past)
    model.training = True  # itself alone: its norms stay in evaluation mode
    step = model(batch)
    for name, value in expected.items():
        assert float(step.terms[name]) == pytest.approx(value, abs=1e-4), name
    # Twelve boxes of each view are new, of V1 those of its first set; the first of the old ones follows.
    for view, boxes in enumerate((batch.boxes1_S[0], batch.boxes2, batch.boxes3)):
        maps = _maps(model.target, batch, view)
        new = [_vector(model.target, maps, n, boxes.boxes_NK4[n, k], SIZES[view]) for n in range(N) for k in range(4)]
        wanted = torch.stack([*new, vectors[view, 0]])
        torch.testing.assert_close(model.queue.vectors_VQD[view], wanted, atol=1e-4, rtol=0)
        assert model.queue.image_VQ[view].tolist() == [4] * 4 + [0] * 4 + [9] * 4 + [4]


@pytest.mark.parametrize("name", ["adept_joint", "soco", "byol"])
def test_every_contrast_learns_by_it(name: str, tmp_path: Path) -> None:
    recipe, source = tiny(f"method.name={name}", "method.objective=infonce"), write_photographs(tmp_path, 4)
    samples = Samples(source, RandomBoxes(), tuple(source.keys()), recipe.views, recipe.colors, seed=0)
    batch = next(iter(make_loader(samples, Steps(Order(4, 4, 0), 0, 1), workers=0)))
    assert sorted(batch.image_N.tolist()) == [0, 1, 2, 3]
    torch.manual_seed(0)
    model = Adept(recipe.model, recipe.method, recipe.views.sizes).train()
    step = model(batch)
    step.loss.backward()
    assert float(step.terms["contrast_12"]) > 0
    trained = [p for n, p in model.online.named_parameters() if n.startswith("parts.backbone") and p.requires_grad]
    assert any(p.grad is not None and p.grad.abs().max() > 0 for p in trained), "zero gains stop some at the start"
    assert all(p.grad is None for p in model.target.parameters())


@pytest.mark.parametrize(
    ("settings", "typed"),
    [
        (("method.objective=infonce", "method.name=adept_separate"), "method.objective=cosine"),
        (("method.temperature=0.1",), "method.objective=infonce"),
        (("method.same_image_negatives=true",), "method.objective=infonce"),
        (("method.same_image_negatives=true", "method.objective=prototypes"), "method.objective=infonce"),
        (("method.drop_similar=0.1", "method.objective=prototypes"), "method.objective=infonce"),
        (("method.prototypes=64",), "method.objective=prototypes"),
        (("method.prototype_epsilon=0.1", "method.objective=infonce"), "method.objective=prototypes"),
        (
            ("method.objective=infonce", "method.same_image_negatives=true", "method.name=byol"),
            "method.same_image_negatives=false",
        ),
    ],
)
def test_settings_that_would_change_nothing_are_refused(settings: tuple[str, ...], typed: str) -> None:
    with pytest.raises(RecipeError, match=f"--set {typed}$"):
        tiny(*settings)
    tiny(*settings, typed)
