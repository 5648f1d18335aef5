"""A frozen teacher's targets and the loss on them, box by box and image by image, and their whitening by NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import roi_align

from adept_training.data.loader import Batch, BoxBatch
from adept_training.method.adept import Adept
from tests.training.method.test_slow_step import PIXELS, SETTINGS, SIZES, N, _batch, _maps, _vector
from tests.training.support import tiny

FEATURES = np.random.default_rng(0).normal(size=(300, 768)) @ np.diag(np.linspace(3, 0.1, 768)) + 5.0


def _model(*settings: str) -> Adept:
    torch.manual_seed(0)
    recipe = tiny(*SETTINGS, "method.teacher=frozen", *settings)
    model = Adept(recipe.model, recipe.method, recipe.views.sizes, PIXELS)
    for name, tensor in model.online.state_dict().items():
        if tensor.is_floating_point():
            tensor.add_(torch.rand_like(tensor) * (0.2 if "running_var" in name else 0.02))
    model.keep_start()
    assert model.teacher is not None
    model.teacher.fit(torch.from_numpy(FEATURES))
    if model.recipe.freeze == "none":  # the online backbone is trained, the teacher stays
        for parameter in model.online.parts.backbone.parameters():
            parameter.data.add_(torch.randn_like(parameter) * 0.02)
    return model.eval()


def _target(model: Adept, batch: Batch, view: int, n: int, box: Tensor) -> Tensor:
    """The whitened means of one box on C4 and C5, of its own image alone."""
    assert model.teacher is not None
    pixels = batch.views[view].pixels_NHWC[n : n + 1].permute(0, 3, 1, 2).float() / 255
    mean, std = (torch.tensor(x)[:, None, None] for x in (PIXELS.mean, PIXELS.std))
    maps = list(model.teacher.backbone((pixels - mean) / std).values())[2:]
    feature = [roi_align(m, [box[None] * m.shape[-1] / SIZES[view]], 7, 1.0, -1, aligned=True).mean(3).mean(2)
               for m in maps]  # fmt: skip
    centered = FEATURES - FEATURES.mean(axis=0)
    _, spread, axes = np.linalg.svd(centered, full_matrices=False)
    scaled = axes[:16].T / (spread[:16] / np.sqrt(len(FEATURES) - 1))
    return torch.from_numpy((torch.cat(feature, dim=1)[0].double().numpy() - FEATURES.mean(axis=0)) @ scaled)


@torch.no_grad()
@pytest.mark.parametrize("freeze", ["none", "backbone"])
def test_the_loss_is_that_of_a_slow_walk_over_boxes(freeze: str) -> None:
    model, batch = _model("method.name=soco", f"method.freeze={freeze}"), _batch()
    maps = [_maps(model.online, batch, view) for view in range(3)]

    def cosine(n: int, one: tuple[int, BoxBatch], two: tuple[int, BoxBatch]) -> float:
        found = []
        for k in range(4):
            for j in range(4):
                if one[1].ids_NK[n, k] == two[1].ids_NK[n, j] >= 0:
                    a = _vector(model.online, maps[one[0]], n, one[1].boxes_NK4[n, k], SIZES[one[0]])
                    b = _target(model, batch, two[0], n, two[1].boxes_NK4[n, j])
                    # The sign of each component is free: both sides have the same choice in the teacher's buffers.
                    found.append((a.double(), b))
        return _mean(found)

    def _mean(pairs: list[tuple[Tensor, Tensor]]) -> float:
        return float(np.mean([float(F.cosine_similarity(a, b * signs, dim=0)) for a, b in pairs])) if pairs else 0.0

    assert model.teacher is not None
    axes = np.linalg.svd(FEATURES - FEATURES.mean(axis=0), full_matrices=False)[2][:16]
    signs = torch.from_numpy(np.sign((axes * model.teacher.whitening_DE.T.numpy()).sum(axis=1)))
    step = model(batch)
    for name, view, mine, other in (
        ("contrast_12", 1, batch.boxes1_S[0], batch.boxes2),
        ("contrast_13", 2, batch.boxes1_S[1], batch.boxes3),
    ):
        first, second = (0, mine), (view, other)
        expected = sum(-2 * (cosine(n, first, second) + cosine(n, second, first)) / N for n in range(N))
        assert float(step.terms[name]) == pytest.approx(expected, abs=1e-4), name


def test_boxes_that_were_measured_have_targets_of_mean_0_and_variance_1() -> None:
    teacher = _model().teacher
    assert teacher is not None
    targets = (torch.from_numpy(FEATURES).float() - teacher.mean_D) @ teacher.whitening_DE
    torch.testing.assert_close(targets.mean(dim=0), torch.zeros(16), atol=1e-4, rtol=0)
    torch.testing.assert_close(torch.cov(targets.T), torch.eye(16), atol=1e-3, rtol=0)


def test_nothing_of_the_teacher_is_trained_and_it_is_in_evaluation_mode() -> None:
    for freeze in ("none", "backbone"):
        model = _model(f"method.freeze={freeze}").train()
        assert model.teacher is not None
        assert model.teacher.train() is model.teacher
        assert not any(module.training for module in model.teacher.modules())
        shared = model.teacher.backbone is model.online.parts.backbone
        assert shared is (freeze == "backbone")
        before = {name: tensor.clone() for name, tensor in model.teacher.state_dict().items()}
        model(_batch()).loss.backward()
        assert all(p.grad is None for p in model.teacher.parameters())
        trained = {p.grad is not None for p in model.online.parts.backbone.parameters()}
        assert trained == {freeze == "none"}
        assert all(torch.equal(tensor, before[name]) for name, tensor in model.teacher.state_dict().items())
        assert not hasattr(model, "target")
