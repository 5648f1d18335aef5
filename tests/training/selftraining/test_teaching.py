"""An iteration of self-training: boxes from weak to strong views, which losses count, and a run that is resumed."""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision.transforms import v2

import adept_training
from adept_hub.cli.main import main
from adept_hub.detectors.folder import read_detector
from adept_hub.errors import RecipeError, ResumeError
from adept_training.finetuning import augment
from adept_training.finetuning.detector import canonical_state
from adept_training.finetuning.recipe import load_finetune_recipe
from adept_training.finetuning.samples import LabeledSamples
from adept_training.labels.datasets import open_data
from adept_training.runtime.state import saved_states
from adept_training.selftraining import teaching
from adept_training.selftraining.settings import SelfTraining
from adept_training.selftraining.teaching import BothViews, Teaching, pseudo_figures, pseudo_words
from adept_training.selftraining.unlabeled import WeakViews
from tests.hostile.kills import adept
from tests.training.conftest import TINY, write_voc
from tests.two_processes import in_two_processes

#: A weak view of 100 x 60 with a red rectangle and a blue one, and the teacher's detections on it.
RED, BLUE = (8, 12, 48, 40), (60, 20, 90, 50)
DETECTIONS = {
    "boxes": torch.tensor([RED, BLUE, (0, 0, 9, 9), (5, 5, 9, 9)]).float(),
    "labels": torch.tensor([1, 2, 2, 1]),
    "scores": torch.tensor([0.9, 0.6, 0.45, 0.7]),
    "uncertainty": torch.tensor([0.01, 0.3, 0.001, torch.inf]),
}


def _weak() -> Tensor:
    pixels_CHW = torch.full((3, 60, 100), 60, dtype=torch.uint8)
    for (x1, y1, x2, y2), color in ((RED, (200, 0, 0)), (BLUE, (0, 0, 200))):
        pixels_CHW[:, y1:y2, x1:x2] = torch.tensor(color, dtype=torch.uint8)[:, None, None]
    return pixels_CHW


def _teaching(monkeypatch: pytest.MonkeyPatch, *settings: str, flip: float = 0.0) -> Teaching:
    recipe = load_finetune_recipe(None, ["schedule.iterations=10", "engine.batch_size=2", *settings])
    monkeypatch.setattr(teaching.teachers, "label", lambda _, images, __: [dict(DETECTIONS) for _ in images])
    monkeypatch.setattr(augment, "_COLORS", v2.Identity())
    monkeypatch.setattr(augment, "_ERASE", v2.Identity())
    source: Any = None
    return Teaching(recipe, nn.Linear(1, 1), WeakViews(source, ("a", "b"), flip, 3))


