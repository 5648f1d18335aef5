"""Pre-training from a timm backbone: its facts are kept, and only what a backbone determines is compared."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torchvision.models import resnet18

import adept_training
from adept_hub.checkpoint.folder import read_config, read_tensors
from adept_hub.errors import CheckpointError, LicenseError, RecipeError, ResumeError, SourceError
from adept_hub.foreign.import_weights import FOREIGN_LAYOUTS
from adept_hub.hub.fetch import fetch
from adept_hub.io.digest import sha256_file
from adept_hub.spec import Start
from adept_training.comparing.compare import make_plan
from adept_training.finetuning.detector import build_detector
from adept_training.finetuning.recipe import load_finetune_recipe
from adept_training.pretraining.asked import Asked
from adept_training.pretraining.pretrain import pretrain
from tests.foreign.test_adopt import LICENSE, MEAN, STD, write_timm
from tests.house import House
from tests.training.conftest import TINY
from tests.training.support import TINY as SMALL
from tests.training.support import RandomBoxes, tiny, write_photographs


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    torch.manual_seed(4)
    return resnet18().state_dict()


def test_a_small_recipe_starts_from_it_and_says_what_stays_random(state: dict[str, Tensor], tmp_path: Path) -> None:
    folder, source = write_timm(tmp_path / "resnet18.mine", state), write_photographs(tmp_path / "p", 8)
    settings = ("method.freeze=backbone", "schedule.epochs=1", "views.sizes=[32,32,32]")
    init = fetch(folder).folder
    asked, stream = Asked(report=False), io.StringIO()
    pretrain(tiny(*settings), source, RandomBoxes(), tmp_path / "run", init=init, asked=asked, stream=stream)
    line = "started from timm_r18.a1_in1k: backbone (120 tensors, 44.7 MB); fpn, rpn, head start at random\n"
    assert line in stream.getvalue()
    config = read_config(tmp_path / "run" / "export")
    assert (config.preprocessing.mean, config.preprocessing.std, config.license) == (MEAN, STD, LICENSE)
    assert config.spec == tiny().model, "widths, levels and anchors are the recipe's"
    assert config.provenance.labeled is True
    card = " ".join((tmp_path / "run" / "export" / "README.md").read_text().split())
    assert (
        "Pre-trained parts of a two-stage detector (backbone, fpn, rpn, head), trained without labels, from a start "
        "that was trained with them (oldest start: resnet18.mine)."
    ) in card.replace("\\", "")
    assert "- self-supervised" in card
    assert "- fine-tuned" not in card
    assert ", no labels |" in card
    first, second = config.provenance.starts
    assert first == Start("resnet18.mine", sha256_file(folder / "model.safetensors"), LICENSE)
    assert second.name == "timm_r18.a1_in1k"
    tensors = read_tensors(tmp_path / "run" / "export", config)
    assert all(torch.equal(tensors[f"backbone.{key}"], t) for key, t in state.items() if not key.startswith("fc."))
    records = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    (loaded,) = [record for record in records if record["kind"] == "loaded"]
    assert loaded["tensors"] == {"backbone": 120, "fpn": 0, "rpn": 0, "head": 0}


def test_only_its_depth_is_compared_before_any_work(state: dict[str, Tensor], tmp_path: Path) -> None:
    folder = write_timm(tmp_path / "timm", state)
    write_photographs(tmp_path / "p", 4)
    with pytest.raises(RecipeError, match=r"timm_r18.a1_in1k and .* differ in depth.\n.*--set model.depth=18$"):
        adept_training.pretrain(tmp_path / "p", tmp_path / "run", init=str(folder))
    with pytest.raises(LicenseError, match=f"under {LICENSE}; mit is not known"):
        adept_training.pretrain(
            tmp_path / "p", tmp_path / "run", recipe="own_photos_cpu", init=str(folder), license="mit"
        )
    assert not (tmp_path / "run").exists()


def test_a_file_that_several_projects_could_have_written_takes_its_layout(
    state: dict[str, Tensor], tmp_path: Path
) -> None:
    torch.save(state, tmp_path / "my net.pth")
    write_photographs(tmp_path / "p", 8)
    terms: dict[str, Any] = {"recipe": "own_photos_cpu", "init": str(tmp_path / "my net.pth")}
    with pytest.raises(CheckpointError, match="Several projects use exactly these names"):
        adept_training.pretrain(tmp_path / "p", tmp_path / "run", **terms)
    with pytest.raises(CheckpointError, match=r"Unknown layout 'torchvison'.*torchvision"):
        adept_training.pretrain(tmp_path / "p", tmp_path / "run", **terms, layout="torchvison")
    for init in (None, str(tmp_path / "absent.pth")):
        with pytest.raises(
            SourceError,
            match=r"\nUse: adept pretrain --recipe \w+ --images IMAGES --out RUN --init FILE --layout byol$",
        ):
            adept_training.pretrain(tmp_path / "p", tmp_path / "run", init=init, layout="byol")
    assert not (tmp_path / "run").exists()
    settings = (*SMALL, "views.sizes=[32,32,32]", "views.boxes=2", "data.proposals=fixed")
    adept_training.pretrain(tmp_path / "p", tmp_path / "run", **terms, layout="byol", settings=settings)
    start, _ = read_config(tmp_path / "run" / "export").provenance.starts
    assert start == Start("my net.pth", sha256_file(tmp_path / "my net.pth"), FOREIGN_LAYOUTS["byol"].license)
    # Given as a source it is the same start, or the run would refuse to be resumed from it.
    same = {**terms, "init": f"byol:{terms['init']}", "settings": settings, "resume": True}
    for layout in (None, "byol"):
        assert adept_training.pretrain(tmp_path / "p", tmp_path / "run", **same, layout=layout).finished_before
    with pytest.raises(SourceError, match=r"has the layout byol, and --layout is simclr\.\n"):
        adept_training.pretrain(tmp_path / "p", tmp_path / "run", **same, layout="simclr")
    with pytest.raises(ResumeError, match="whose weights are not those of"):
        adept_training.pretrain(
            tmp_path / "p", tmp_path / "run", **{**same, "init": f"simclr:{terms['init']}"}, layout=None
        )
    again = Asked("p", init="my net.pth", layout="byol").resume(Path("r"))
    assert again == "adept pretrain --images p --out r --init 'my net.pth' --layout byol --resume"


def test_a_comparison_gives_a_backbone_the_widths_of_the_others(
    state: dict[str, Tensor], house: House, tmp_path: Path
) -> None:
    folder = write_timm(tmp_path / "timm", state)
    recipe = load_finetune_recipe(None, TINY)
    for order in (("theirs", "ours"), ("ours", "theirs")):
        named = {"theirs": str(folder), "ours": house.source}
        sources = {"scratch": "scratch", **{name: named[name] for name in order}}
        plan = make_plan(sources, ["1img"], 1, {"recipe": recipe})
        assert plan.spec == house.config.spec
    detector = plan.variants["recipe"].detector
    for name in ("scratch", "theirs", "ours"):
        model = build_detector(plan.sources[name], 3, detector, 0, plan.spec, plan.pixels)
        assert model.backbone.out_channels == 24
        assert model.roi_heads.box_predictor.cls_score.in_features == 72
    loaded = build_detector(str(folder), 3, detector, 0, plan.spec).backbone.body.state_dict()
    assert all(torch.equal(tensor, state[key]) for key, tensor in loaded.items())
