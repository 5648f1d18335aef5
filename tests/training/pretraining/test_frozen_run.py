"""Runs that freeze the backbone of their start: exported as it came, resumed exactly, refused without a start."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
import torch

from adept_hub.checkpoint.folder import read_config, read_tensors, replace_provenance
from adept_hub.convert.regressor import without_regressor
from adept_hub.errors import RecipeError
from adept_training.images import ImageSource
from adept_training.pretraining.asked import Asked
from adept_training.pretraining.pretrain import pretrain
from adept_training.pretraining.run import Run
from tests.house import House, write_house
from tests.training.pretraining.test_origin import ANCHORS, MODEL
from tests.training.pretraining.test_pretrain import _kill_at, _same, _state
from tests.training.support import RandomBoxes, tiny, tiny_detection, write_photographs

FROZEN = (
    *MODEL, *ANCHORS, "method.freeze=backbone", "optimizer.weight_decay=0.1", "schedule.epochs=1",
    "views.sizes=[32,48,32]",
)  # fmt: skip


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> ImageSource:
    return write_photographs(tmp_path_factory.mktemp("photographs"), 12)


def _kept(export: Path, house: House) -> dict[str, bool]:
    """Whether every tensor of a part is that of the start, bit for bit."""
    tensors, before = without_regressor(read_tensors(export, read_config(export))), house.parts.state_dict()
    assert tensors.keys() == before.keys()
    kept = dict.fromkeys(read_config(export).parts, True)
    for key, tensor in tensors.items():
        kept[key.partition(".")[0]] &= torch.equal(tensor, before[key])
    return kept


def test_an_export_has_the_backbone_as_it_came_and_a_run_is_resumed_exactly(
    house: House, source: ImageSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, boxes = Asked(report=False), RandomBoxes()
    for network in ("target", "online"):
        recipe = tiny(*FROZEN, f"export.network={network}")
        pretrain(recipe, source, boxes, tmp_path / network, init=house.folder, asked=asked)
        kept = _kept(tmp_path / network / "export", house)
        assert kept == {"backbone": True, "fpn": False, "rpn": False, "head": False}
    whole, recipe = _state(tmp_path / "target"), tiny(*FROZEN)
    with monkeypatch.context() as patch:
        _kill_at(patch, 2, signal.SIGTERM)
        assert pretrain(recipe, source, boxes, tmp_path / "r", init=house.folder, asked=asked).interrupted
    pretrain(recipe, source, boxes, tmp_path / "r", resume=True, asked=asked)
    for key in ("model", "optimizer", "step"):
        assert _same(_state(tmp_path / "r")[key], whole[key]), key


def test_detection_freezes_it_too(house: House, source: ImageSource, tmp_path: Path) -> None:
    recipe = tiny_detection(*FROZEN, "views.sizes=[64,64,64]")
    pretrain(recipe, source, RandomBoxes(), tmp_path / "r", init=house.folder, asked=Asked(report=False))
    assert _kept(tmp_path / "r" / "export", house) == {"backbone": True, "fpn": False, "rpn": False, "head": False}


def test_a_frozen_teacher_is_part_of_the_state_and_the_online_network_is_exported(
    house: House, source: ImageSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The backbone is trained here: the teacher has a copy, and the whitening of the first boxes."""
    asked, boxes = Asked(report=False), RandomBoxes()
    recipe = tiny(*FROZEN, "method.freeze=none", "method.teacher=frozen", "method.projection=8", "engine.batch_size=4")
    pretrain(recipe, source, boxes, tmp_path / "whole", init=house.folder, asked=asked)
    whole = _state(tmp_path / "whole")
    assert not [key for key in whole["model"] if key.startswith("target.")]
    before = house.parts.state_dict()
    for key, tensor in whole["model"].items():
        if key.startswith("teacher.backbone."):
            assert torch.equal(tensor, before[key.removeprefix("teacher.")]), key
    assert whole["model"]["teacher.whitening_DE"].abs().sum() > 0
    config = read_config(tmp_path / "whole" / "export")
    assert config.provenance.exported_network == "online"
    assert (config.provenance.random_share, _kept(tmp_path / "whole" / "export", house)["backbone"]) == (0.0, False)
    with monkeypatch.context() as patch:
        patch.setattr(Run, "time_pace", lambda *_: os.kill(os.getpid(), signal.SIGTERM))
        assert pretrain(recipe, source, boxes, tmp_path / "r", init=house.folder, asked=asked).interrupted
    pretrain(recipe, source, boxes, tmp_path / "r", resume=True, asked=asked)
    for key in ("model", "optimizer", "step"):
        assert _same(_state(tmp_path / "r")[key], whole[key]), key
    few = tiny(*FROZEN, "method.teacher=frozen", "method.projection=700")
    with pytest.raises(RecipeError, match=r"has 48 boxes, too few for targets of 700 dim.*\n.*method.projection=12$"):
        pretrain(few, source, boxes, tmp_path / "few", init=house.folder, asked=asked)


def test_random_values_are_not_frozen(source: ImageSource, tmp_path: Path) -> None:
    heads = write_house(tmp_path / "heads", parts=("fpn", "head"))
    for init, setting, reason in (
        (None, "freeze=backbone", r"without one it is random.\n.*--init SOURCE.*--set method.freeze=none$"),
        (heads.folder, "freeze=stem", r"has no backbone.\n.*--set method.freeze=none$"),
        (None, "teacher=frozen", r"takes its targets .* is random.\n.*--init SOURCE.*--set method.teacher=ema$"),
        (heads.folder, "teacher=frozen", r"has no backbone.\n.*--set method.teacher=ema$"),
    ):
        recipe = tiny(*MODEL, *ANCHORS, f"method.{setting}")
        with pytest.raises(RecipeError, match=reason):
            pretrain(recipe, source, RandomBoxes(), tmp_path / "r", init=init)
    assert not (tmp_path / "r").exists()


def test_random_values_that_a_frozen_backbone_came_with_are_counted(
    house: House, source: ImageSource, tmp_path: Path
) -> None:
    """The momenta leave less than 0.3 of FPN and head, and the online network's nothing, but 0.3 of the backbone."""
    other = write_house(tmp_path / "other")
    replace_provenance(other.folder, random_share=0.3)
    settings = (*FROZEN, "export.network=online")
    result = pretrain(tiny(*settings), source, RandomBoxes(), tmp_path / "r", init=other.folder)
    assert result.random_share == 0.3