@pytest.mark.parametrize("flip", [0.0, 1.0])
def test_pseudo_boxes_are_where_the_strong_view_shows_the_object(flip: float, monkeypatch: pytest.MonkeyPatch) -> None:
    teach = _teaching(monkeypatch, "self_training.thresholds=[0.8,0.5]", flip=flip)
    widths = set()
    for epoch in range(12):
        pseudo = teach.label([(_weak(), (epoch, 0))], torch.device("cpu"))
        ((pixels, target),) = pseudo.samples
        assert pixels.shape == (3, 60, 100)
        for label, color in ((1, (200, 0, 0)), (2, (0, 0, 200))):
            seen = (pixels.int() - torch.tensor(color)[:, None, None]).abs().amax(dim=0) < 75
            box = target["boxes"][target["labels"] == label]
            assert len(box) == bool(seen.sum() > 60), "a label for what is seen, none for what is cropped"
            if len(box):
                rows, columns = torch.nonzero(seen, as_tuple=True)
                truth = torch.stack([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
                assert (box[0] - truth).abs().max() <= 1
                widths.add(int(box[0, 2] - box[0, 0]))
        assert torch.equal(pseudo.located[0][0], pixels)
        assert set(pseudo.located[0][1]["labels"].tolist()) <= {1}, "blue's box is uncertain"
    assert len(widths) > 5


def test_labels_by_threshold_and_certainty_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(augment, "SCALES", (1.0, 1.0))
    teach = _teaching(
        monkeypatch,
        "self_training.thresholds=[0.7,0.5]",
        "self_training.box_uncertainty=0.3",
        "self_training.ignore_above=0.4",
    )
    pseudo = teach.label([(_weak(), (0, 0)), (_weak(), (0, 1))], torch.device("cpu"))
    assert pseudo.counts == pytest.approx(
        {"pseudo_boxes": 3, "pseudo_candidates": 4, "pseudo_located": 2, "pseudo_scores": 0.9 + 0.6 + 0.7,
         "pseudo_unsure": 1}
    )  # fmt: skip
    assert [target["labels"].tolist() for _, target in pseudo.samples] == [[1, 2, 1, -1]] * 2
    assert [target["boxes"].tolist() for _, target in pseudo.located] == [[list(RED), list(BLUE)]] * 2
    figures = pseudo_figures({"loss": 1.0, **pseudo.counts})
    assert figures == pytest.approx(
        {
            "loss": 1,
            "pseudo_boxes": 3,
            "pseudo_score": 2.2 / 3,
            "pseudo_share": 0.75,
            "pseudo_located": 2 / 3,
            "pseudo_unsure": 1,
        }
    )
    assert "3.0 per image, score 0.73, 75% pass, 67% with box losses, 1.0 per image ignored" in pseudo_words(figures)
    assert pseudo_figures({"loss": 1.0}) == {"loss": 1.0}
    assert pseudo_words({"loss": 1.0}) == ""


class _Student:
    """Losses that are the weights times the number of labels, so that gradients show what was counted."""

    NAMES = ("loss_classifier", "loss_box_reg", "loss_objectness", "loss_rpn_box_reg", "loss_mask")

    def __init__(self) -> None:
        self.weights = {name: torch.ones((), requires_grad=True) for name in self.NAMES}
        self.asked: list[list[int]] = []

    def losses(self, batch: Any) -> dict[str, Tensor]:
        self.asked.append([int((target["labels"] > 0).sum()) for _, target in batch])
        return {name: weight * sum(self.asked[-1]) for name, weight in self.weights.items()}


def test_classes_learn_from_all_labels_and_boxes_from_certain_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(augment, "SCALES", (1.0, 1.0))
    fabric: Any = SimpleNamespace(
        device=torch.device("cpu"), world_size=1, no_backward_sync=lambda _: nullcontext(), backward=Tensor.backward
    )
    batch = [(_weak(), (0, 0)), (_weak(), (0, 1))]
    student = _Student()
    chosen = ("self_training.thresholds=[0.5]", "self_training.weight=3")
    teach = _teaching(monkeypatch, *chosen, "self_training.box_uncertainty=0.02")
    values = teach.backward(batch, fabric, None, student.losses)
    assert student.asked == [[3, 3], [1, 1]]
    gradients = {name: weight.grad and weight.grad.item() for name, weight in student.weights.items()}
    assert gradients == {
        "loss_classifier": 18, "loss_objectness": 18, "loss_box_reg": 6, "loss_rpn_box_reg": 6, "loss_mask": None
    }  # fmt: skip
    assert values["loss_pseudo_classifier"] == values["loss_pseudo_objectness"] == 18
    assert values["loss_pseudo_box_reg"] == values["loss_pseudo_rpn_box_reg"] == 6
    assert values["loss"] == 48

    student = _Student()
    teach = _teaching(monkeypatch, *chosen, "self_training.box_uncertainty=0")
    teach.backward(batch, fabric, None, student.losses)
    assert student.asked == [[3, 3]], "without certain boxes there is no second forward"
    assert student.weights["loss_box_reg"].grad is None


def test_a_batch_without_labels_teaches_nothing_and_a_session_of_such_is_warned_of(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    alone: Any = SimpleNamespace(
        device=torch.device("cpu"), world_size=1, no_backward_sync=lambda _: nullcontext(), backward=Tensor.backward
    )
    student, teach = _Student(), _teaching(monkeypatch, "self_training.thresholds=[0.95]")
    teach.warn()
    assert caplog.text == "", "a session without iterations has nothing to warn of"
    assert teach.backward([(_weak(), (0, 0))], alone, None, student.losses)["loss"] == 0
    assert student.asked == []
    many: Any = SimpleNamespace(**{**vars(alone), "world_size": 2})
    monkeypatch.setattr(student, "losses", lambda _: {name: 5 * weight for name, weight in student.weights.items()})
    assert teach.backward([(_weak(), (0, 0))], many, None, student.losses)["loss"] == 0
    assert [weight.grad.item() for name, weight in student.weights.items() if name != "loss_mask"] == [0] * 4
    teach.warn()
    assert "(0.95): nothing was learned from them" in caplog.text
    caplog.clear()
    teach = _teaching(monkeypatch, "self_training.thresholds=[0.5]")
    teach.backward([(_weak(), (0, 0))], alone, None, _Student().losses)
    teach.warn()
    assert caplog.text == ""


def test_the_labeled_batch_has_weak_and_strong_views(voc: Path) -> None:
    weak = LabeledSamples.of(open_data(f"voc:{voc}").train, False, 0.5, 3)
    places = [(0, 1), (2, 0)]
    views = BothViews(weak).__getitems__(places)
    strong = replace(weak, augment="strong").__getitems__(places)
    assert len(BothViews(weak)) == 8
    for (pixels, target), (same, row) in zip(views, [*weak.__getitems__(places), *strong], strict=True):
        assert torch.equal(pixels, same)
        assert torch.equal(target["boxes"], row["boxes"])
    assert not torch.equal(views[0][0], views[2][0])


def test_batches_begin_after_the_burn_in_and_go_on_where_a_run_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(WeakViews, "__getitem__", lambda self, place: (self.seed, place))
    teach = _teaching(monkeypatch, "self_training.burn_in=4", "self_training.batch_size=1", "engine.workers=0")
    whole = [row for (row,) in teach.batches(0, 0, 1)]
    assert len(whole) == 6
    assert [row for (row,) in teach.batches(7, 0, 1)] == whole[3:]
    assert SelfTraining().burn_in_of(300) == 150
    assert SelfTraining().burn_in_of(90_000) == 2000
    with pytest.raises(RecipeError, match="not a multiple of the 2 processes"):
        teach.batches(0, 0, 2)


def test_a_resumed_run_ends_with_the_same_teacher(make_checkpoint, tmp_path: Path) -> None:
    voc, folder = write_voc(tmp_path / "voc", 3), tmp_path / "more"
    folder.mkdir()
    for path in sorted((voc / "JPEGImages").glob("train*")):
        (folder / path.name).write_bytes(path.read_bytes())
    chosen = [*TINY, "engine.evaluations=0", "engine.checkpoint_minutes=0", "engine.keep=3", "optimizer.lr=1e-4",
              "schedule.iterations=3", "self_training.burn_in=1",
              "detector.score_threshold=0.01", "detector.detections=5", "self_training.thresholds=[0.01]",
              "self_training.box_uncertainty=10"]  # fmt: skip
    source = str(make_checkpoint()[0])
    options = {"labels": "2img", "device": "cpu", "unlabeled": folder}
    whole = adept_training.finetune(source, f"voc:{voc}", tmp_path / "whole", settings=chosen, **options)
    words = [word for setting in chosen for word in ("--set", setting)]
    command = ["finetune", source, "--data", f"voc:{voc}", "--out", str(tmp_path / "parted"), "--device", "cpu"]
    from adept_training.calls import finetuning

    real = finetuning.finetune_data
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(finetuning, "finetune_data", lambda *args, **more: real(*args, **more, stop_at=2))
        assert main([*command, *words, "--labels", "2img", "--unlabeled", str(folder)]) == 130
    with pytest.raises(ResumeError, match=r"started with unlabeled images\.\nGive the same --unlabeled"):
        adept_training.finetune(source, f"voc:{voc}", tmp_path / "parted", labels="2img", device="cpu", resume=True)
    parted = adept_training.finetune(source, f"voc:{voc}", tmp_path / "parted", resume=True, **options)
    assert (whole.iterations, parted.iterations) == (3, 3)
    for file in ("model.safetensors", "predictors.safetensors"):
        one, two = ((tmp_path / run / "last" / file).read_bytes() for run in ("whole", "parted"))
        assert one == two, file

    paths = saved_states(tmp_path / "whole" / "checkpoints")
    burnt, begun, state = (torch.load(path, weights_only=True)["model"] for path in paths)
    name = "rpn.head.cls_logits.weight"
    assert not torch.equal(burnt[f"teacher.{name}"], burnt[f"student.{name}"]), "the teacher has not begun"
    assert torch.equal(begun[f"teacher.{name}"], begun[f"student.{name}"])
    torch.testing.assert_close(state[f"teacher.{name}"], (begun[f"student.{name}"] + state[f"student.{name}"]) / 2)
    last = canonical_state(read_detector(tmp_path / "whole" / "last")[0])
    for part in ("rpn.head.bbox_pred.weight", "backbone.body.conv1.weight"):
        mine = last[part.replace("rpn.head", "rpn").replace("backbone.body", "backbone")]
        assert torch.equal(mine, state[f"teacher.{part}"])
        assert not torch.equal(mine, state[f"student.{part}"])
    lines = [json.loads(line) for line in (tmp_path / "whole" / "log.jsonl").read_text().splitlines()]
    first, *later = [line for line in lines if line["kind"] == "train"]
    assert "pseudo_boxes" not in first
    assert all(line.keys() >= {"pseudo_boxes", "pseudo_score", "pseudo_share", "pseudo_located"} for line in later)
    assert max(line["pseudo_boxes"] for line in later) > 0
    assert "loss_pseudo_box_reg" in later[0]
    run = json.loads((tmp_path / "whole" / "run.json").read_text())
    assert (run["unlabeled"]["images"], run["unlabeled"]["count"]) == (str(folder), 3)

    next(folder.glob("*.png")).unlink()
    with pytest.raises(ResumeError, match="other unlabeled images"):
        adept_training.finetune(source, f"voc:{voc}", tmp_path / "parted", resume=True, **options)


@pytest.mark.slow
def test_two_processes_teach_as_one(make_checkpoint, tmp_path: Path) -> None:
    """Gradients of three backwards are exchanged in the last one, and the first process writes the teacher."""
    voc = write_voc(tmp_path / "voc", 2)
    images = tmp_path / "train.txt"
    images.write_text("".join(f"{path}\n" for path in sorted((voc / "JPEGImages").glob("train*"))))
    settings = [*TINY, "engine.evaluations=0", "optimizer.lr=1e-4", "schedule.iterations=2", "self_training.burn_in=1",
                "detector.score_threshold=0.01", "detector.detections=5", "self_training.thresholds=[0.01]",
                "self_training.box_uncertainty=10"]  # fmt: skip
    words = ["finetune", str(make_checkpoint()[0]), "--data", f"voc:{voc}", "--unlabeled", str(images), "--out"]
    words = [*words, str(tmp_path / "run"), *(word for setting in settings for word in ("--set", setting))]
    in_two_processes(tmp_path, adept, *words)
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [line.get("pseudo_boxes", 0) > 0 for line in lines if line["kind"] == "train"] == [False, True]
    read_detector(tmp_path / "run" / "last")
