"""Norms that are frozen without ever having seen an image get the statistics of training images; others keep theirs."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
import torch

from adept_hub.models import DetectorParts
from adept_training.finetuning.detector import build_detector
from adept_training.finetuning.loop import Fit, make_fabric, prepare
from adept_training.finetuning.norms import batch_norms, without_statistics
from adept_training.finetuning.recipe import load_finetune_recipe
from adept_training.finetuning.run import finetune
from adept_training.finetuning.samples import LabeledSamples
from adept_training.labels.datasets import open_data
from tests.conftest import SMALL
from tests.training.conftest import TINY

SETTINGS = ["norms.policy=frozen", "norms.precise_batches=3", "detector.head_norm=0", "engine.flip=0.5"]


def _fit(source: str, voc: Path, *settings: str) -> Fit:
    recipe = load_finetune_recipe(None, [*TINY, *SETTINGS, *settings])
    samples = LabeledSamples.of(open_data(f"voc:{voc}").train, False, recipe.engine.flip, 0)
    model = build_detector(source, 2, recipe.detector, 0, SMALL)
    return prepare(model, samples, recipe, make_fabric(recipe, "cpu"))


def _slow_statistics(fit: Fit) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """Means over the batches of each norm's own mean and variance, every norm normalizing by its batch."""
    seen: dict[str, list[tuple[torch.Tensor, torch.Tensor]]] = {}
    for name, module in fit.model.named_modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.train()
            module.register_forward_pre_hook(
                lambda _, inputs, name=name: seen.setdefault(name, []).append(
                    (inputs[0].mean(dim=(0, 2, 3)), inputs[0].transpose(0, 1).flatten(1).var(dim=1))
                )
            )
    batches, show = fit._shown(3)
    with torch.no_grad():
        for batch in batches:
            show(batch)
    return {name: tuple(torch.stack(x).mean(dim=0) for x in zip(*rows, strict=True)) for name, rows in seen.items()}


def test_scratch_is_frozen_with_statistics_of_training_images(voc: Path) -> None:
    fit = _fit("scratch", voc)
    assert fit.measured == len(batch_norms(fit.model)) > 20
    assert not any(norm.training for norm in batch_norms(fit.model))
    assert not without_statistics(fit.model)
    found = {name: (m.running_mean.clone(), m.running_var.clone()) for name, m in fit.model.named_modules()
             if isinstance(m, torch.nn.BatchNorm2d)}  # fmt: skip
    expected = _slow_statistics(fit)
    assert found.keys() == expected.keys()
    for name, pair in expected.items():
        for one, two in zip(found[name], pair, strict=True):
            torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-5, msg=name)
    assert {norm.momentum for norm in batch_norms(fit.model)} == {0.1}


def test_what_a_source_brings_stays_and_what_it_lacks_is_measured(make_checkpoint, voc: Path) -> None:
    folder, _, parts = make_checkpoint(parts=("backbone", "fpn"))
    fit = _fit(str(folder), voc)
    heads = [m for m in fit.model.roi_heads.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert fit.measured == len(heads) == 4
    assert all(float(norm.running_mean.abs().max()) > 0 for norm in heads)
    assert isinstance(parts, DetectorParts)
    for part, module in (("backbone", fit.model.backbone.body), ("fpn", fit.model.backbone.fpn)):
        for key, tensor in getattr(parts, part).state_dict().items():
            assert torch.equal(module.state_dict()[key], tensor), key


@pytest.mark.parametrize("policy", ["train", "freeze_after_warmup"])
def test_norms_that_learn_are_not_measured(policy: str, voc: Path) -> None:
    fit = _fit("scratch", voc, f"norms.policy={policy}")
    assert fit.measured == 0
    assert len(without_statistics(fit.model)) == len(batch_norms(fit.model))


def test_a_run_says_so(voc: Path, tmp_path: Path) -> None:
    told = io.StringIO()
    recipe = load_finetune_recipe(None, [*TINY, *SETTINGS, "schedule.iterations=1", "engine.evaluations=0"])
    finetune("scratch", open_data(f"voc:{voc}"), recipe, tmp_path, stream=told, accelerator="cpu")
    assert "batch norms have no statistics yet: frozen with those of training images" in told.getvalue()
