"""A frozen backbone or stem in fine-tuning: saved as it came, and the step is that of dropped gradients."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from lightning_fabric import Fabric
from torchvision.models import resnet18
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN

from adept_hub.checkpoint.folder import read_config, read_tensors
from adept_hub.cli.main import main
from adept_hub.errors import RecipeError
from adept_hub.spec import Preprocessing
from adept_training.comparing.compare import make_plan
from adept_training.finetuning.detector import Trained, build_detector
from adept_training.finetuning.loop import prepare
from adept_training.finetuning.norms import set_training
from adept_training.finetuning.origin import open_finetune_start
from adept_training.finetuning.recipe import FinetuneRecipe, load_finetune_recipe
from adept_training.finetuning.samples import LabeledSamples
from tests.house import TUNE, House, HouseData, write_house
from tests.training.made import image, split


@pytest.mark.parametrize("freeze", ["stem", "backbone"])
def test_a_detector_has_what_was_frozen_as_it_came(
    freeze: str, house: House, house_data: HouseData, tmp_path: Path
) -> None:
    words = [word for setting in (*TUNE, "optimizer.lr=0.5") for word in ("--set", setting)]
    run = ["finetune", house.source, "--data", *house_data.words(), "--out", str(tmp_path / "run"), "--device", "cpu"]
    assert main([*run, *words, "--freeze", freeze]) == 0
    config = read_config(tmp_path / "run" / "last")
    before = house.parts.state_dict()
    changed = {key for key, t in read_tensors(tmp_path / "run" / "last", config).items() if not t.equal(before[key])}
    frozen = ("backbone.conv1.", "backbone.bn1.") if freeze == "stem" else ("backbone.",)
    assert not {key for key in changed if key.startswith(frozen)}
    assert {"fpn.inner_blocks.0.0.weight", "fpn.inner_blocks.0.1.running_var"} <= changed
    assert ("backbone.layer1.0.bn1.bias" in changed) == (freeze == "stem")


def _gradients(model: GeneralizedRCNN, recipe: FinetuneRecipe) -> tuple[dict[str, float], dict[str, torch.Tensor]]:
    """Losses and gradients of one step on one image of one box."""
    samples = LabeledSamples.of(split(image("a", [[4.0, 4, 40, 44]], [1])), False, 0.0, 0)
    fit = prepare(model, samples, recipe, Fabric(accelerator="cpu", devices=1))
    set_training(fit.model, recipe, 0)
    if recipe.optimizer.freeze == "none":
        model.backbone.body.eval()
    torch.manual_seed(5)
    pixels = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    boxes = torch.tensor([[4.0, 4, 40, 44]])
    targets = [{"boxes": boxes, "labels": torch.tensor([1])}] * 2
    losses = fit.wrapped(list(pixels), targets)
    torch.stack(list(losses.values())).sum().backward()
    found = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    return {name: float(value.detach()) for name, value in losses.items()}, found


def test_the_step_is_that_of_dropped_gradients(house: House) -> None:
    found = {}
    for freeze in ("none", "backbone"):
        settings = [*TUNE, "detector.head_norm=0", f"optimizer.freeze={freeze}"]
        recipe = load_finetune_recipe(None, settings).resolved(2, False)
        found[freeze] = _gradients(build_detector(house.source, 2, recipe.detector, 0), recipe)
    assert found["backbone"][0] == pytest.approx(found["none"][0], rel=1e-5)
    kept = {name: g for name, g in found["none"][1].items() if not name.startswith("backbone.body.")}
    assert found["backbone"][1].keys() == kept.keys()
    assert len(kept) < len(found["none"][1])
    for name, gradient in kept.items():
        torch.testing.assert_close(found["backbone"][1][name], gradient, rtol=1e-4, atol=1e-6)


def test_random_values_are_not_frozen(house: House, tmp_path: Path) -> None:
    heads, recipe = write_house(tmp_path / "heads", parts=("fpn", "head")).source, (*TUNE, "optimizer.freeze=stem")
    loaded = load_finetune_recipe(None, recipe)
    for source in (heads, "scratch"):
        with pytest.raises(RecipeError, match=rf"{source} has none: .*random.\n.*--set optimizer.freeze=none"):
            open_finetune_start(source, None, loaded, Trained())
        with pytest.raises(RecipeError, match=r"optimizer.freeze=stem keeps the backbone"):
            make_plan({"ours": house.source, "other": source}, ["1img"], 1, {"recipe": loaded})
    with pytest.raises(RecipeError, match=r"layers=last freezes the backbone already.*\n.*freeze=none"):
        load_finetune_recipe(None, (*recipe, "optimizer.layers=last", "norms.policy=frozen"))


def test_parts_that_a_source_lacks_can_have_the_architecture_of_another(house: House, tmp_path: Path) -> None:
    """Of a backbone the depth alone is its own: the widths and anchors are those of ``--like``."""
    torch.save(resnet18().state_dict(), tmp_path / "resnet18.pth")
    body, recipe = str(tmp_path / "resnet18.pth"), load_finetune_recipe(None, TUNE)
    assert open_finetune_start(body, None, recipe, Trained()).spec.fpn_channels == 256
    origin = open_finetune_start(body, house.source, recipe, Trained())
    assert (origin.spec, origin.pixels) == (house.config.spec, Preprocessing())
    model = build_detector(body, 2, recipe.detector, 0, origin.spec)
    assert model.backbone.out_channels == 24
    with pytest.raises(RecipeError, match=r"has all four.\nLeave --like out"):
        open_finetune_start(house.source, house.source, recipe, Trained())
