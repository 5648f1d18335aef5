"""The class-agnostic box regressor of a checkpoint: in the file, in our detectors, in a user's own, and in exports."""

from __future__ import annotations

import json
import runpy
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

import adept_hub
from adept_hub.checkpoint.folder import read_config, read_tensors
from adept_hub.convert.export import import_state
from adept_hub.errors import CheckpointError, IncompleteLoadError, UnknownKeyError
from adept_hub.frameworks import FRAMEWORKS
from adept_hub.io.digest import sha256_file
from adept_training.finetuning.detector import build_detector
from adept_training.finetuning.recipe import load_finetune_recipe
from tests.convert.probes import PROBES
from tests.frameworks_support import one_thread  # noqa: F401  # an autouse fixture
from tests.house import SPEC, House, regressor_of, write_house

FEATURES = torch.randn(5, SPEC.head_fc_channels, generator=torch.Generator().manual_seed(3))
WEIGHT, BIAS = regressor_of(SPEC).values()
#: Deltas of the five features, worked out here.
DELTAS = FEATURES.double() @ WEIGHT.double().T + BIAS.double()


def assert_regresses(deltas_KC: Tensor, classes: int) -> None:
    """Every class has the four deltas of the regressor."""
    assert deltas_KC.shape == (5, 4 * classes)
    for i in range(classes):
        assert (deltas_KC[:, 4 * i : 4 * i + 4].double() - DELTAS).abs().max() < 1e-4, i


@pytest.mark.parametrize("detector", ["faster_rcnn", "mask_rcnn"])
def test_a_detector_regresses_with_it_for_every_class(house: House, detector) -> None:
    model = adept_hub.load_pretrained(house.source, num_classes=4, detector=detector)
    _, deltas = model.roi_heads.box_predictor(FEATURES)
    assert_regresses(deltas, 4)
    head = model.load_report["head"]
    layer = "roi_heads.box_predictor.bbox_pred"
    assert (head.loaded, head.reshaped) == (26 + 2, (f"{layer}.weight", f"{layer}.bias"))
    assert "roi_heads.box_predictor.cls_score.weight" in model.load_report["predictors"].reinitialized
    assert f"{layer}.weight" not in model.load_report["predictors"].reinitialized


def test_it_comes_with_the_head_alone(house: House) -> None:
    model = adept_hub.load_pretrained(house.source, num_classes=3)
    torch.nn.init.zeros_(model.roi_heads.box_predictor.bbox_pred.weight)
    adept_hub.load_into(model, house.source, parts=("backbone", "fpn", "rpn"))
    assert not model.roi_heads.box_predictor.bbox_pred.weight.any()
    report = adept_hub.load_into(model, house.source, parts="head")
    assert_regresses(model.roi_heads.box_predictor(FEATURES)[1], 3)
    assert not report["head"].skipped


def test_a_cascade_has_none_and_says_so(house: House) -> None:
    model = adept_hub.load_pretrained(house.source, num_classes=4, detector="cascade_rcnn")
    assert {key for key, _ in model.load_report["head"].skipped} == set(regressor_of(SPEC))
    assert "Cascade R-CNN" in str(model.load_report)


@pytest.mark.parametrize("settings", [(), ("detector.classifier=cosine",)])
def test_a_fine_tuning_starts_with_it_and_other_starts_do_not_change(house: House, settings, tmp_path: Path) -> None:
    recipe = load_finetune_recipe(None, settings).detector
    tuned = build_detector(house.source, 2, recipe, seed=3)
    assert_regresses(tuned.roi_heads.box_predictor(FEATURES)[1], 3)
    plain = write_house(tmp_path / "plain")
    (plain.folder / "model.safetensors").unlink()
    tensors = {key: t for key, t in read_tensors(house.folder, house.config).items() if "head.bbox_pred" not in key}
    rewrite(plain.folder, tensors, box_regressor=False)
    other = build_detector(plain.source, 2, recipe, seed=3)
    assert float(other.roi_heads.box_predictor.bbox_pred.weight.abs().max()) < 0.01, "normal, 0.001"
    assert torch.equal(
        other.roi_heads.box_predictor.cls_score.weight, tuned.roi_heads.box_predictor.cls_score.weight
    ), "the seed's"


@pytest.mark.frameworks
@pytest.mark.parametrize("framework", list(PROBES))
def test_an_export_regresses_with_it_in_the_real_framework(house: House, framework, tmp_path: Path) -> None:
    adept_hub.export(house.source, framework, tmp_path / "out", num_classes=4)
    heads = PROBES[framework](tmp_path / "out").model
    with torch.no_grad():
        if framework == "mmdet":
            deltas, classes = heads.roi_head.bbox_head.fc_reg(FEATURES), 3
        else:
            deltas, classes = heads.roi_heads.box_predictor.bbox_pred(FEATURES), 4 if framework == "torchvision" else 3
    assert_regresses(deltas, classes)


