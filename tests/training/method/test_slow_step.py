"""A whole step against a slow walk over views, boxes and anchors, on a batch in which no two sets of boxes are alike.

Everything that the step chooses between differs here: both sets of V1, V1 with and without jitter, the boxes of V2 and
V3, their windows and flips, the sides of the views, the levels, the anchors, mean and std. So no set, window or side
can stand in for another without a change in the loss. In evaluation mode a box's features do not depend on the others.

Legend: N images, K boxes.
"""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import nms, roi_align

from adept_hub.spec import Preprocessing
from adept_training.data.loader import Batch, BoxBatch, ViewBatch
from adept_training.data.photometric import Colors
from adept_training.method.adept import Adept
from adept_training.method.networks import Network
from adept_training.method.rpn import flatten_outputs, make_anchors, rpn_loss
from tests.training.support import tiny

N, SIZES = 3, (64, 96, 48)
UPPER = (22.0, 34.0, 46.0, 60.0)
PIXELS = Preprocessing(mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6))
SETTINGS = (
    f"views.sizes={list(SIZES)}", "model.anchors.sizes=[10,18,30,50]", f"model.levels.upper={list(UPPER)}",
    "method.rpn.weight=0.7", "method.rpn.batch_per_image=4000", "method.rpn.positive_iou=0.5",
)  # fmt: skip
Views = list[list[BoxBatch]]


def _boxes(generator: torch.Generator, size: int, ids: list[list[int]]) -> BoxBatch:
    ids_NK = torch.tensor(ids)
    corner = torch.rand(*ids_NK.shape, 2, generator=generator) * 0.5
    side = 0.2 + torch.rand(*ids_NK.shape, 2, generator=generator) * 0.3
    real_NK = torch.rand(ids_NK.shape, generator=generator) < 0.7
    real_NK[:, 0] = True
    return BoxBatch(torch.cat([corner, corner + side], dim=2) * size, ids_NK, real_NK)


def _batch() -> Batch:
    generator = torch.Generator().manual_seed(3)
    plain = Colors(
        torch.tensor([[1.0, 1, 1, 0]] * N), torch.arange(4).expand(N, 4), torch.zeros(N, dtype=torch.bool),
        torch.zeros(N), torch.zeros(N, dtype=torch.bool), torch.zeros(N, 4, 4),
    )  # fmt: skip
    views = [
        ViewBatch(torch.randint(0, 256, (N, size, size, 3), generator=generator, dtype=torch.uint8), plain)
        for size in SIZES
    ]
    one, two, three = SIZES
    windows = torch.tensor([[0, 0, 1, 1, 1], [0.1, 0.2, 0.8, 0.7, 0], [0.25, 0.05, 0.7, 0.9, 1]])
    return Batch(
        views=(views[0], views[1], views[2]),
        boxes1_S=(
            _boxes(generator, one, [[0, 1, 2, 3], [4, 4, 5, 6], [0, 1, 2, 2]]),
            _boxes(generator, one, [[7, 1, 0, 3], [4, 9, 5, 6], [3, 1, 2, 8]]),
        ),
        boxes2=_boxes(generator, two, [[3, 1, 2, 0], [5, 6, 4, 5], [2, 1, 0, 0]]),
        boxes3=_boxes(generator, three, [[1, 0, 7, 3], [6, 5, 9, 4], [8, 3, 1, 1]]),
        targets1=_boxes(generator, one, [[0, 1, 2, 3], [4, 4, 5, 6], [0, 1, 2, 2]]),
        others1=_boxes(generator, one, [list(range(10, 16))] * N),
        windows_N35=torch.stack([windows, windows[[0, 2, 1]], windows * 0.9]),
        seed_N=torch.arange(N) + 5,
        replaced_N=torch.zeros(N, dtype=torch.bool),
        image_N=torch.tensor([4, 0, 9]),
    )


def _model(*settings: str) -> Adept:
    torch.manual_seed(0)
    recipe = tiny(*SETTINGS, *settings)
    model = Adept(recipe.model, recipe.method, recipe.views.sizes, PIXELS).eval()
    for network in (model.online, model.target):
        for parameter in network.parameters():  # the target is not the online network, and the RPN says something
            parameter.data.add_(torch.randn_like(parameter) * 0.02)
    return model


def _maps(network: Network, batch: Batch, view: int) -> list[Tensor]:
    pixels = batch.views[view].pixels_NHWC.permute(0, 3, 1, 2).float() / 255
    mean, std = (torch.tensor(x)[:, None, None] for x in (PIXELS.mean, PIXELS.std))
    return network.parts.pyramid((pixels - mean) / std)


