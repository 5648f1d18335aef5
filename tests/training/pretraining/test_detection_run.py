"""Runs of detection in small: resumed bit for bit, with pseudo-classes, and exports that load anywhere."""

from __future__ import annotations

import itertools
import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

import adept_hub
import adept_training
import adept_training.pretraining.pretrain as module
from adept_hub.checkpoint.folder import read_config, read_tensors
from adept_hub.convert.export import export_state, import_state
from adept_hub.frameworks import FRAMEWORKS
from adept_training.finetuning.detector import build_detector
from adept_training.finetuning.recipe import load_finetune_recipe
from adept_training.images import ImageSource
from adept_training.pretraining import setup
from adept_training.pretraining.asked import Asked
from adept_training.pretraining.pretrain import PretrainResult, pretrain
from tests.training.conftest import TINY as TINY_TUNING
from tests.training.pretraining.test_pretrain import _log, _same, _state
from tests.training.support import RandomBoxes, tiny_detection, write_photographs

IMAGES = 12


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> ImageSource:
    return write_photographs(tmp_path_factory.mktemp("photographs"), IMAGES)


def _run(source: ImageSource, folder: Path, *settings: str, **options: Any) -> PretrainResult:
    options.setdefault("asked", Asked(report=False))
    return pretrain(tiny_detection(*settings), source, RandomBoxes(), folder, **options)


