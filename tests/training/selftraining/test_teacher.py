"""The teacher against slow references: its mean, the selection of labels, and the uncertainty of boxes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from adept_training.finetuning.detector import build_detector
from adept_training.finetuning.losses import Detectron2RoIHeads
from adept_training.finetuning.recipe import load_finetune_recipe
from adept_training.selftraining import teacher
from adept_training.selftraining.focal import focal_loss, use_focal_loss
from adept_training.selftraining.settings import SelfTraining
from tests.training.conftest import TINY


def _net(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)).double()
    net(torch.randn(5, 3, dtype=torch.float64))
    return net


def test_the_teacher_is_an_exponential_mean_of_everything_worked_in_a_loop() -> None:
    students, mean = [_net(seed) for seed in range(6)], _net(9)
    expected = {name: tensor.numpy().copy() for name, tensor in mean.state_dict().items()}
    for student in students:
        teacher.follow(mean, student, 0.7)
        for name, tensor in student.state_dict().items():
            if name != "1.num_batches_tracked":
                expected[name] = 0.7 * expected[name] + 0.3 * tensor.numpy()
    for name, tensor in mean.state_dict().items():
        if name != "1.num_batches_tracked":
            np.testing.assert_allclose(tensor.numpy(), expected[name], rtol=1e-12)
    assert {"0.weight", "1.running_mean", "1.running_var"} <= expected.keys()


def test_at_first_it_is_the_plain_mean_and_then_has_the_momentum_of_the_recipe() -> None:
    settings = SelfTraining(momentum=0.75)
    assert [teacher.momentum_of(settings, step) for step in (1, 2, 3, 4, 5, 90)] == [
        0,
        0.5,
        1 - 1 / 3,
        0.75,
        0.75,
        0.75,
    ]
    students, mean = [_net(seed) for seed in range(3)], _net(9)
    for step, student in enumerate(students, start=1):
        teacher.follow(mean, student, teacher.momentum_of(settings, step))
    plain = torch.stack([student[0].weight for student in students]).mean(dim=0)
    torch.testing.assert_close(mean[0].weight, plain)


def test_labels_pass_by_the_score_of_their_class() -> None:
    scores, labels = torch.tensor([0.75, 0.5, 0.4, 0.9, 0.2]), torch.tensor([1, 1, 2, 2, 3])
    assert teacher.passes(scores, labels, (0.5,)).tolist() == [True, True, False, True, False]
    assert teacher.passes(scores, labels, (0.75, 0.4, 0.25)).tolist() == [True, False, True, True, False]


def test_jittered_boxes_stay_within_their_share() -> None:
    boxes = torch.tensor([[10.0, 20, 30, 60], [0, 0, 100, 10]])
    torch.manual_seed(0)
    shifts = teacher.jittered(boxes, 400, 0.06) - boxes
    assert shifts.shape == (400, 2, 4)
    for place, (width, height) in enumerate(((20, 40), (100, 10))):
        limit = 0.06 * torch.tensor([width, height, width, height])
        assert (shifts[:, place].abs() <= limit * 1.001).all()
        assert (shifts[:, place].amax(dim=0) > 0.9 * limit).all()
        assert (shifts[:, place].amin(dim=0) < -0.9 * limit).all()
        assert abs(torch.corrcoef(shifts[:, place].T)[0, 2]) < 0.2, "edges move by themselves"


def test_uncertainty_worked_by_hand_and_in_a_loop() -> None:
    boxes = torch.tensor([[0.0, 0, 10, 20], [5, 5, 25, 9]])
    # Left edges of -1 and 1: a standard deviation of sqrt(2), of four coordinates, over (10 + 20) / 2.
    by_hand = torch.stack([boxes + torch.tensor([x, 0.0, 0, 0]) for x in (-1, 1)])
    assert teacher.uncertainty(by_hand, boxes)[0] == pytest.approx(2**0.5 / 4 / 15)
    refined = boxes + torch.from_numpy(np.random.default_rng(0).normal(size=(7, 2, 4))).float()
    for place, box in enumerate(boxes.tolist()):
        spreads = []
        for edge in range(4):
            values = [float(refined[n, place, edge]) for n in range(7)]
            mean = sum(values) / 7
            spread = (sum((value - mean) ** 2 for value in values) / 6) ** 0.5
            spreads.append(spread / (0.5 * (box[2] - box[0] + box[3] - box[1])))
        assert float(teacher.uncertainty(refined, boxes)[place]) == pytest.approx(sum(spreads) / 4, rel=1e-5)


@pytest.fixture
def source(make_checkpoint) -> str:
    return str(make_checkpoint()[0])


def _model(source: str, *settings: str):
    recipe = load_finetune_recipe(None, [*TINY, *settings])
    model = build_detector(source, 3, recipe.detector, 0).eval()
    predictor = model.roi_heads.box_predictor
    for layer in predictor if isinstance(predictor, nn.ModuleList) else [predictor]:
        nn.init.normal_(layer.bbox_pred.weight, std=0.02)
        nn.init.normal_(layer.cls_score.weight, std=0.05)
    return model


@pytest.mark.parametrize("detector", ["faster_rcnn", "cascade_rcnn"])
def test_refined_boxes_are_those_of_the_detector(detector: str, source: str) -> None:
    """Every detection of torchvision's heads is what a proposal is refined to, for the detection's class."""
    model = _model(source, f"detector.detector={detector}", "detector.score_threshold=0")
    torch.manual_seed(1)
    images, _ = model.transform([torch.rand(3, 50, 70)])
    with torch.no_grad():
        features = model.backbone(images.tensors)
        (proposals,), _ = model.rpn(images, features)
        (found,), _ = model.roi_heads(features, [proposals], images.image_sizes)
        assert len(found["boxes"]) > 3
        for label in (1, 2, 3):
            labels = torch.full((len(proposals),), label)
            refined = teacher.refined(model, features, proposals, labels, images.image_sizes[0])
            for box in found["boxes"][found["labels"] == label]:
                assert (refined - box).abs().amax(dim=1).min() < 1e-3


def test_labels_are_the_detector_s_own_in_pixels_of_the_image(source: str) -> None:
    model = _model(source)
    torch.manual_seed(1)
    images = [torch.rand(3, 50, 70), torch.rand(3, 90, 40)]
    with torch.no_grad():
        expected = model(images)
    middle = float(torch.cat([one["scores"] for one in expected]).quantile(0.5, interpolation="higher"))
    settings = SelfTraining(thresholds=(middle,), box_uncertainty=0.02, jitters=3, jitter=0.1)
    rows = teacher.label(model, images, settings)
    seen = []
    for row, one in zip(rows, expected, strict=True):
        for name in ("boxes", "labels", "scores"):
            torch.testing.assert_close(row[name], one[name])
        passing = row["scores"] >= middle
        assert row["uncertainty"][passing].isfinite().all()
        assert (row["uncertainty"][passing] > 0).all()
        assert row["uncertainty"][~passing].isinf().all()
        seen += passing.tolist()
    assert 0 < sum(seen) < len(seen)
    without = teacher.label(model, images, SelfTraining(thresholds=(0.3,), box_uncertainty=0.0))
    assert all(row["uncertainty"].isinf().all() for row in without)


def test_focal_loss_in_a_loop() -> None:
    torch.manual_seed(0)
    logits, labels = torch.randn(6, 4), torch.tensor([0, 1, 2, 3, 0, 2])
    total = 0.0
    for row, label in zip(logits.double(), labels, strict=True):
        p = float(torch.exp(row[label]) / torch.exp(row).sum())
        total += -((1 - p) ** 1.5) * np.log(p)
    assert float(focal_loss(logits, labels)) == pytest.approx(total / 6, rel=1e-5)


@pytest.mark.parametrize("losses", ["torchvision", "detectron2"])
def test_only_the_class_loss_of_the_head_becomes_focal(losses: str, source: str) -> None:
    model = _model(source, f"detector.losses={losses}").train()
    targets = [{"boxes": torch.tensor([[4.0, 8, 40, 45]]), "labels": torch.tensor([2])}]
    image, values, logits = torch.rand(3, 50, 60), [], []
    model.roi_heads.box_predictor.register_forward_hook(lambda _, __, out: logits.append(out[0]))
    weight = model.roi_heads.box_predictor.cls_score.weight
    for change in (lambda _: None, use_focal_loss):
        change(model)
        torch.manual_seed(3)
        values.append({name: value.item() for name, value in model([image], targets).items()})
    assert model.roi_heads.box_predictor.cls_score.weight is weight
    assert isinstance(model.roi_heads, Detectron2RoIHeads) == (losses == "detectron2")
    plain, focal = values
    labels = model.roi_heads._labels_R
    assert focal.pop("loss_classifier") == pytest.approx(focal_loss(logits[1], labels).item(), rel=1e-5)
    assert plain.pop("loss_classifier") == pytest.approx(functional.cross_entropy(logits[0], labels).item(), rel=1e-5)
    assert focal == pytest.approx(plain, rel=1e-5)