def _vector(network: Network, maps: list[Tensor], n: int, box: Tensor, size: int) -> Tensor:
    side = float(((box[2] - box[0]) * (box[3] - box[1])).sqrt())
    level = next((i for i, upper in enumerate(UPPER) if side <= upper), len(UPPER) - 1)
    feat = maps[level][n : n + 1]
    pooled = roi_align(feat, [box[None] * feat.shape[-1] / size], 7, 1.0, -1, aligned=True)
    return F.normalize(network.embed(network.parts.head_features(pooled))[0], dim=0)


def _slow_stats(model: Adept, batch: Batch) -> dict[str, float]:
    """Spread of V2's features in both networks, and how many first boxes of V1 find themselves in the target's V2."""
    sets = (batch.boxes1_S[0], batch.boxes2)

    def vectors(network: Network, view: int, count: int) -> Tensor:
        maps, boxes = _maps(network, batch, view), sets[view].boxes_NK4
        rows = [_vector(network, maps, n, boxes[n, k], SIZES[view]) for n in range(N) for k in range(count)]
        return torch.stack(rows)

    found = {}
    for name, network in (("spread_target", model.target), ("spread_online", model.online)):
        rows = vectors(network, 1, 4)
        found[name] = float(((rows - rows.mean(dim=0)) ** 2).sum(dim=0).div(len(rows) - 1).sqrt().mean()) * 4.0
    one, two = (x - x.mean(dim=0) for x in (vectors(model.online, 0, 1), vectors(model.target, 1, 1)))
    hits = [int(F.cosine_similarity(one[n][None], two).argmax()) == n for n in range(N)]
    return found | {"retrieval": sum(hits) / N}


def _slow_contrast(model: Adept, batch: Batch, sets: Views) -> dict[str, float]:
    """``sets``: of V1, one for each of the other views, then those of V2 and V3."""
    maps = {id(net): [_maps(net, batch, view) for view in range(3)] for net in (model.online, model.target)}

    def mean_cosine(n: int, one: tuple[int, BoxBatch], two: tuple[int, BoxBatch]) -> float:
        found = []
        for k, j in itertools.product(range(one[1].ids_NK.shape[1]), range(two[1].ids_NK.shape[1])):
            if one[1].ids_NK[n, k] == two[1].ids_NK[n, j] >= 0:
                a = _vector(model.online, maps[id(model.online)][one[0]], n, one[1].boxes_NK4[n, k], SIZES[one[0]])
                b = _vector(model.target, maps[id(model.target)][two[0]], n, two[1].boxes_NK4[n, j], SIZES[two[0]])
                found.append(float(a @ b))
        return sum(found) / len(found) if found else 0.0

    total = {}
    for name, view, mine in (("contrast_12", 1, sets[0][0]), ("contrast_13", 2, sets[0][-1])):
        first, other = (0, mine), (view, sets[view][0])
        total[name] = sum(-2 * (mean_cosine(n, first, other) + mean_cosine(n, other, first)) / N for n in range(N))
    return total


@torch.no_grad()
@pytest.mark.parametrize("mode", ["assigned", "all_levels"])
def test_each_view_is_contrasted_on_its_own_set_of_boxes(mode: str) -> None:
    model, batch = _model("method.name=soco", f"method.head_mode={mode}"), _batch()
    expected = _slow_contrast(model, batch, [list(batch.boxes1_S), [batch.boxes2], [batch.boxes3]])
    step = model(batch)
    assert step.terms.keys() == expected.keys()
    for name, value in expected.items():
        assert float(step.terms[name]) == pytest.approx(value, abs=1e-4), name
    if mode == "assigned":
        watched = _slow_stats(model, batch)
        assert len(set(watched.values())) == 3
        for name, value in watched.items():
            assert float(step.stats[name]) == pytest.approx(value, abs=1e-4), name


def test_a_norm_after_the_projector_is_in_both_networks_where_it_is_asked_for() -> None:
    for asked in (False, True):
        model = _model(f"method.projector_norm={str(asked).lower()}")
        for network in (model.online, model.target):
            assert isinstance(network.projector[-1], torch.nn.BatchNorm1d) is asked