@pytest.fixture(scope="module")
def whole(source: ImageSource, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An uninterrupted run of six steps, with everything that a run can show."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    outcome = _run(source, folder, asked=Asked(preview=True))
    assert (outcome.steps, outcome.interrupted, outcome.random_share) == (6, False, 0.0)
    return folder


def test_it_leaves_a_log_and_all_four_parts_of_the_one_network(whole: Path) -> None:
    line = _log(whole, "train")[-1]
    assert {"loss", "rpn_objectness", "rpn_box", "head_class", "head_box", "head_right", "positives_p2"} <= line.keys()
    assert not {"momentum", "spread_target", "contrast_12"} & line.keys()
    (classes,) = _log(whole, "pseudo_classes")
    assert (len(classes["counts"]), sum(classes["counts"])) == (3, IMAGES * 4)
    config, state = read_config(whole / "export"), _state(whole)["model"]
    assert (config.name, config.parts) == ("detection_r18_fpn16.mine", ("backbone", "fpn", "rpn", "head"))
    told = config.provenance
    assert (told.method, told.exported_network, told.random_share, told.labeled) == ("detection", "online", 0.0, False)
    tensors = read_tensors(whole / "export", config)
    assert config.box_regressor
    for key, value in tensors.items():
        place = key.replace("head.bbox_pred", "predictor.bbox_pred") if "bbox_pred" in key and "head" in key else key
        assert torch.equal(value, state[f"online.{place}" if place != key else f"online.parts.{key}"]), key
    card = (whole / "export" / "README.md").read_text()
    assert "Detection of pseudo-labeled boxes" in card
    assert {"preview.png", "report.html"} <= {path.name for path in whole.iterdir()}


def test_the_export_loads_into_every_framework_and_is_fine_tuned(whole: Path) -> None:
    config = read_config(whole / "export")
    tensors = read_tensors(whole / "export", config)
    model = adept_hub.load_pretrained(str(whole), num_classes=4)
    assert torch.equal(model.roi_heads.box_head[5].weight, tensors["head.5.weight"])
    assert [row.reinitialized for row in model.load_report.parts[:4]] == [()] * 4
    for framework in FRAMEWORKS.values():
        state = export_state(tensors, config.spec, framework)
        back = import_state(state, framework, anchors=config.spec.anchors)
        assert tensors.keys() - back.keys() == {"head.bbox_pred.weight", "head.bbox_pred.bias"}
    tuned = build_detector(str(whole), 2, load_finetune_recipe("cpu_small").detector, seed=0)
    assert torch.equal(tuned.rpn.head.cls_logits.weight, tensors["rpn.cls_logits.weight"])
    assert torch.equal(tuned.roi_heads.box_predictor.bbox_pred.weight[8:], tensors["head.bbox_pred.weight"])


def test_a_run_is_fine_tuned_and_compared_with_scratch(whole: Path, voc: Path, tmp_path: Path) -> None:
    tuned = adept_training.finetune(str(whole), f"voc:{voc}", tmp_path / "tuned", device="cpu", settings=TINY_TUNING)
    config = read_config(tmp_path / "tuned" / "last")
    assert tuned.iterations == 6
    assert (config.name, config.provenance.method) == ("detection_r18_fpn16.finetuned", "detection")
    table = adept_training.compare(
        ["scratch", str(whole)], f"voc:{voc}", tmp_path / "compare", budgets=["2img"], seeds=1, device="cpu",
        settings=TINY_TUNING,
    )  # fmt: skip
    assert {cell.source for cell in table.cells} == {"scratch", "whole"}


@pytest.mark.parametrize("cache", [False, True])
def test_a_signal_saves_and_the_run_resumes_bit_for_bit(
    cache: bool, source: ImageSource, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, folder = (f"data.cache={str(cache).lower()}",), tmp_path / "r"
    straight = whole
    if cache:
        straight = tmp_path / "straight"
        _run(source, straight, *settings)
        assert not _same(_state(straight)["model"], _state(whole)["model"]), "pixels are resampled twice"
    real, count = module.set_lr, itertools.count(1)

    def stop(*arguments: Any) -> float:
        if next(count) == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(module, "set_lr", stop)
        outcome = _run(source, folder, *settings)
    assert (outcome.steps, outcome.interrupted) == (3, True)

    def never(*_: Any) -> None:
        raise AssertionError("the boxes were sorted again")

    monkeypatch.setattr(setup, "label_boxes", never)
    assert _run(source, folder, *settings, resume=True).steps == 6
    for part in ("model", "optimizer"):
        assert _same(_state(folder)[part], _state(straight)[part])


def test_workers_do_not_change_the_weights(source: ImageSource, whole: Path, tmp_path: Path) -> None:
    _run(source, tmp_path / "r", "data.workers=1")
    assert _same(_state(tmp_path / "r")["model"], _state(whole)["model"])


def test_pseudo_classes_are_of_the_seed_and_are_learned(source: ImageSource, whole: Path, tmp_path: Path) -> None:
    labels = _state(whole)["model"]["classes_IK"]
    assert labels.shape == (IMAGES, 4)
    assert set(labels.flatten().tolist()) == {0, 1, 2}
    _run(source, tmp_path / "one", "method.detection.pseudo_classes=1", "schedule.epochs=1")
    state = _state(tmp_path / "one")["model"]
    assert not state["classes_IK"].any()
    assert state["online.predictor.cls_score.weight"].shape == (2, 32)


def test_it_starts_from_weights(source: ImageSource, whole: Path, tmp_path: Path) -> None:
    still = ("optimizer.lr=0.0", "optimizer.rpn_lr=0.0", "schedule.epochs=1")
    _run(source, tmp_path / "r", *still, init=whole / "export")
    config = read_config(tmp_path / "r" / "export")
    before, after = (
        read_tensors(folder / "export", read_config(folder / "export")) for folder in (whole, tmp_path / "r")
    )
    for key in (
        "backbone.conv1.weight", "fpn.layer_blocks.0.0.weight", "rpn.cls_logits.weight", "head.5.weight",
        "head.bbox_pred.weight", "head.bbox_pred.bias",
    ):  # fmt: skip
        assert torch.equal(after[key], before[key]), key
    assert [start.name for start in config.provenance.starts] == ["detection_r18_fpn16.mine"]
    assert config.provenance.random_share == 0.0


def test_held_out_images_are_probed_and_judged(tmp_path: Path) -> None:
    source = write_photographs(tmp_path / "photographs", 40)
    outcome = _run(source, tmp_path / "r", "data.held_out=2", "schedule.epochs=1", asked=Asked())
    assert {"online_recall100_iou50", "online_objectness_auc", "online_head_rank"} <= outcome.last.keys()
    assert outcome.verdict is not None
    assert outcome.verdict.word == "too short"
    assert "RoI head: class, box" in (tmp_path / "r" / "report.html").read_text()
    assert json.loads((tmp_path / "r" / "run.json").read_text())["state"] == "done"
