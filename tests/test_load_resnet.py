"""The backbone of a checkpoint in a plain ResNet, torchvision's and timm's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn
from torchvision.models import resnet18, resnet34, resnet50

import adept_hub
from adept_hub.errors import UnsupportedModelError
from tests.house import SPEC, House, network_input, photograph, write_house


def stages(model: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """C5 of a ResNet, worked out by its own modules."""
    x = model.maxpool(model.relu(model.bn1(model.conv1(images))))
    return model.layer4(model.layer3(model.layer2(model.layer1(x))))


@pytest.mark.parametrize("wrapped", [False, True])
def test_c5_is_the_checkpoint_s(house: House, wrapped: bool) -> None:
    mine = resnet18(num_classes=7).eval()
    classifier = mine.fc.weight.clone()
    target = nn.ModuleDict({"module": mine}) if wrapped else mine
    report = adept_hub.load_into(target, house.folder, parts=("backbone",))
    assert (report["backbone"].loaded, report.loaded) == (120, 120)
    assert len(report["other"].reinitialized) == 2
    assert "mean 0.1, 0.2, 0.3 and std 0.4, 0.5, 0.6" in str(report)
    images = network_input(photograph())[None]
    with torch.no_grad():
        assert torch.equal(stages(mine, images), list(house.parts.backbone(images).values())[-1])
    assert torch.equal(mine.fc.weight, classifier)


def test_frozen_norms_load_into_trainable_ones(tmp_path: Path) -> None:
    rival = write_house(tmp_path / "rival", spec=replace(SPEC, backbone_norm="frozen_bn"))
    mine = resnet18().eval()
    adept_hub.load_into(mine, rival.folder, parts="backbone")
    images = network_input(photograph())[None]
    with torch.no_grad():
        torch.testing.assert_close(stages(mine, images), list(rival.parts.backbone(images).values())[-1])


def test_what_a_resnet_cannot_take_is_refused(house: House, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModelError, match=r"plain ResNet, which has no fpn, rpn, head\.\n.*\('backbone',\)"):
        adept_hub.load_into(resnet18(), house.folder)
    with pytest.raises(UnsupportedModelError, match=r"torchvision\.models\.resnet18\(\)"):
        adept_hub.load_into(resnet34(), house.folder, parts=("backbone",))
    with pytest.raises(UnsupportedModelError, match="stride of 1"):
        adept_hub.load_into(
            resnet50(replace_stride_with_dilation=[False, False, True]), house.folder, parts=("backbone",)
        )
    msra = write_house(tmp_path / "msra", spec=replace(SPEC, depth=50, stride_in_1x1=True), parts=("backbone",))
    before = resnet50()
    values = {key: t.clone() for key, t in before.state_dict().items()}
    with pytest.raises(UnsupportedModelError, match="strides in the 3x3 convolutions, but"):
        adept_hub.load_into(before, msra.folder, parts=("backbone",))
    assert all(torch.equal(t, values[key]) for key, t in before.state_dict().items())
