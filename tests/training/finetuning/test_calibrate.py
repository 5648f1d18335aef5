"""The length of the head's features: measured with the norms that training will have."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest
import torch

from adept_training.finetuning.detector import build_detector
from adept_training.finetuning.loop import make_fabric, prepare
from adept_training.finetuning.norms import batch_norms, set_training
from adept_training.finetuning.recipe import load_finetune_recipe
from adept_training.finetuning.samples import LabeledSamples
from adept_training.labels.datasets import open_data
from tests.house import House
from tests.training.conftest import TINY


@pytest.mark.parametrize("policy", ["train", "frozen"])
def test_features_have_the_asked_length_under_either_policy(policy: str, make_checkpoint, voc: Path) -> None:
    recipe = load_finetune_recipe(None, [*TINY, f"norms.policy={policy}", "detector.head_norm=6"])
    data = open_data(f"voc:{voc}")
    samples = LabeledSamples.of(data.train, False, 0.0, 0)
    model = build_detector(str(make_checkpoint()[0]), 2, recipe.detector, 0)
    before = [(norm.running_mean.clone(), norm.running_var.clone()) for norm in batch_norms(model)]
    fit = prepare(model, samples, recipe, make_fabric(recipe, "cpu"))
    lengths: list[torch.Tensor] = []
    handle = model.roi_heads.box_head.register_forward_hook(
        lambda _, __, features_KD: lengths.append(features_KD.detach().norm(dim=1))
    )
    set_training(model, recipe, 0)
    with torch.no_grad():
        for start in range(0, len(samples), 2):
            fit._losses([samples[(start, 0)], samples[(start + 1, 0)]])
    handle.remove()
    assert float(torch.cat(lengths).mean()) == pytest.approx(6, rel=0.25)
    if policy == "frozen":
        for norm, (mean, variance) in zip(batch_norms(model), before, strict=True):
            torch.testing.assert_close(cast("torch.Tensor", norm.running_mean), mean)
            torch.testing.assert_close(cast("torch.Tensor", norm.running_var), variance)


def test_every_head_of_a_cascade_is_calibrated_by_its_own_length(make_checkpoint, voc: Path) -> None:
    """Three heads that begin as different as can be: each is scaled, in its last layer alone, by what it measured."""
    settings = ["detector.detector=cascade_rcnn", "detector.head_norm=9", "norms.policy=frozen"]
    recipe = load_finetune_recipe(None, [*TINY, *settings])
    samples = LabeledSamples.of(open_data(f"voc:{voc}").train, False, 0.0, 0)
    model = build_detector(str(make_checkpoint()[0]), 2, recipe.detector, 0)
    heads = list(model.roi_heads.box_head)
    with torch.no_grad():
        for head, factor in zip(heads, (0.3, 2.0, 7.0), strict=True):
            for parameter in head[5].parameters():
                parameter.mul_(factor)
    before = [[p.detach().clone() for p in head.parameters()] for head in heads]
    fit = prepare(model, samples, recipe, make_fabric(recipe, "cpu"))
    lengths: list[list[torch.Tensor]] = [[], [], []]
    handles = [
        head.register_forward_hook(lambda _, __, x, store=store: store.append(x.detach().norm(dim=1)))
        for head, store in zip(heads, lengths, strict=True)
    ]
    set_training(model, recipe, 0)
    with torch.no_grad():
        for start in range(0, len(samples), 2):
            fit._losses([samples[(start, 0)], samples[(start + 1, 0)]])
    for handle in handles:
        handle.remove()
    assert [float(torch.cat(store).mean()) for store in lengths] == pytest.approx([9, 9, 9], rel=0.25)
    for head, old in zip(heads, before, strict=True):
        *others, weight, bias = zip(old, head.parameters(), strict=True)
        assert all(torch.equal(one, two) for one, two in others)
        torch.testing.assert_close(weight[1] / weight[0], (weight[1] / weight[0])[:1, :1].expand_as(weight[0]))
        torch.testing.assert_close(bias[1], bias[0] * (weight[1] / weight[0])[0, 0])


def test_a_head_whose_features_are_zero_is_left_as_it_is(make_checkpoint, voc: Path) -> None:
    recipe = load_finetune_recipe(None, [*TINY, "detector.head_norm=6"])
    samples = LabeledSamples.of(open_data(f"voc:{voc}").train, False, 0.0, 0)
    model = build_detector(str(make_checkpoint()[0]), 2, recipe.detector, 0)
    last = [module for module in model.roi_heads.box_head.modules() if isinstance(module, torch.nn.Linear)][-1]
    with torch.no_grad():
        last.weight.zero_()
        last.bias.fill_(-1.0)  # behind it a ReLU
    prepare(model, samples, recipe, make_fabric(recipe, "cpu"))
    assert (last.weight == 0).all()
    assert (last.bias == -1).all()


def test_a_source_s_box_regressor_predicts_the_same_boxes_from_longer_features(house: House, voc: Path) -> None:
    recipe = load_finetune_recipe(None, [*TINY, "norms.policy=frozen", "detector.head_norm=31"])
    samples = LabeledSamples.of(open_data(f"voc:{voc}").train, False, 0.0, 0)
    model = build_detector(house.source, 2, recipe.detector, 0).eval()
    roi, regressor = model.roi_heads.box_head, model.roi_heads.box_predictor.bbox_pred
    regions = torch.randn(6, house.config.spec.fpn_channels, 7, 7)
    with torch.no_grad():
        features, deltas = roi(regions), regressor(roi(regions))
        prepare(model, samples, recipe, make_fabric(recipe, "cpu"))
        longer, same = roi.eval()(regions), regressor(roi(regions))
    assert not torch.allclose(features, longer, rtol=0.2), "they were scaled"
    assert float((deltas - regressor.bias).abs().max()) > 0.1, "the weights matter"
    torch.testing.assert_close(deltas, same)
