"""Every choice of a fine-tuning at a value that is not its default, seen where it acts.

Legend: R boxes, D dimensions.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import adept_training.comparing.runs as runs
from adept_hub.detectors.build import CosinePredictor
from adept_training.comparing.compare import make_plan
from adept_training.comparing.runs import run_plan
from adept_training.finetuning.detector import build_detector
from adept_training.finetuning.loop import make_fabric, prepare, train
from adept_training.finetuning.recipe import load_finetune_recipe, lr_factor
from adept_training.finetuning.samples import Batches, LabeledSamples
from adept_training.labels.datasets import open_data
from adept_training.metrics.voc import voc_metrics
from tests.training.conftest import TINY
from tests.training.made import crowded, detections, image, imperfect, split


@pytest.fixture
def source(make_checkpoint) -> str:
    return str(make_checkpoint()[0])


def _fit(source: str, voc: Path, *settings: str):
    recipe = load_finetune_recipe(None, [*TINY, *settings])
    data = open_data(f"voc:{voc}")
    samples = LabeledSamples.of(data.train, False, recipe.engine.flip, recipe.engine.seed)
    return prepare(build_detector(source, 2, recipe.detector, 0), samples, recipe, make_fabric(recipe, "cpu"))


def test_the_rate_follows_every_number_of_its_schedule() -> None:
    """A warm-up from a fifth over 4 of 20 iterations, then times .3 after 10 and again after 15."""
    recipe = load_finetune_recipe(
        None,
        ["schedule.iterations=20", "schedule.warmup=4", "schedule.warmup_start=0.2", "schedule.gamma=0.3",
         "schedule.steps=[0.5,0.75]", "optimizer.lr=0.6", "optimizer.lr_batch=4", "engine.batch_size=6"],
    )  # fmt: skip
    assert recipe.peak_lr == pytest.approx(0.9)
    assert recipe.peak_lr != pytest.approx(0.6 * 6 / 16)
    expected = [0.2, 0.4, 0.6, 0.8, *[1.0] * 6, *[0.3] * 5, *[0.09] * 5]
    assert [lr_factor(step, recipe) for step in range(20)] == pytest.approx(expected)


@pytest.mark.parametrize("clip", [0.0, 0.05])
def test_a_step_is_no_longer_than_the_clip_allows(clip: float, source: str, voc: Path) -> None:
    fit = _fit(source, voc, f"optimizer.clip={clip}", "optimizer.momentum=0", "optimizer.weight_decay=0",
               "optimizer.lr=0.5", "optimizer.lr_batch=0", "schedule.warmup=0", "schedule.iterations=2")  # fmt: skip
    before = {name: p.detach().clone() for name, p in fit.model.named_parameters()}
    train(fit, lambda step, _: step == 1)
    moved = sum(float(((p.detach() - before[name]) ** 2).sum()) for name, p in fit.model.named_parameters()) ** 0.5
    if clip:
        assert moved == pytest.approx(0.5 * clip, rel=1e-3)
    else:
        assert moved > 0.5 * 0.05 * 2


def test_images_have_one_of_the_sides_of_training_and_the_side_of_testing(source: str, voc: Path) -> None:
    fit = _fit(source, voc, "detector.train_sides=[32,48]", "detector.test_side=80", "detector.max_side=90",
               "schedule.iterations=8", "detector.head_norm=0")  # fmt: skip
    seen: list[tuple[int, int]] = []
    fit.model.transform.register_forward_hook(lambda _, __, out: seen.extend(out[0].image_sizes))
    train(fit, lambda *_: False)
    # The images are 64 x 80: the longer side is below 90.
    assert set(seen) == {(32, 40), (48, 60)}
    seen.clear()
    with torch.no_grad():
        fit.model.eval()([torch.rand(3, 64, 80), torch.rand(3, 64, 66)])
    assert seen == [(72, 90), (80, 82)], "of the first, the longer side is the limit"


def test_the_heads_see_and_give_as_many_boxes_as_are_asked_for(source: str, voc: Path) -> None:
    fit = _fit(source, voc, "detector.rois=24", "detector.train_proposals=70", "detector.test_proposals=33",
               "detector.detections=9", "detector.score_threshold=0.2", "detector.rpn_anchors=40",
               "detector.head_norm=0", "schedule.iterations=1", "optimizer.lr=1.0e-9")  # fmt: skip
    model, counts, sampled = fit.model, [], []
    model.rpn.head.bbox_pred.weight.data *= 0.02  # random deltas leave too few boxes
    model.rpn.head.bbox_pred.bias.data *= 0.02
    model.roi_heads.box_head.register_forward_hook(lambda _, inputs, __: counts.append(len(inputs[0])))
    model.rpn.register_forward_hook(lambda _, __, out: sampled.append([len(boxes) for boxes in out[0]]))
    real, anchors = model.rpn.fg_bg_sampler, []
    model.rpn.fg_bg_sampler = lambda labels: anchors.append(real(labels)) or anchors[-1]
    train(fit, lambda *_: False)
    assert counts == [2 * 24]
    assert sampled == [[70, 70]]
    positive, negative = anchors[0]
    assert [int(p.sum() + n.sum()) for p, n in zip(positive, negative, strict=True)] == [40, 40]
    with torch.no_grad():
        for layer in (model.roi_heads.box_predictor.cls_score, model.roi_heads.box_predictor.bbox_pred):
            layer.weight.zero_()  # every box stays where it is, with one score
        model.roi_heads.box_predictor.cls_score.bias.data = torch.tensor([0.0, 2.0, 0.0])
        (found,) = model.eval()([torch.rand(3, 64, 80)])
        assert (counts[-1], sampled[-1]) == (33, [33])
        assert len(found["scores"]) == 9
        assert float(found["scores"].min()) > 0.2
        model.roi_heads.box_predictor.cls_score.bias.data = torch.tensor([3.0, 0.0, 0.0])
        (found,) = model([torch.rand(3, 64, 80)])
        assert len(found["scores"]) == 0, "every score is below .2"


def test_the_cosine_classifier_by_hand() -> None:
    predictor = CosinePredictor(2, 3)
    predictor.cls_score.weight.data = torch.tensor([[3.0, 4.0], [0.0, 2.0], [-7.0, 0.0]])
    features_RD = torch.tensor([[1.0, 0.0], [30.0, 40.0]])
    logits, deltas = predictor(features_RD)
    torch.testing.assert_close(logits, torch.tensor([[12.0, 0.0, -20.0], [20.0, 16.0, -12.0]]))
    torch.testing.assert_close(deltas, features_RD @ predictor.bbox_pred.weight.T + predictor.bbox_pred.bias)


def test_batches_differ_between_seeds() -> None:
    orders = [[place for batch in Batches(20, 5, seed, 0, 4) for place in batch] for seed in (1, 2)]
    assert sorted(orders[0]) == sorted(orders[1])
    assert orders[0] != orders[1]


def test_a_plan_gives_every_source_the_labels_and_the_draws_of_its_seed(
    source: str, voc: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple] = []

    def judged(model, given):
        seen[-1] += (given.name,)
        return SimpleNamespace(flat=lambda: {"AP": 1.0, "AP50": 2.0})

    def prepared(model, samples, recipe, fabric):
        ids = tuple(one.path.stem for one in samples.images)
        seen[-1] += (ids, samples.seed, recipe.engine.seed)
        return SimpleNamespace(model=model, precise=lambda: pytest.MonkeyPatch.context())

    def built(word, classes, recipe, seed, *_):
        seen.append((word, seed))
        return "model"

    monkeypatch.setattr(runs, "build_detector", built)
    monkeypatch.setattr(runs, "prepare", prepared)
    monkeypatch.setattr(runs, "train", lambda *_: None)
    monkeypatch.setattr(runs, "evaluate", judged)
    plan = make_plan({"scratch": "scratch", "mine": source}, ["3img"], 3, {"recipe": load_finetune_recipe(None, TINY)})
    run_plan(plan, open_data(f"voc:{voc}"), tmp_path / "out", accelerator="cpu")
    assert [row[:2] for row in seen] == [(word, seed) for seed in range(3) for word in ("scratch", source)]
    for one, two in zip(seen[::2], seen[1::2], strict=True):
        assert one[2:] == two[2:], "labels, order and split are the same for both"
        assert one[3:] == (one[1], one[1], "test")
        assert len(one[2]) == 3
        assert all(key.startswith(("train", "val")) for key in one[2])
    assert len({row[2] for row in seen}) == 3, "each seed has labels of its own"


def test_voc_s_ap_at_another_overlap() -> None:
    truth = split(image("1", [[0, 0, 100, 100]], [1]), classes=1)
    (key,) = imperfect(truth, objects_missed=0).keys()
    found = {key: detections([[0, 0, 100, 60]], [0.9], [1])}
    assert voc_metrics(truth, found)["area"]["mean"] == pytest.approx(100)
    assert voc_metrics(truth, found, iou=0.59)["area"]["mean"] == pytest.approx(100)
    assert voc_metrics(truth, found, iou=0.61)["area"]["mean"] == 0
    assert np.isfinite(voc_metrics(crowded(), {}, iou=0.7)["07"]["mean"])
