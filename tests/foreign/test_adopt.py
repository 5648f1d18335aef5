"""Weights of timm and torchvision as sources: converted where they are used, with the facts that came with them."""

from __future__ import annotations

import json
import logging
import os
import shlex
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torchvision.models import resnet18, resnet34, resnet50

import adept_hub
from adept_hub.checkpoint.folder import read_tensors
from adept_hub.cli.main import main
from adept_hub.errors import (
    AdeptError,
    CheckpointError,
    IncompleteLoadError,
    PickleRefusedError,
    ShapeMismatchError,
    UnsupportedModelError,
)
from adept_hub.foreign.timm import license_of_card
from adept_hub.hub.fetch import fetch
from adept_hub.io.digest import sha256_file
from adept_hub.spec import Start

MEAN, STD, LICENSE = (0.1, 0.2, 0.3), (0.4, 0.5, 0.6), "cc-by-nc-sa-4.0"


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    """A ResNet-18 in which every tensor is random, norm statistics included."""
    torch.manual_seed(3)
    return {
        key: torch.rand_like(t) + 0.1 if t.is_floating_point() else t + 7 for key, t in resnet18().state_dict().items()
    }


def timm_config(**changes: Any) -> dict[str, Any]:
    """As ``timm.models.save_for_hf`` writes it."""
    config: dict[str, Any] = {
        "tag": "a1_in1k", "custom_load": False, "input_size": [3, 224, 224], "test_input_size": [3, 288, 288],
        "fixed_input_size": False, "interpolation": "bicubic", "crop_pct": 0.95, "crop_mode": "center",
        "mean": list(MEAN), "std": list(STD), "num_classes": 1000, "pool_size": [7, 7], "first_conv": "conv1",
        "classifier": "fc", "license": LICENSE,
    }  # fmt: skip
    top = {"architecture": "resnet18", "num_classes": 1000, "num_features": 512, "global_pool": "avg"}
    for key, value in changes.items():
        (top if key in ("architecture", "model_args") else config)[key] = value
    return {**top, "pretrained_cfg": {key: value for key, value in config.items() if value is not None}}


def write_timm(folder: Path, state: dict[str, Tensor], **changes: Any) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(timm_config(**changes)))
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def test_a_folder_of_timm_is_a_backbone_with_its_own_facts(state: dict[str, Tensor], tmp_path: Path) -> None:
    folder = write_timm(tmp_path / "resnet18.mine", state)
    for source in (folder, str(folder), f"local-dir:{folder}", folder / "model.safetensors"):
        found = fetch(source)
        config = found.config
        assert (config.parts, config.spec.depth) == (("backbone",), 18)
        assert (config.preprocessing.mean, config.preprocessing.std, config.license) == (MEAN, STD, LICENSE)
        assert (config.name, config.provenance.labeled) == ("timm_r18.a1_in1k", True)
        digest = sha256_file(folder / "model.safetensors")
        assert config.provenance.starts == (Start("resnet18.mine", digest, LICENSE),)
        assert str(tmp_path) not in (found.folder / "config.json").read_text(), "nothing of this machine is recorded"
    tensors = read_tensors(found.folder, config)
    assert {f"backbone.{key}" for key in state if not key.startswith("fc.")} == tensors.keys()
    assert all(torch.equal(tensor, state[key.removeprefix("backbone.")]) for key, tensor in tensors.items())


def test_it_computes_what_the_network_computes(state: dict[str, Tensor], tmp_path: Path) -> None:
    theirs = resnet18().eval()
    theirs.load_state_dict(state)
    image = torch.rand(1, 3, 64, 96)
    folder = write_timm(tmp_path / "timm", state)
    with pytest.raises(IncompleteLoadError, match=r"has no fpn and no rpn and no head: .*\n.*parts=\('backbone',\)"):
        adept_hub.load_pretrained(folder, num_classes=3)
    model = adept_hub.load_pretrained(folder, num_classes=3, parts=("backbone",)).eval()
    assert (model.load_report["backbone"].loaded, model.load_report["fpn"].loaded) == (120, 0)
    assert model.load_report["fpn"].reinitialized
    assert (tuple(model.transform.image_mean), tuple(model.transform.image_std)) == (MEAN, STD)
    with torch.no_grad():
        x = theirs.maxpool(theirs.relu(theirs.bn1(theirs.conv1(image))))
        for level, stage in enumerate((theirs.layer1, theirs.layer2, theirs.layer3, theirs.layer4)):
            x = stage(x)
            found = list(model.backbone.body(image).values())[level]
            torch.testing.assert_close(found, x, rtol=1e-4, atol=1e-4)


def test_a_license_comes_from_the_config_else_from_the_card_else_from_nowhere(
    state: dict[str, Tensor], tmp_path: Path
) -> None:
    card = "---\ntags:\n- timm\nlicense: apache-2.0\n---\nlicense: mit\n"
    folder = write_timm(tmp_path / "timm", state, license=None)
    assert fetch(folder).config.license == "unknown"
    (folder / "README.md").write_text(card)
    assert fetch(folder).config.license == "apache-2.0"
    assert [license_of_card(text) for text in ("license: mit", "---\na: b\n---\nlicense: mit")] == ["unknown"] * 2


