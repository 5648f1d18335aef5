"""Folders that timm itself writes: read as it means them, and computed as it computes."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch

import adept_hub
from adept_hub.errors import ShapeMismatchError, UnsupportedModelError
from adept_hub.hub.fetch import fetch

timm = pytest.importorskip("timm")

MEAN, STD = (0.11, 0.22, 0.33), (0.44, 0.55, 0.66)


def write(name: str, folder: Path, **arguments: Any) -> torch.nn.Module:
    """Let timm save a model whose tensors are all random, norm statistics included."""
    torch.manual_seed(5)
    model = timm.create_model(name, pretrained=False, **arguments).eval()
    for key, tensor in model.state_dict().items():
        if not tensor.is_floating_point():
            tensor.fill_(9)
        elif key.endswith("running_var"):
            tensor.uniform_(0.5, 1.5)
        elif tensor.dim() == 1:
            tensor.normal_(float(key.endswith("weight")), 0.1)
    given = {"mean": MEAN, "std": STD, "license": "mit", "tag": "mine_in7"}
    timm.models.save_for_hf(model, folder, model_config={"pretrained_cfg": given}, safe_serialization=True)
    return model


@pytest.mark.parametrize(
    ("name", "arguments", "depth"),
    [
        ("resnet18.a1_in1k", {}, 18),
        ("resnet18", {"num_classes": 0}, 18),
        ("resnet34", {"num_classes": 5, "global_pool": "max", "drop_rate": 0.3}, 34),
        ("resnet50.a1_in1k", {"num_classes": 3}, 50),
    ],
)
def test_what_timm_writes_computes_what_timm_computes(
    name: str, arguments: dict[str, Any], depth: int, tmp_path: Path
) -> None:
    theirs = write(name, tmp_path / "theirs", **arguments)
    config = fetch(tmp_path / "theirs").config
    assert (config.parts, config.spec.depth, config.license) == (("backbone",), depth, "mit")
    assert config.name == f"timm_r{depth}.mine_in7"
    ours = adept_hub.load_pretrained(tmp_path / "theirs", num_classes=2, parts=("backbone",)).eval()
    wanted = timm.data.resolve_model_data_config(theirs, pretrained_cfg=_config(tmp_path / "theirs")["pretrained_cfg"])
    assert tuple(ours.transform.image_mean) == tuple(wanted["mean"]) == MEAN
    assert tuple(ours.transform.image_std) == tuple(wanted["std"]) == STD
    image = torch.rand(1, 3, 96, 64)
    with torch.no_grad():
        _, *maps = theirs.forward_intermediates(image, intermediates_only=True)  # after the stem, then C2-C5
        for level, (found, expected) in enumerate(zip(ours.backbone.body(image).values(), maps, strict=True), 2):
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4, msg=lambda text, n=level: f"C{n}: {text}")


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("resnet18d", {}, "'resnet18d', whose stem has three convolutions"),
        ("resnext50_32x4d", {}, "'resnext50_32x4d' and not one of resnet18"),
        ("resnetblur50", {}, "'resnetblur50' and not one of resnet18"),
        ("test_vit", {}, "'test_vit' and not one of resnet18"),
        ("resnet18", {"in_chans": 4}, "takes images of 4 channels"),
        ("resnet50", {"output_stride": 16}, r"was built with output_stride \(model_args\)"),
        ("resnet18", {"act_layer": "silu"}, r"was built with act_layer \(model_args\)"),
    ],
)
def test_other_models_of_timm_are_refused_before_their_weights_are_read(
    name: str, arguments: dict[str, Any], message: str, tmp_path: Path
) -> None:
    write(name, tmp_path / "theirs", **arguments)
    (tmp_path / "theirs" / "model.safetensors").write_bytes(b"unread")
    with pytest.raises(UnsupportedModelError, match=message) as caught:
        fetch(tmp_path / "theirs")
    assert len(str(caught.value).splitlines()) == 2


def test_tensors_that_their_config_conceals_are_refused(tmp_path: Path) -> None:
    write("resnet18", tmp_path / "plain")
    write("resnet18", tmp_path / "stem", in_chans=4)
    config = copy.deepcopy(_config(tmp_path / "plain"))
    (tmp_path / "stem" / "config.json").write_text(json.dumps(config))
    with pytest.raises(ShapeMismatchError, match="conv1") as caught:
        fetch(tmp_path / "stem")
    assert len(str(caught.value).splitlines()) == 2, "a reason and a remedy"


def _config(folder: Path) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((folder / "config.json").read_text())
    return config
