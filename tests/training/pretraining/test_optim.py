"""LARS against a literal slow reference and against torch's SGD; the rate of a step by hand."""

from __future__ import annotations

import math
import shlex
from pathlib import Path

import pytest
import torch
from torch import nn

from adept_hub.errors import RecipeError
from adept_hub.spec import Preprocessing
from adept_training.method.networks import Network
from adept_training.pretraining.optim import LARS, lr_at, make_optimizer
from adept_training.pretraining.origin import recipe_digest
from adept_training.pretraining.recipe import LRScaleRecipe, OptimizerRecipe, load_recipe
from adept_training.pretraining.setup import make_model
from tests.conftest import SMALL


def _slow_lars(
    weights: list[list[float]], grads: list[list[list[float]]], lr: float, wd: float, adapt: bool,
    momentum: float = 0.9, trust: float = 0.001, eps: float = 1e-8,
) -> list:  # fmt: skip
    """One number at a time: decay, ratio of norms, momentum, step."""
    weights = [list(w) for w in weights]
    momenta = [[0.0] * len(w) for w in weights]
    for step in grads:
        for w, g, m in zip(weights, step, momenta, strict=True):
            idle = adapt and not any(g)  # a weight that nothing has a gradient for is left alone
            decayed = [gi + (0.0 if idle else wd * wi) for gi, wi in zip(g, w, strict=True)]
            ratio = 1.0
            if adapt:
                wn, gn = math.sqrt(sum(x * x for x in w)), math.sqrt(sum(x * x for x in decayed))
                if wn > 0 and gn > 0:
                    ratio = trust * wn / (gn + eps)
            for i in range(len(w)):
                m[i] = momentum * m[i] + ratio * decayed[i]
                w[i] -= lr * m[i]
    return weights