@torch.no_grad()
@pytest.mark.parametrize("views", ["v1", "all"])
@pytest.mark.parametrize("joint", [True, False])
def test_the_rpn_learns_on_each_view_s_own_boxes_without_jitter(views: str, joint: bool) -> None:
    name = "adept_joint" if joint else "adept_separate"
    model = _model(f"method.rpn.views={views}") if joint else None
    if model is None:
        # Its target is absent; the parts are the same.
        model = _model(f"method.rpn.views={views}")
        recipe = tiny(*SETTINGS, f"method.rpn.views={views}", f"method.name={name}")
        separate = Adept(recipe.model, recipe.method, recipe.views.sizes, PIXELS).eval()
        separate.online.load_state_dict(model.online.state_dict())
        model = separate
    batch, recipe = _batch(), model.recipe.rpn
    targets, losses = (batch.targets1, batch.boxes2, batch.boxes3), []
    for view in range(3 if views == "all" else 1):
        maps = _maps(model.online, batch, view)
        logits, deltas = flatten_outputs(*model.online.parts.rpn_outputs(maps))
        others = (batch.others1.boxes_NK4, batch.others1.real_NK) if view == 0 else None
        boxes = targets[view]
        anchors = make_anchors(model.spec.anchors, maps)
        args = (logits, deltas, anchors, boxes.boxes_NK4, boxes.real_NK, batch.seed_N, recipe)
        losses.append(rpn_loss(*args, others))
        # Without them the loss is another: in this batch it matters that they are ignored.
        assert view or float(rpn_loss(*args, None).objectness) != float(losses[0].objectness)
    step = model(batch)
    for term, field in (("rpn_objectness", "objectness"), ("rpn_box", "box")):
        mean = sum(float(getattr(loss, field)) for loss in losses) / len(losses)
        assert float(step.terms[term]) == pytest.approx(0.7 * mean, rel=1e-5)
    for level in range(4):
        mean = sum(float(loss.positives_L[level]) for loss in losses) / len(losses)
        assert float(step.stats[f"positives_p{level + 2}"]) == pytest.approx(mean)
    assert any(float(step.stats[f"positives_p{level + 2}"]) > 0 for level in range(4))


def _slow_proposals(model: Adept, batch: Batch, count: int) -> BoxBatch:
    """The best ``count`` boxes of V1 after NMS at 0.7 among the 64 of highest objectness."""
    maps = _maps(model.online, batch, 0)
    logits, deltas = flatten_outputs(*model.online.parts.rpn_outputs(maps))
    anchors = torch.cat(make_anchors(model.spec.anchors, maps))
    found = []
    for n in range(N):
        top = logits[n].argsort(descending=True)[:64]
        middle = (anchors[top, :2] + anchors[top, 2:]) / 2
        side = anchors[top, 2:] - anchors[top, :2]
        middle, side = middle + deltas[n, top, :2] * side, side * deltas[n, top, 2:].exp()
        boxes = torch.cat([middle - side / 2, middle + side / 2], dim=1).clamp(0, SIZES[0])
        found.append(boxes[nms(boxes, logits[n, top], 0.7)[:count]])
    ids = torch.arange(1000, 1000 + count).expand(N, count)
    return BoxBatch(torch.stack(found), ids, torch.ones(N, count, dtype=torch.bool))


def _slow_carry(boxes: BoxBatch, windows_N35: Tensor, view: int) -> BoxBatch:
    """Each corner of V1 to the photograph and from there into the view, one number at a time."""
    moved, ids = boxes.boxes_NK4.clone(), boxes.ids_NK.clone()
    for n, k in itertools.product(range(N), range(boxes.ids_NK.shape[1])):
        x1, y1, x2, y2 = (float(v) / SIZES[0] for v in boxes.boxes_NK4[n, k])
        for source, leave in ((windows_N35[n, 0], True), (windows_N35[n, view], False)):
            x, y, w, h, flip = (float(v) for v in source)
            if leave:
                x1, x2 = (1 - x2, 1 - x1) if flip else (x1, x2)
                x1, x2, y1, y2 = x + x1 * w, x + x2 * w, y + y1 * h, y + y2 * h
            else:
                x1, x2, y1, y2 = (
                    min(max(v, 0.0), 1.0) for v in ((x1 - x) / w, (x2 - x) / w, (y1 - y) / h, (y2 - y) / h)
                )
                x1, x2 = (1 - x2, 1 - x1) if flip else (x1, x2)
        if x2 <= x1 or y2 <= y1:
            ids[n, k] = -1
        moved[n, k] = torch.tensor([x1, y1, x2, y2]) * SIZES[view]
    return BoxBatch(moved, ids, boxes.real_NK)


@torch.no_grad()
def test_table_4_s_boxes_reach_each_view_through_its_own_window() -> None:
    model, batch = _model("method.boxes=ss+rpn"), _batch()
    batch = batch._replace(windows_N35=batch.windows_N35.clamp(0, 1))
    found = _slow_proposals(model, batch, 4)
    two, three = (_slow_carry(found, batch.windows_N35, view) for view in (1, 2))
    assert not torch.allclose(two.boxes_NK4 / SIZES[1], three.boxes_NK4 / SIZES[2], atol=0.05)

    def both(drawn: BoxBatch, own: BoxBatch) -> BoxBatch:
        return BoxBatch(*(torch.cat(pair, dim=1) for pair in zip(drawn, own, strict=True)))

    sets = [[both(s, found) for s in batch.boxes1_S], [both(batch.boxes2, two)], [both(batch.boxes3, three)]]
    expected = _slow_contrast(model, batch, sets)
    step = model(batch)
    for name, value in expected.items():
        assert float(step.terms[name]) == pytest.approx(value, abs=1e-4), name