def test_an_export_for_torchvision_takes_any_number_of_classes(house: House, tmp_path: Path) -> None:
    adept_hub.export(house.source, "torchvision", tmp_path / "out", num_classes=4)
    build = runpy.run_path(str(tmp_path / "out" / "build_model.py"))["build_model"]
    for classes in (4, 7):
        assert_regresses(build(num_classes=classes).eval().roi_heads.box_predictor(FEATURES)[1], classes)
    adept_hub.export(house.source, "torchvision", tmp_path / "body", parts=("backbone", "fpn"))
    assert runpy.run_path(str(tmp_path / "body" / "build_model.py"))["build_model"](num_classes=2)


@pytest.mark.parametrize("framework", ["torchvision", "detectron2", "mmdet"])
def test_a_state_dict_and_a_cascade_have_none(house: House, framework, tmp_path: Path) -> None:
    """A state dict would not load into a detector with other classes, not even with ``strict=False``."""
    state = adept_hub.load_state_dict(house.source, framework=framework)
    assert len(state) == len(house.parts.state_dict())
    (weights, _) = adept_hub.export(house.source, framework, tmp_path / "out", detector="cascade_rcnn", num_classes=4)
    state = load_file(weights) if weights.suffix == ".safetensors" else torch.load(weights, weights_only=True)
    state = state.get("state_dict", state.get("model", state))
    assert not [key for key in state if "box_predictor" in key or "fc_reg" in key]


@pytest.mark.parametrize("framework", ["torchvision", "detectron2", "mmdet"])
def test_an_export_is_read_back_with_it_and_a_tuned_detector_without(house: House, framework, tmp_path: Path) -> None:
    read = partial(import_state, framework=FRAMEWORKS[framework], anchors=SPEC.anchors)
    (weights, _) = adept_hub.export(house.source, framework, tmp_path / "out", num_classes=4)
    state = load_file(weights) if weights.suffix == ".safetensors" else torch.load(weights, weights_only=True)
    state = dict(state.get("state_dict", state.get("model", state)))
    back = read(state)
    expected = adept_hub.load_state_dict(house.source)
    assert back.keys() == expected.keys()
    assert all(torch.equal(back[key], expected[key]) for key in expected)
    (box,) = (key.removesuffix(".weight") for key in state if key.endswith(("r.bbox_pred.weight", "fc_reg.weight")))
    classifier = {"bbox_pred": "cls_score", "fc_reg": "fc_cls"}
    layer, _, last = box.rpartition(".")
    tuned = state | {f"{layer}.{classifier[last]}.weight": torch.ones(4, 64)}
    assert read(tuned).keys() == house.parts.state_dict().keys()
    state[f"{box}.bias"] = state[f"{box}.bias"].repeat(2) + torch.arange(len(state[f"{box}.bias"]) * 2) // 4
    state[f"{box}.weight"] = state[f"{box}.weight"].repeat(2, 1)
    assert read(state).keys() == house.parts.state_dict().keys(), "not the same for each class"


def rewrite(folder: Path, tensors: dict[str, Tensor], **changes: object) -> None:
    """Write other tensors, and change the config."""
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    path = folder / "config.json"
    content = json.loads(path.read_text()) | changes
    content |= {
        "sha256": sha256_file(folder / "model.safetensors"),
        "size": (folder / "model.safetensors").stat().st_size,
    }
    path.write_text(json.dumps(content))


def test_the_file_has_it_if_and_only_if_the_config_says_so(house: House) -> None:
    assert house.config.box_regressor
    tensors = read_tensors(house.folder, house.config)
    assert torch.equal(tensors["head.bbox_pred.weight"], WEIGHT)
    rewrite(house.folder, tensors, box_regressor=False)
    with pytest.raises(UnknownKeyError, match=r"head\.bbox_pred"):
        read_tensors(house.folder, read_config(house.folder))
    rewrite(house.folder, {key: t for key, t in tensors.items() if key != "head.bbox_pred.bias"}, box_regressor=True)
    with pytest.raises(IncompleteLoadError, match=r"head\.bbox_pred\.bias"):
        read_tensors(house.folder, read_config(house.folder))
    rewrite(house.folder, tensors, box_regressor=True, parts=["backbone", "fpn", "rpn"])
    with pytest.raises(CheckpointError, match="box_regressor True belongs to a head"):
        read_config(house.folder)


def test_a_config_without_it_is_written_as_ever(house: House, tmp_path: Path) -> None:
    plain = write_house(tmp_path / "plain", parts=("backbone", "fpn", "rpn"))
    assert "box_regressor" not in json.loads((plain.folder / "config.json").read_text())
    assert json.loads((house.folder / "config.json").read_text())["box_regressor"] is True
    assert replace(plain.config, box_regressor=True) != plain.config


def test_a_detector_that_is_saved_has_the_parts_alone(house: House, tmp_path: Path) -> None:
    model = adept_hub.load_pretrained(house.source, num_classes=4)
    config = adept_hub.save_pretrained(model, tmp_path / "saved", name="adept_joint_r18_fpn24.saved")
    assert not config.box_regressor
    assert read_tensors(tmp_path / "saved", config).keys() == house.parts.state_dict().keys()
