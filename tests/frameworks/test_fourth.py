"""A framework is one value: with nothing but it registered, everything that a user calls works for a fourth one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

import adept_hub
from adept_hub import spec
from adept_hub.convert.export import export_state, import_state, read_export, write_export
from adept_hub.convert.options import Target
from adept_hub.convert.predictors import convert_detector
from adept_hub.doctor import diagnose_file, diagnose_stock
from adept_hub.errors import UnsupportedDetectorError, UnsupportedModelError
from adept_hub.frameworks import FRAMEWORKS, MMDET, TORCHVISION, Framework
from adept_hub.frameworks.recognize import recognize
from adept_hub.integrations.url_handler import cached_weights
from adept_hub.models import DetectorParts, assemble_detector
from tests.frameworks.fourth import ONEDL, VISIONARY
from tests.frameworks_support import SMALL, config_of, random_tensors
from tests.house import House


@pytest.fixture(params=[ONEDL, VISIONARY], ids=lambda framework: framework.name)
def fourth(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Framework:
    framework: Framework = request.param
    monkeypatch.setitem(FRAMEWORKS, framework.name, framework)
    return framework


class Holder(nn.Module):
    """A model that holds any state dict under its own names."""

    def __init__(self, state: dict[str, torch.Tensor]) -> None:
        super().__init__()
        for name, tensor in state.items():
            *path, leaf = name.split(".")
            place: nn.Module = self
            for step in path:
                if step not in dict(place.named_children()):
                    place.add_module(step, nn.Module())
                place = place.get_submodule(step)
            place.register_buffer(leaf, torch.zeros_like(tensor))


def test_the_names_are_those_that_commands_offer() -> None:
    assert tuple(FRAMEWORKS) == spec.FRAMEWORKS
    assert all(name == framework.name for name, framework in FRAMEWORKS.items())
    with pytest.raises(UnsupportedDetectorError, match="torchvision, detectron2, mmdet"):
        adept_hub.load_state_dict("anything", framework="visionary")


def test_loading_and_exporting(fourth: Framework, house: House, tmp_path: Path) -> None:
    canonical = adept_hub.load_state_dict(house.folder)
    state = adept_hub.load_state_dict(house.folder, framework=fourth.name)
    first = "trunk.conv1.weight" if fourth is VISIONARY else "backbone.conv1.weight"
    assert torch.equal(state[first], canonical["backbone.conv1.weight"])
    assert all(fourth.key_table().canonical(key) in canonical for key in state)
    for detector in ("faster_rcnn", "cascade_rcnn"):
        out = tmp_path / detector
        weights, config = adept_hub.export(house.folder, fourth.name, out, detector=detector)
        assert (weights.name, config.name) == (fourth.weights_file, fourth.config_file)
        tensors = random_tensors(SMALL)
        write_export(tensors, config_of(SMALL), fourth, tmp_path / f"{detector}2", Target(detector))
        back = read_export(tmp_path / f"{detector}2", fourth)
        assert back.keys() == tensors.keys()
        assert all(torch.equal(back[key], tensors[key]) for key in tensors)
    assert ("labels" in torch.load(weights, weights_only=True)) is (fourth is VISIONARY)
    assert fourth.next_steps(tmp_path).startswith("visionary" if fourth is VISIONARY else "Fine-tune: python -m onedl")
    path = cached_weights(f"adept://{house.folder}", fourth.name)
    assert fourth.name in path.name
    assert path.is_file()


def test_frozen_norms_keep_the_counters_of_its_parts(fourth: Framework) -> None:
    state = export_state(random_tensors(SMALL), SMALL, fourth, Target(norm="FrozenBN"))
    counted = {fourth.key_table().canonical(key) for key in state if key.endswith("num_batches_tracked")}
    assert {str(key).split(".")[0] for key in counted} == set(fourth.counted_norms)
    assert len(import_state(state, fourth)) == len(random_tensors(SMALL))


def test_a_model_of_its_own_is_recognized_and_loaded(fourth: Framework, house: House) -> None:
    state = adept_hub.load_state_dict(house.folder, framework=fourth.name)
    model = Holder({f"module.{key}": tensor for key, tensor in state.items()})
    known = recognize(model.state_dict())
    assert (known.detector, known.prefix) == ("faster_rcnn", "module.")
    # Names alone cannot tell a variant from the framework that it was made from.
    assert known.framework is (fourth if fourth is VISIONARY else MMDET)
    if fourth is VISIONARY:
        model.pixels = torch.tensor([1.0, 2.0, 3.0])
        with pytest.warns(UserWarning, match="visionary mean"):
            report = adept_hub.load_into(model, house.folder)
        assert "visionary channel_order" in str(report)
    else:
        adept_hub.load_into(model, house.folder)
    assert all(torch.equal(model.state_dict()[f"module.{key}"], tensor) for key, tensor in state.items())


def test_its_remedies_and_lookalikes(fourth: Framework, house: House) -> None:
    names = adept_hub.load_state_dict(house.folder, framework=fourth.name)
    state = {key: tensor for key, tensor in names.items() if ".bn" not in key or "conv" not in key.split(".bn")[0]}
    with pytest.raises(UnsupportedModelError, match=r"neck\.norm_cfg" if fourth is ONEDL else "visionary fpn_norm"):
        adept_hub.load_into(Holder(state), house.folder)
    if fourth is VISIONARY:
        with pytest.raises(UnsupportedModelError, match="a Visionary detector on patches"):
            recognize(["trunk.stem.weight"])


def test_the_doctor_of_stock_config_and_weights(fourth: Framework, house: House, tmp_path: Path) -> None:
    stock = {finding.code: finding for finding in diagnose_stock(house.config, fourth.name)}
    weights, config = adept_hub.export(house.folder, fourth.name, tmp_path / "out")
    assert [finding.severity for finding in diagnose_file(weights, house.config, fourth.name)] == []
    if fourth is ONEDL:
        assert stock == {finding.code: finding for finding in diagnose_stock(house.config, MMDET.name)}
        return
    assert stock["mean"].remedy == "visionary mean [0.1, 0.2, 0.3]"
    assert (stock["frozen_stages"].actual, stock["frozen_stages"].expected) == ("4", "3: all stages are trained")
    assert [finding.code for finding in diagnose_file(config, house.config, fourth.name)] == []
    config.write_text(config.read_text().replace('"rgb"', '"bgr"').replace("[[11.0]]", "[[12.0]]"))
    found = {finding.code: finding.remedy for finding in diagnose_file(config, house.config, fourth.name)}
    assert found == {
        "channel_order": "visionary channel_order", "anchor_sizes": "visionary anchor_sizes 11/23/47/90/180"
    }  # fmt: skip
    with pytest.raises(UnsupportedModelError, match="those of visionary, not of mmdet"):
        diagnose_file(weights, house.config, MMDET.name)


@pytest.mark.parametrize("detector", ["faster_rcnn", "mask_rcnn", "cascade_rcnn"])
def test_a_fine_tuned_detector_goes_there_and_back(fourth: Framework, detector: str) -> None:
    torch.manual_seed(3)
    state = assemble_detector(DetectorParts(SMALL), 4, detector).state_dict()
    there = convert_detector(state, TORCHVISION, fourth, detector)
    background = state["roi_heads.box_predictor.0.cls_score.bias" if detector == "cascade_rcnn"
                       else "roi_heads.box_predictor.cls_score.bias"]  # fmt: skip
    stage = ".0" if detector == "cascade_rcnn" else ""
    moved = there[f"{fourth.box_head}{stage}.fc_cls.bias"]
    assert torch.equal(moved, background if fourth.background_first else background.roll(-1))
    back = convert_detector(there, fourth, TORCHVISION, detector)
    assert back.keys() == state.keys()
    if fourth.background_first:
        assert all(torch.equal(back[key], state[key]) for key in state)
