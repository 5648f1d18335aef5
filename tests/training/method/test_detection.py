"""The step of detection: which losses reach which layers, whose classes are learned, and what it leaves alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from adept_hub.models.parts import STRIDES
from adept_hub.spec import PARTS, Preprocessing
from adept_training.data.detector_view import DetectorBatch
from adept_training.data.loader import Order, Steps, make_loader
from adept_training.method import detection as module
from adept_training.method.detection import Detection
from adept_training.method.rois import RoIs
from adept_training.method.rpn import make_anchors
from adept_training.pretraining.setup import make_model, make_samples
from tests.training.support import RandomBoxes, tiny_detection, write_photographs


def _made(folder: Path, *settings: str) -> tuple[Detection, DetectorBatch]:
    source, recipe = write_photographs(folder, 4), tiny_detection(*settings)
    samples = make_samples(recipe, source, RandomBoxes(), source.keys(), None)
    torch.manual_seed(0)
    model = make_model(recipe, 4, Preprocessing()).train()
    assert isinstance(model, Detection)
    return model, next(iter(make_loader(samples, Steps(Order(4, 4, 0), 0, 1), workers=0)))


def test_every_part_learns_from_the_sum_of_four_terms(tmp_path: Path) -> None:
    model, batch = _made(tmp_path)
    step = model(batch)
    assert set(step.terms) == {"rpn_objectness", "rpn_box", "head_class", "head_box"}
    assert step.loss.item() == pytest.approx(sum(v.item() for v in step.terms.values()), rel=1e-6)
    step.loss.backward()
    for part in PARTS:
        assert any(p.grad.abs().max() > 0 for p in getattr(model.online.parts, part).parameters() if p.grad is not None)
    assert all(p.grad is not None for p in model.parameters()), "DDP waits for every gradient"
    assert step.stats["head_objects"] > 0
    assert not hasattr(model, "target")


def test_the_rpns_loss_reaches_the_backbone(tmp_path: Path) -> None:
    model, batch = _made(tmp_path, "method.rpn.weight=7")
    step = model(batch)
    plain, _ = _made(tmp_path)
    assert step.terms["rpn_box"].item() == pytest.approx(7 * plain(batch).terms["rpn_box"].item(), rel=1e-5)
    model.zero_grad()
    model.online.predictor.cls_score.weight.data.zero_()
    model.online.predictor.bbox_pred.weight.data.zero_()
    model(batch).loss.backward()
    assert model.online.parts.backbone.conv1.weight.grad.abs().max() > 0
    assert model.online.parts.head[0][0].weight.grad.abs().max() == 0


def test_an_object_has_the_class_of_its_image_and_rank(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, batch = _made(tmp_path, "method.detection.pseudo_classes=16")
    model.classes_IK.copy_(torch.arange(16).reshape(4, 4))
    seen: list[RoIs] = []
    real = module.roi_losses
    monkeypatch.setattr(
        module, "roi_losses", lambda logits, deltas, rois: seen.append(rois) or real(logits, deltas, rois)
    )
    step = model(batch)
    objects_R = seen[0].class_R > 0
    assert step.stats["head_objects"] == objects_R.sum() / 4, "per image, of four"
    checked = 0
    for box, image, label in zip(seen[0].goal_R4, seen[0].image_R, seen[0].class_R, strict=True):
        if label:
            rank = [i for i in range(4) if torch.equal(batch.objects.boxes_NK4[image, i], box)]
            assert int(label) - 1 in [4 * int(batch.image_N[image]) + r for r in rank]
            checked += 1
    assert checked >= 4


def test_others_are_no_background_to_the_rpn_and_to_the_head(tmp_path: Path) -> None:
    settings = ("views.other_boxes=60", "method.rpn.batch_per_image=100000", "method.detection.rois=1000")
    model, batch = _made(tmp_path, *settings)
    model.eval()
    maps = [torch.zeros(1, 1, 64 // stride, 64 // stride) for stride in STRIDES]
    anchors_K4 = torch.cat(make_anchors(model.spec.anchors, maps))[::16][:64].clamp(0, 64)
    boxes_NK4 = anchors_K4.expand(4, 64, 4).contiguous()
    plain, careful = (
        model(batch._replace(others=batch.others._replace(boxes_NK4=boxes_NK4, real_NK=torch.full((4, 64), real))))
        for real in (False, True)
    )
    assert careful.terms["rpn_objectness"] < plain.terms["rpn_objectness"]
    assert careful.terms["rpn_box"] == plain.terms["rpn_box"]
    assert careful.stats["head_objects"] == plain.stats["head_objects"]
    assert careful.terms["head_class"] != plain.terms["head_class"]


def test_a_batch_without_objects_trains_nothing_and_keeps_every_gradient(tmp_path: Path) -> None:
    model, batch = _made(tmp_path)
    nothing = batch.objects._replace(real_NK=torch.zeros_like(batch.objects.real_NK))
    step = model(batch._replace(objects=nothing))
    assert step.loss.item() == 0
    step.loss.backward()
    assert all(p.grad is not None and p.grad.abs().max() == 0 for p in model.parameters())


def test_the_same_batch_gives_the_same_loss_and_norms_see_it_once(tmp_path: Path) -> None:
    model, batch = _made(tmp_path)
    other, _ = _made(tmp_path)
    assert model(batch).loss.item() == other(batch).loss.item()
    assert model.online.parts.backbone.bn1.num_batches_tracked == 1
    assert model.online.parts.head[0][1].num_batches_tracked == 1


def test_it_learns_a_single_batch(tmp_path: Path) -> None:
    model, batch = _made(tmp_path)
    optimizer = torch.optim.AdamW(model.parameters(), 2e-3)
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        step = model(batch)
        step.loss.backward()
        optimizer.step()
        losses.append(step.loss.item())
    assert sum(losses[-5:]) < 0.7 * sum(losses[:5])