def test_early_configs_have_the_same_fields_at_the_top(state: dict[str, Tensor], tmp_path: Path) -> None:
    folder = write_timm(tmp_path / "timm", state)
    config = timm_config()
    (folder / "config.json").write_text(json.dumps({**config.pop("pretrained_cfg"), **config}))
    assert fetch(folder).config.preprocessing.std == STD


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"architecture": "resnet50d"}, UnsupportedModelError, r"'resnet50d', whose stem has three convolutions,.*"),
        ({"architecture": "vit_base_patch16_224"}, UnsupportedModelError, r"vit_base_patch16_224' and not one of r.*"),
        ({"architecture": "resnext50_32x4d"}, UnsupportedModelError, r".* not one of resnet18, resnet34, resnet50.*"),
        ({"model_args": {"act_layer": "silu"}}, UnsupportedModelError, r"built with act_layer \(model_args\).*"),
        ({"input_size": [4, 224, 224]}, UnsupportedModelError, r"images of 4 channels; .*"),
        ({"mean": None}, CheckpointError, r"mean of its pretrained_cfg is None, not three numbers.*"),
        ({"std": [0.2, 0.0, 0.2]}, CheckpointError, r"std of its pretrained_cfg is \[0.2, 0.0, 0.2\].*"),
    ],
)
def test_other_networks_are_refused_by_their_config(
    changes: dict[str, Any], error: type[AdeptError], message: str, tmp_path: Path
) -> None:
    folder = write_timm(tmp_path / "timm", {"x": torch.zeros(1)}, **changes)
    with pytest.raises(error, match=f"{message}\\n.*(hf-hub:timm/resnet50.a1_in1k|adept import)") as caught:
        fetch(folder)
    assert len(str(caught.value).splitlines()) == 2


def test_networks_that_their_config_conceals_are_refused_by_their_tensors(
    state: dict[str, Tensor], tmp_path: Path
) -> None:
    half = {key: tensor for key, tensor in state.items() if not key.startswith("layer4.1.")}
    stem = state | {"conv1.weight": torch.zeros(64, 4, 7, 7)}
    for number, (tensors, error) in enumerate(((half, (AdeptError,)), (stem, (ShapeMismatchError,)))):
        with pytest.raises(error):
            fetch(write_timm(tmp_path / f"{number}", tensors))
    with pytest.raises(CheckpointError, match=r"config is of a ResNet-34, its tensors are a ResNet-18's\.\n"):
        fetch(write_timm(tmp_path / "34", state, architecture="resnet34"))
    torch.save({"class_token": torch.zeros(3)}, tmp_path / "vit.pth")
    with pytest.raises(CheckpointError, match=r"vit\.pth: No layout has .*\nUse a ResNet, or a detector"):
        fetch(tmp_path / "vit.pth")
    folder = write_timm(tmp_path / "none", state)
    (folder / "model.safetensors").unlink()
    with pytest.raises(
        CheckpointError,
        match=r"has neither .* nor pytorch_model.bin.\n.*adept import FILE --layout timm",
    ):
        fetch(folder)


def test_a_folder_of_timm_with_a_pickled_file_alone(state: dict[str, Tensor], tmp_path: Path) -> None:
    """As early versions of timm saved it; nothing but tensors is unpickled."""
    folder = write_timm(tmp_path / "resnet18.old", state)
    (folder / "model.safetensors").unlink()
    pickled = folder / "pytorch_model.bin"
    torch.save(state, pickled)
    for source in (folder, pickled, f"timm:{folder}"):
        found = fetch(source)
        assert (found.config.name, found.config.license, found.config.preprocessing.mean) == (
            "timm_r18.a1_in1k", LICENSE, MEAN
        )  # fmt: skip
        assert found.config.provenance.starts[0].sha256 == sha256_file(pickled)
        assert torch.equal(read_tensors(found.folder, found.config)["backbone.conv1.weight"], state["conv1.weight"])
    torch.save({**state, "more": tmp_path}, pickled)
    with pytest.raises(PickleRefusedError, match="would import pathlib"):
        fetch(folder)


def test_torchvision_s_file_is_known_by_its_name_and_others_of_its_tensors_are_not(
    state: dict[str, Tensor], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    torch.save(state, tmp_path / "resnet18.pth")
    digest = sha256_file(tmp_path / "resnet18.pth")
    named = tmp_path / f"resnet18-{digest[:8]}.pth"
    (tmp_path / "resnet18.pth").rename(named)
    with caplog.at_level(logging.WARNING):
        config = fetch(str(named)).config
    assert not caplog.records
    assert (config.name, config.license) == ("torchvision_r18.imported", "unknown")
    assert config.provenance.labeled
    assert config.provenance.starts == (Start(named.name, digest, "unknown"),)
    other = named.rename(tmp_path / "resnet18-0123abcd.pth")
    assert fetch(other).config.provenance.starts[0].name == other.name
    assert "named after other content" in caplog.text
    mine = other.rename(tmp_path / "my net.pth")
    with pytest.raises(CheckpointError, match=r"Several projects use exactly these names") as caught:
        fetch(mine)
    words = shlex.split(str(caught.value).splitlines()[1].partition("adept ")[2])
    assert main([*words[:-1], str(tmp_path / "out")]) == 0
    assert fetch(tmp_path / "out").config.provenance.labeled


def test_a_pickle_of_code_is_refused(tmp_path: Path) -> None:
    class Code:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.system, ("touch /tmp/adept_hub_was_here",)

    torch.save({"conv1.weight": Code()}, tmp_path / "resnet18.pth")
    with pytest.raises(PickleRefusedError):
        fetch(tmp_path / "resnet18.pth")


@pytest.mark.parametrize(("build", "depth"), [(resnet34, 34), (resnet50, 50)])
def test_the_depth_is_that_of_the_tensors(build: Any, depth: int, tmp_path: Path) -> None:
    torch.save(build().state_dict(), tmp_path / f"resnet{depth}.pth")
    assert fetch(tmp_path / f"resnet{depth}.pth").config.spec.depth == depth