@pytest.mark.parametrize("adapt", [True, False])
def test_lars_is_the_slow_reference(adapt: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    start = [torch.randn(7, generator=generator, dtype=torch.float64), torch.zeros(3, dtype=torch.float64)]
    grads = [[torch.randn(len(w), generator=generator, dtype=torch.float64) for w in start] for _ in range(5)]
    grads[2][0].zero_()
    params = [nn.Parameter(w.clone()) for w in start]
    optimizer = LARS([{"params": params, "adapt": adapt, "weight_decay": 0.01}], lr=2.0)
    for step in grads:
        for p, g in zip(params, step, strict=True):
            p.grad = g.clone()
        optimizer.step()
    expected = _slow_lars([w.tolist() for w in start], [[g.tolist() for g in s] for s in grads], 2.0, 0.01, adapt)
    for p, w in zip(params, expected, strict=True):
        torch.testing.assert_close(p.detach(), torch.tensor(w, dtype=torch.float64), atol=1e-12, rtol=1e-12)


def test_every_choice_of_a_recipe_reaches_its_optimizer() -> None:
    """Momentum, decay, trust and rate at values of no default; LARS against the slow reference, the others torch's."""
    generator = torch.Generator().manual_seed(1)
    grads = [[torch.randn(6, 3, generator=generator), torch.randn(6, generator=generator)] for _ in range(4)]
    start = [torch.randn(6, 3, generator=generator), torch.randn(6, generator=generator)]
    for name in ("lars", "sgd", "adamw"):
        recipe = OptimizerRecipe(name=name, lr=0.2, momentum=0.6, weight_decay=0.3, trust=0.05)  # type: ignore[arg-type]
        layer = nn.Linear(3, 6)
        layer.weight.data, layer.bias.data = start[0].clone(), start[1].clone()
        optimizer = make_optimizer(layer, recipe, batch_size=8)
        for group in optimizer.param_groups:
            group["lr"] = group["peak"]
        for weight, bias in grads:
            layer.weight.grad, layer.bias.grad = weight.clone(), bias.clone()
            optimizer.step()
        flat = [[x.flatten().tolist() for x in step] for step in grads]
        if name == "lars":
            (weight,) = _slow_lars([start[0].flatten().tolist()], [[g[0]] for g in flat], 0.2, 0.3, True, 0.6, 0.05)
            (bias,) = _slow_lars([start[1].tolist()], [[g[1]] for g in flat], 0.2, 0.0, False, 0.6)
        else:
            weight, bias = (torch.nn.Parameter(x.clone()) for x in start)
            groups = [{"params": [weight], "weight_decay": 0.3}, {"params": [bias], "weight_decay": 0.0}]
            other = (torch.optim.SGD(groups, lr=0.2, momentum=0.6) if name == "sgd"
                     else torch.optim.AdamW(groups, lr=0.2, betas=(0.6, 0.999)))  # fmt: skip
            for one, two in grads:
                weight.grad, bias.grad = one.clone(), two.clone()
                other.step()
            weight, bias = weight.detach().flatten().tolist(), bias.detach().tolist()
        torch.testing.assert_close(
            layer.weight.detach().flatten(), torch.tensor(weight), rtol=1e-4, atol=1e-5, msg=name
        )
        torch.testing.assert_close(layer.bias.detach(), torch.tensor(bias), rtol=1e-4, atol=1e-5, msg=name)


def test_lars_leaves_a_weight_alone_that_never_has_a_gradient() -> None:
    """SoCo's own step would shrink it by trust x lr a step, whatever the decay."""
    weight = nn.Parameter(torch.randn(5, 4))
    before = weight.detach().clone()
    lars = LARS([{"params": [weight], "weight_decay": 1e-5}], lr=8.0)
    for _ in range(10):
        weight.grad = torch.zeros_like(weight)
        lars.step()
    assert torch.equal(weight.detach(), before)


def test_lars_around_torchs_sgd_is_the_same_step() -> None:
    """SoCo wraps torch.optim.SGD: scale the gradient, then let SGD step without decay."""
    torch.manual_seed(0)
    ours, theirs = nn.Linear(5, 4, bias=False), nn.Linear(5, 4, bias=False)
    theirs.load_state_dict(ours.state_dict())
    lars = LARS([{"params": list(ours.parameters()), "weight_decay": 1e-5}], lr=8.0)
    sgd = torch.optim.SGD(theirs.parameters(), lr=8.0, momentum=0.9)
    for _ in range(10):
        x = torch.randn(3, 5)
        for model, optimizer in ((ours, lars), (theirs, sgd)):
            optimizer.zero_grad()
            model(x).square().sum().backward()
            if model is theirs:
                w = theirs.weight
                g = w.grad.add(w.detach(), alpha=1e-5)
                w.grad = g * (0.001 * w.detach().norm() / (g.norm() + 1e-8))
            optimizer.step()
        torch.testing.assert_close(ours.weight, theirs.weight, atol=1e-6, rtol=1e-6)


def test_flat_tensors_have_no_decay_and_no_adaptation() -> None:
    network = Network(SMALL, 32, 16, SMALL.head_fc_channels)
    optimizer = make_optimizer(network, OptimizerRecipe(lr=1.0, lr_scaling="linear"), batch_size=2048)
    seen = 0
    for group in optimizer.param_groups:
        flat = {p.ndim == 1 for p in group["params"]}
        assert flat == {not group["adapt"]}
        assert group["weight_decay"] == (0.0 if flat == {True} else 1e-5)
        assert group["peak"] == 8.0, "1.0 x 2048 / 256"
        seen += len(group["params"])
    assert seen == len(list(network.parameters()))


def test_the_rpn_can_have_a_rate_of_its_own() -> None:
    network = Network(SMALL, 32, 16, SMALL.head_fc_channels)
    optimizer = make_optimizer(network, OptimizerRecipe(lr=1.0, rpn_lr=0.02), batch_size=256)
    rpn = {id(p) for p in network.parts.rpn.parameters()}
    for group in optimizer.param_groups:
        own = {id(p) in rpn for p in group["params"]}
        assert len(own) == 1
        assert group["peak"] == (0.02 if own == {True} else 1.0)
        if own == {True}:
            assert not group["adapt"]


def test_without_a_rate_of_its_own_the_rpn_has_the_plain_one_and_is_adapted() -> None:
    network = Network(SMALL, 32, 16, SMALL.head_fc_channels)
    recipe = OptimizerRecipe(lr=1.0, rpn_lr=None, lr_scale=LRScaleRecipe(backbone=0.2, fpn=0.2, head=0.2))
    groups = make_optimizer(network, recipe, 256).param_groups
    for name, parameter in network.named_parameters():
        (group,) = [g for g in groups if any(p is parameter for p in g["params"])]
        assert group["peak"] == (0.2 if name.startswith("parts.") and ".rpn." not in name else 1.0), name
        assert group["adapt"] is (parameter.ndim > 1), name


def test_the_rate_ends_at_the_final_one() -> None:
    """Half-way down the cosine it is the mean of the peak and the final rate."""
    rates = [lr_at(step, 8.0, 20, 100, 0.5, 2.0) for step in (0, 10, 20, 60, 100, 130)]
    assert rates == pytest.approx([4.0, 6.0, 8.0, 5.0, 2.0, 2.0])


def _peaks(model: nn.Module, recipe: OptimizerRecipe, batch: int) -> dict[str, set[float]]:
    """The peak rates of each part's parameters that are trained."""
    groups = make_optimizer(model, recipe, batch).param_groups
    peaks = {id(p): g["peak"] for g in groups for p in g["params"]}
    found: dict[str, set[float]] = {}
    for name, parameter in model.named_parameters():
        part = name.removeprefix("online.").removeprefix("parts.").partition(".")[0]
        if id(parameter) in peaks:
            found.setdefault(part, set()).add(peaks[id(parameter)])
    return found


@pytest.mark.parametrize("rpn_lr", [None, 0.02])
def test_every_part_can_have_a_multiple_of_the_rate(rpn_lr: float | None) -> None:
    network = Network(SMALL, 32, 16, SMALL.head_fc_channels)
    multiples = {"backbone": 0.25, "fpn": 0.5, "head": 3.0, "rpn": 7.0, "projector": 11.0, "predictor": 13.0}
    recipe = OptimizerRecipe(lr=2.0, rpn_lr=rpn_lr, lr_scale=LRScaleRecipe(**multiples))
    expected = {part: {2.0 * multiple} for part, multiple in multiples.items()}
    assert _peaks(network, recipe, 256) == expected | ({} if rpn_lr is None else {"rpn": {rpn_lr}})


_ALL = ("backbone", "fpn", "rpn", "head", "projector", "predictor")
#: Peak rates of the bundled recipes, worked out from their files before rates had multiples by part.
PEAKS = {
    "adept_joint_r18_fpn128_cpu": dict.fromkeys(_ALL, 1.5) | {"rpn": 0.02},
    "adept_joint_r50_100ep": dict.fromkeys(_ALL, 0.1),
    "adept_joint_r50_1gpu": dict.fromkeys(_ALL, 1.0) | {"rpn": 0.02},
    "adept_separate_r50_100ep": {"rpn": 0.1},
    "own_photos_cpu": {
        "backbone": 1.5 * 0.2, "fpn": 1.5 * 0.2, "head": 1.5 * 0.2, "rpn": 0.02, "projector": 1.5, "predictor": 15.0,
    },
    "own_photos_backbone": {"fpn": 1.5 * 0.2, "rpn": 0.02, "head": 1.5 * 0.2, "projector": 1.5, "predictor": 15.0},
    "own_photos_teacher": {"fpn": 1.5, "rpn": 0.02, "head": 1.5, "projector": 1.5, "predictor": 1.5},
    "own_photos_detection": dict.fromkeys(("backbone", "fpn", "rpn", "head", "predictor"), 0.08),
    "soco_r50_100ep": dict.fromkeys(("backbone", "fpn", "head", "projector", "predictor"), 8.0),
    "table4_det_ss": dict.fromkeys(_ALL, 0.1), "table4_det_ssrpn": dict.fromkeys(_ALL, 0.1),
    "table4_detrpn_ss": dict.fromkeys(_ALL, 0.1), "table4_detrpn_ssrpn": dict.fromkeys(_ALL, 0.1),
    "two_minutes": dict.fromkeys(_ALL, 0.001),
}  # fmt: skip


@pytest.mark.parametrize("name", PEAKS)
def test_the_rates_of_bundled_recipes_are_those_of_before(name: str) -> None:
    recipe = load_recipe(name)
    with torch.device("meta"):
        model = make_model(recipe, 4, Preprocessing())
    found = _peaks(model, recipe.optimizer, recipe.engine.batch_size)
    assert found == {part: {peak} for part, peak in PEAKS[name].items()}


def test_earlier_names_are_refused_with_the_present_ones(tmp_path: Path) -> None:
    own = "optimizer.lr_scale.backbone=0.3 --set optimizer.lr_scale.fpn=0.3 --set optimizer.lr_scale.head=0.3"
    with pytest.raises(RecipeError, match=rf"detector_lr_scale is now optimizer.lr_scale.b.*\n.*--set {own}$"):
        load_recipe(None, ("optimizer.detector_lr_scale=0.3",))
    (tmp_path / "r.yaml").write_text("optimizer: {detector_lr_scale: 0.3, predictor_lr_scale: 4.0}\n")
    with pytest.raises(RecipeError, match=r"r.yaml: .* are now .*\n") as caught:
        load_recipe(tmp_path / "r.yaml")
    words = shlex.split(str(caught.value).rpartition("give: ")[2])
    (tmp_path / "r.yaml").write_text("optimizer: {}\n")
    scale = load_recipe(tmp_path / "r.yaml", words[1::2]).optimizer.lr_scale
    assert scale == LRScaleRecipe(backbone=0.3, fpn=0.3, head=0.3, predictor=4.0)


def test_the_rpns_own_rate_excludes_a_multiple() -> None:
    with pytest.raises(RecipeError, match=r"lr_scale.rpn=2 would change nothing.\n.*--set optimizer.rpn_lr=null"):
        load_recipe(None, ("optimizer.rpn_lr=0.02", "optimizer.lr_scale.rpn=2"))


def test_runs_of_before_can_be_resumed() -> None:
    """Digests of 326dbb0, where the second was that of ``optimizer.detector_lr_scale=0.5``."""
    halves = [f"optimizer.lr_scale.{part}=0.5" for part in ("backbone", "fpn", "head")]
    assert recipe_digest(load_recipe("adept_joint_r50_100ep")).startswith("4e936b09c678")
    assert recipe_digest(load_recipe(None, halves)).startswith("a56795abe543")
    assert recipe_digest(load_recipe(None, halves[:2])) != recipe_digest(load_recipe(None, halves))


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (0, 0.08),  # 8 / 100: SoCo's GradualWarmupScheduler with multiplier 100
        (50, 4.04),  # 8 / 100 * (99 * .5 + 1)
        (100, 8.0),
        (550, 4.0000005),  # half of the cosine
        (1000, 1e-6),
    ],
)
def test_the_rate_warms_up_and_follows_half_a_cosine(step: int, expected: float) -> None:
    assert lr_at(step, 8.0, 100, 1000, 0.01, 1e-6) == pytest.approx(expected, rel=1e-6)


def test_the_cosine_is_torchs() -> None:
    parameter = nn.Parameter(torch.zeros(1))
    sgd = torch.optim.SGD([parameter], lr=3.0)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(sgd, T_max=90, eta_min=1e-6)
    for step in range(90):
        assert lr_at(10 + step, 3.0, 10, 100, 0.01, 1e-6) == pytest.approx(scheduler.get_last_lr()[0], rel=1e-6)
        sgd.step()
        scheduler.step()
