"""Starts that cannot work are refused in two lines, before an image is read and before a folder is made.

For each way to use a start: ``adept pretrain --init``, ``adept finetune``, ``compare`` and ``fewshot``, and
``load_pretrained``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torchvision.models import VisionTransformer, resnet18, resnet34, resnet50

import adept_hub
import adept_training
from adept_hub.cli.main import main
from adept_hub.errors import AdeptError, RecipeError
from adept_hub.hub.fetch import fetch
from adept_training.comparing.compare import make_plan
from adept_training.finetuning.recipe import load_finetune_recipe
from adept_training.pretraining.origin import check_start
from adept_training.pretraining.recipe import load_recipe
from tests.foreign.test_adopt import write_timm
from tests.foreign.test_classes import detector
from tests.house import House
from tests.training.support import write_photographs


def _without(state: dict[str, Tensor], start: str) -> dict[str, Tensor]:
    return {key: tensor for key, tensor in state.items() if not key.startswith(start)}


def _saved(state: dict[str, Tensor], file: Path) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    torch.save(state, file)
    return file


def _half(state: dict[str, Tensor], file: Path) -> Path:
    content = _saved(state, file).read_bytes()
    file.write_bytes(content[: len(content) // 2])
    return file


def _vit() -> dict[str, Tensor]:
    return VisionTransformer(32, 16, num_layers=1, num_heads=1, hidden_dim=8, mlp_dim=8).state_dict()


#: How a wrong start is made in a folder, and what its refusal has in its first line and in its second.
STARTS: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "another depth": (
        lambda d: write_timm(d / "timm", resnet18().state_dict(), architecture="resnet34"),
        "timm: its config is of a ResNet-34, its tensors are a ResNet-18's", "download or save both again",
    ),
    "basic blocks for bottlenecks": (  # 34 and 50 have the same numbers of blocks
        lambda d: write_timm(d / "timm", resnet34().state_dict(), architecture="resnet50"),
        "timm: its config is of a ResNet-50, its tensors are a ResNet-34's", "download or save both again",
    ),
    "a stem for 4 channels": (
        lambda d: _saved(resnet18().state_dict() | {"conv1.weight": torch.zeros(64, 4, 7, 7)}, d / "resnet18.pth"),
        "resnet18.pth (layout torchvision): 'backbone.conv1.weight' has shape (64, 4, 7, 7)", "a ResNet for RGB images",
    ),
    "a stem for 4 channels in its config": (
        lambda d: write_timm(d / "timm", {"x": torch.zeros(1)}, input_size=[4, 224, 224]),
        "timm takes images of 4 channels", "hf-hub:timm/resnet50.a1_in1k",
    ),
    "a deeper ResNet": (
        lambda d: f"resnet:{_saved(_deep(resnet18().state_dict()), d / 'deep.pth')}",
        "deep.pth (layout resnet): The backbone is not a ResNet of a usual depth", "Use a ResNet-18, -34, -50 or -101",
    ),
    "a ViT": (lambda d: _saved(_vit(), d / "vit.pth"), "vit.pth: No layout has all of these", "Use a ResNet, or a"),
    "a ViT, stated to be a ResNet": (
        lambda d: f"timm:{_saved(_vit(), d / 'vit.pth')}",
        "vit.pth has 'class_token', which is not in the layout timm", "use a ResNet, or a detector",
    ),
    "a ViT of timm": (
        lambda d: write_timm(d / "timm", _vit(), architecture="vit_base_patch16_224"),
        "timm is 'vit_base_patch16_224' and not one of resnet18", "hf-hub:timm/resnet50.a1_in1k",
    ),
    "a COCO detector with 3 classes": (
        lambda d: _saved(detector(3), d / "det.pth"),
        "det.pth has predictors for 3 classes", "--layout torchvision-detector --data TEXT --license LICENSE --out DIR",
    ),
    "a ResNet that lacks a block": (
        lambda d: _saved(_without(resnet18().state_dict(), "layer4.1"), d / "resnet18.pth"),
        "resnet18.pth (layout torchvision): 12 of 120 tensors are missing: 'backbone.layer4.1", "Download or save the",
    ),
    "a detector that lacks its FPN": (
        lambda d: _saved(_without(detector(91), "backbone.fpn"), d / "det.pth"),
        "det.pth (layout torchvision-detector): it has no fpn.", "Download or save the file again",
    ),
    "half a file": (
        lambda d: _half(resnet18().state_dict(), d / "resnet18.pth"),
        "resnet18.pth is not a valid file of tensors", "Download it again",
    ),
}  # fmt: skip


def _deep(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Add a block to the third stage of a ResNet-18; a ResNet-34 has more."""
    return state | {key.replace("layer3.1.", "layer3.2."): t for key, t in state.items() if "layer3.1." in key}


