"""Pre-training from a detector of another architecture: its settings are needed, and its tensors arrive."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from adept_hub.checkpoint.folder import read_config, read_tensors
from adept_hub.errors import RecipeError
from adept_hub.spec import AnchorSpec
from adept_training.pretraining.asked import Asked
from adept_training.pretraining.origin import check_random_norms, check_start
from adept_training.pretraining.pretrain import pretrain
from tests.house import SPEC, write_house
from tests.training.support import RandomBoxes, tiny, write_photographs

#: torchvision's v1, on anchors of which P6's is twice P5's.
RIVAL = replace(
    SPEC, rpn_convs=2, head="2fc", head_norm="none", fpn_norm="none", backbone_norm="frozen_bn", pooling="unaligned",
    anchors=AnchorSpec((11.0, 23.0, 47.0, 90.0, 180.0), (0.4, 1.7), "rounded"),
)  # fmt: skip
MODEL = (
    "model.depth=18", "model.fpn_channels=24", "model.head_conv_channels=40", "model.head_fc_channels=72",
    "model.levels.upper=[36,72,144,170]", "model.anchors.ratios=[0.4,1.7]",
)  # fmt: skip


def test_a_run_goes_on_from_a_rival_with_the_settings_that_are_printed(tmp_path: Path) -> None:
    house = write_house(tmp_path / "rival", spec=RIVAL)
    with pytest.raises(RecipeError) as caught:
        check_start(tiny(*MODEL), house.config, house.folder)
    message = str(caught.value)
    for name in ("rpn_convs", "head", "head_norm", "fpn_norm", "backbone_norm", "anchors.sizes"):
        assert f"model.{name}=" in message
    assert "pooling" not in message
    assert "generator" not in message
    settings = [word for word in shlex.split(message.split("start: ")[1]) if word != "--set"]
    still = ("optimizer.lr=0.0", "optimizer.rpn_lr=0.0", "schedule.epochs=1", "schedule.warmup_epochs=0.5")
    recipe = tiny(*MODEL, *settings, *still, "method.name=adept_joint")
    source = write_photographs(tmp_path, 8)
    pretrain(recipe, source, RandomBoxes(), tmp_path / "run", init=house.folder, asked=Asked(report=False))
    config = read_config(tmp_path / "run" / "export")
    assert config.spec == replace(RIVAL, anchors=AnchorSpec(RIVAL.anchors.sizes[:4], (0.4, 1.7)), pooling="aligned")
    tensors, before = read_tensors(tmp_path / "run" / "export", config), house.parts.state_dict()
    assert tensors.keys() == before.keys()
    frozen = [key for key in tensors if key.startswith("backbone.") and ".bn" in key]
    assert len(frozen) > 60
    for key in (*frozen, "rpn.conv.1.0.weight", "head.fc7.weight", "fpn.inner_blocks.0.0.bias"):
        torch.testing.assert_close(tensors[key], before[key])


def test_frozen_norms_without_a_start_and_what_pre_training_lacks_are_refused() -> None:
    with pytest.raises(RecipeError, match=r"model\.backbone_norm is frozen_bn.*\n.*--set model\.backbone_norm=bn"):
        check_random_norms(RIVAL)
    check_random_norms(replace(RIVAL, backbone_norm="bn"))
    for setting in ("model.pooling=unaligned", "model.anchors.generator=rounded"):
        with pytest.raises(RecipeError, match=r"does not support\.\n--set model\."):
            tiny(setting)
