"""The whole step: which losses reach which layers, and what the variants share.

Legend: N images, K boxes.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.nn import functional as F
from torchvision.ops import roi_align

from adept_training.data.loader import Batch, Order, Samples, Steps, make_loader
from adept_training.data.photometric import apply_colors
from adept_training.method.adept import Adept
from tests.training.support import RandomBoxes, tiny, write_photographs


def _batch(folder: Path, *settings: str) -> Batch:
    source, recipe = write_photographs(folder, 4), tiny(*settings)
    samples = Samples(source, RandomBoxes(), tuple(source.keys()), recipe.views, recipe.colors, seed=0)
    return next(iter(make_loader(samples, Steps(Order(4, 4, 0), 0, 1), workers=0)))


def _model(*settings: str) -> Adept:
    torch.manual_seed(0)
    recipe = tiny(*settings)
    return Adept(recipe.model, recipe.method, recipe.views.sizes).train()


def _gradients(model: Adept) -> dict[str, float]:
    """Largest gradient of each part of the online network."""
    found: dict[str, float] = {}
    for name, parameter in model.online.named_parameters():
        part = name.split(".")[1] if name.startswith("parts.") else name.split(".")[0]
        size = 0.0 if parameter.grad is None else parameter.grad.abs().max().item()
        found[part] = max(found.get(part, 0.0), size)
    return found


def _rpn_loss(model: Adept, batch: Batch) -> torch.Tensor:
    images = [apply_colors(v.pixels_NHWC, v.colors, model.preprocessing) for v in batch.views]
    terms, _ = model._rpn_terms(model._rpn_outputs([model.online.parts.pyramid(x) for x in images]), batch)
    return torch.stack(list(terms.values())).sum()


def test_the_sum_is_that_of_its_terms(tmp_path: Path) -> None:
    step = _model()(_batch(tmp_path))
    assert set(step.terms) == {"contrast_12", "contrast_13", "rpn_objectness", "rpn_box"}
    assert step.loss.item() == pytest.approx(sum(v.item() for v in step.terms.values()), rel=1e-6)


def test_the_rpns_loss_trains_the_rpn_alone(tmp_path: Path) -> None:
    model, batch = _model(), _batch(tmp_path)
    _rpn_loss(model, batch).backward()
    gradients = _gradients(model)
    assert gradients.pop("rpn") > 0
    assert set(gradients.values()) == {0.0}


def test_table_4s_ablation_lets_it_reach_the_backbone(tmp_path: Path) -> None:
    model = _model("method.rpn.reaches_backbone=true")
    _rpn_loss(model, _batch(tmp_path)).backward()
    gradients = _gradients(model)
    assert gradients["rpn"] > 0
    assert gradients["backbone"] > 0
    assert gradients["fpn"] > 0
    assert gradients["head"] == 0


def test_the_rpn_changes_no_gradient_of_the_rest(tmp_path: Path) -> None:
    batch = _batch(tmp_path)
    found = []
    for name in ("soco", "adept_joint"):
        model = _model(f"method.name={name}")
        model(batch).loss.backward()
        found.append({n: p.grad for n, p in model.online.named_parameters() if ".rpn." not in n})
    assert found[0].keys() == found[1].keys()
    assert all(torch.equal(found[0][n], found[1][n]) for n in found[0])


def test_soco_leaves_the_rpn_and_the_target_alone(tmp_path: Path) -> None:
    model = _model("method.name=soco")
    model(_batch(tmp_path)).loss.backward()
    gradients = _gradients(model)
    assert gradients.pop("rpn") == 0.0
    assert all(value > 0 for value in gradients.values())
    assert all(p.grad is None for p in model.target.parameters())


def test_separate_training_leaves_all_but_the_rpn_bit_identical(tmp_path: Path) -> None:
    model, batch = _model("method.name=adept_separate"), _batch(tmp_path)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        step = model.train()(batch)
        step.loss.backward()
        optimizer.step()
    assert set(step.terms) == {"rpn_objectness", "rpn_box"}
    for key, value in model.state_dict().items():
        assert torch.equal(value, before[key]) == (".rpn." not in key), key


def test_batch_statistics_move_in_both_networks_once_a_view(tmp_path: Path) -> None:
    model = _model()
    model(_batch(tmp_path))
    for network in (model.online, model.target):
        assert network.parts.backbone.bn1.num_batches_tracked == 3
        assert network.parts.head[0][1].num_batches_tracked == 3
        assert network.projector[1].num_batches_tracked == 3


def test_all_levels_runs_the_head_on_every_level_of_every_view(tmp_path: Path) -> None:
    model = _model("method.head_mode=all_levels")
    model(_batch(tmp_path))
    assert model.online.parts.head[0][1].num_batches_tracked == 12


def test_separate_box_sets_run_the_first_views_head_twice(tmp_path: Path) -> None:
    settings = ("views.v3_mode=independent", "views.box_sets=separate")
    model = _model(*settings)
    model(_batch(tmp_path, *settings))
    assert model.online.parts.backbone.bn1.num_batches_tracked == 3
    assert model.online.parts.head[0][1].num_batches_tracked == 4


@pytest.mark.parametrize("settings", [(), ("views.v3_mode=independent", "views.box_sets=separate")])
def test_head_modes_agree_in_loss_and_gradient_when_norms_do_not_look_at_the_batch(
    tmp_path: Path, settings: tuple[str, ...]
) -> None:
    """The loss masks what the assigned mode never computes; only batch statistics tell the modes apart."""
    batch, found = _batch(tmp_path, *settings), []
    for mode in ("assigned", "all_levels"):
        model = _model("method.name=soco", f"method.head_mode={mode}", *settings).eval()
        loss = model(batch).loss
        loss.backward()
        found.append((loss.item(), {n: p.grad for n, p in model.online.named_parameters() if p.grad is not None}))
    assert found[0][0] == pytest.approx(found[1][0], abs=1e-5)
    for name, gradient in found[0][1].items():
        torch.testing.assert_close(gradient, found[1][1][name], atol=1e-5, rtol=1e-4)


def test_the_contrast_is_that_of_a_slow_walk_over_boxes(tmp_path: Path) -> None:
    """Each box pooled, embedded and compared on its own, in evaluation mode."""
    model, batch = _model("method.name=soco").eval(), _batch(tmp_path)
    images = [apply_colors(v.pixels_NHWC, v.colors, model.preprocessing) for v in batch.views]
    sets = [batch.boxes1_S[0], batch.boxes2, batch.boxes3]

    def embed(network: torch.nn.Module, view: int, n: int, k: int) -> torch.Tensor:
        box = sets[view].boxes_NK4[n, k]
        size = ((box[2] - box[0]) * (box[3] - box[1])).sqrt().item()
        level = 0 if size <= 48 else 1 if size <= 96 else 2 if size <= 192 else 3
        feat = network.parts.pyramid(images[view])[level]
        scale = feat.shape[-1] / images[view].shape[-1]
        pooled = roi_align(feat, [b[None] * scale if i == n else b.new_zeros(0, 4) for i, b in enumerate([box] * 4)],
                           7, 1.0, -1, aligned=True)  # fmt: skip
        return F.normalize(network.embed(network.parts.head_features(pooled))[0], dim=0)

    total = 0.0
    with torch.no_grad():
        for one, two in ((0, 1), (1, 0), (0, 2), (2, 0)):
            for n in range(4):
                pairs = [(k, j) for k in range(4) for j in range(4) if sets[one].ids_NK[n, k] == sets[two].ids_NK[n, j]]
                cosines = [embed(model.online, one, n, k) @ embed(model.target, two, n, j) for k, j in pairs]
                total += -2 * float(sum(cosines)) / len(pairs) / 4
        assert model(batch).loss.item() == pytest.approx(total, abs=1e-4)


def test_rpn_boxes_join_the_contrast_in_table_4s_ablation(tmp_path: Path) -> None:
    model, batch = _model("method.boxes=ss+rpn"), _batch(tmp_path)
    seen: list[torch.Tensor] = []
    model.online.parts.head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    step = model(batch)
    assert [len(pooled) for pooled in seen] == [4 * 8] * 3, "four boxes of each source in every view"
    step.loss.backward()
    assert torch.isfinite(step.loss)


def test_byol_trains_the_backbone_alone_on_whole_images(tmp_path: Path) -> None:
    model, batch = _model("method.name=byol"), _batch(tmp_path)
    step = model(batch)
    step.loss.backward()
    gradients = _gradients(model)
    assert {part for part, size in gradients.items() if size > 0} == {"backbone", "projector", "predictor"}
    model.eval()
    images = [apply_colors(v.pixels_NHWC, v.colors, model.preprocessing) for v in batch.views]
    total = 0.0
    with torch.no_grad():
        for one, two in ((0, 1), (1, 0), (0, 2), (2, 0)):
            a = model.online.embed(model.online.parts.backbone(images[one])["c5"].mean(dim=(2, 3)))
            b = model.target.embed(model.target.parts.backbone(images[two])["c5"].mean(dim=(2, 3)))
            total += -2 * F.cosine_similarity(a, b).mean().item()
        assert model(batch).loss.item() == pytest.approx(total, abs=1e-4)