def _refused(call: Callable[[], object], first: str, second: str) -> None:
    with pytest.raises(AdeptError) as caught:
        call()
    lines = str(caught.value).splitlines()
    assert len(lines) == 2, lines
    assert first in lines[0]
    assert second in lines[1]


@pytest.mark.parametrize("name", STARTS)
def test_a_wrong_start_is_refused_before_any_work(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make, first, second = STARTS[name]
    torch.manual_seed(1)
    source, out = str(make(tmp_path / "start")), tmp_path / "run"
    (tmp_path / "start").mkdir(exist_ok=True)
    # The folder has no images: whoever reads them first reports another error.
    absent = str(tmp_path / "absent")
    (tmp_path / "absent").mkdir()
    for words in (
        ["pretrain", "--images", absent, "--recipe", "own_photos_cpu", "--init", source, "--out", str(out)],
        ["finetune", source, "--data", f"voc:{absent}", "--out", str(out)],
        ["compare", "scratch", source, "--data", f"voc:{absent}", "--out", str(out)],
        ["compare", f"theirs={source}", "scratch", "--data", f"voc:{absent}", "--out", str(out)],
        ["fewshot", source, "--data", f"voc:{absent}", "--shots", "1", "--seeds", "1", "--out", str(out)],
    ):
        assert main(words) == 1
        printed = capsys.readouterr().err.removeprefix("adept: ").splitlines()
        assert len(printed) == 2, printed
        assert first in printed[0]
        assert second in printed[1]
        assert not out.exists()
    _refused(lambda: adept_hub.load_pretrained(source, num_classes=3, parts="backbone"), first, second)


@pytest.mark.parametrize(("build", "depth"), [(resnet18, 18), (resnet34, 34)])
def test_a_recipe_of_another_depth_is_refused_before_its_proposals(
    build: Callable[[], Any], depth: int, tmp_path: Path
) -> None:
    """Fine-tuning and `load_pretrained` take the depth of the start; the recipe of a pre-training has its own."""
    source = f"resnet:{_saved(build().state_dict(), tmp_path / 'mine.pth')}"
    write_photographs(tmp_path / "p", 4)
    with pytest.raises(
        RecipeError, match=rf"resnet_r{depth}.imported and .* differ in depth\.\n.*model.depth={depth}$"
    ):
        adept_training.pretrain(tmp_path / "p", tmp_path / "run", recipe="adept_joint_r50_100ep", init=source)
    assert not (tmp_path / "run").exists()
    config = fetch(source).config
    check_start(load_recipe("adept_joint_r50_100ep", [f"model.depth={depth}"]), config, tmp_path)
    with pytest.raises(AdeptError, match=r"[^\n]*\n[^\n]*$"):
        adept_hub.load_into(resnet50(), source, parts=("backbone",))


@pytest.mark.parametrize("damage", ["half", "another value", "none"])
def test_damaged_weights_of_our_own_are_found_before_any_work(damage: str, house: House, tmp_path: Path) -> None:
    file = house.folder / "model.safetensors"
    content = file.read_bytes()
    file.unlink()
    if damage != "none":
        file.write_bytes(content[: len(content) // 2] if damage == "half" else content[:-4] + b"\1\2\3\4")
    write_photographs(tmp_path / "p", 4)
    recipe = replace(load_recipe("own_photos_cpu", ["engine.batch_size=2"]), model=house.config.spec)
    (tmp_path / "recipe.yaml").write_text(recipe.to_yaml())
    first, second = ("has no model.safetensors", "again") if damage == "none" else ("instead of", "complete copy")
    source, out = house.source, tmp_path / "run"
    for call in (
        lambda: adept_training.pretrain(tmp_path / "p", out, recipe=tmp_path / "recipe.yaml", init=source),
        lambda: adept_training.finetune(source, f"voc:{tmp_path / 'absent'}", out),
        lambda: make_plan({"scratch": "scratch", "a": source}, ["1img"], 1, {"": load_finetune_recipe(None)}),
        lambda: adept_hub.load_pretrained(source, num_classes=3),
    ):
        _refused(call, first, second)
    assert not out.exists()
