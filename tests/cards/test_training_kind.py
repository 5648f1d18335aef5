"""The first lines of a card: whether labels were used anywhere in the chain, and no number that is not known."""

from __future__ import annotations

import contextlib
import io
import json
import re
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import nn
from torchvision.models import resnet18
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.backbone_utils import _resnet_fpn_extractor
from torchvision.ops import FrozenBatchNorm2d

import adept_hub
from adept_hub.cards.card import render_card
from adept_hub.checkpoint.config_file import config_text, parse_config
from adept_hub.checkpoint.folder import read_config, write_config
from adept_hub.cli.main import main
from adept_hub.foreign.projects import FOREIGN_LAYOUTS
from adept_hub.hub.fetch import fetch
from adept_hub.spec import CheckpointConfig, Provenance, Start
from tests.foreign.test_adopt import write_timm

OLDEST = Start("hf-hub:timm/resnet18.a1_in1k", "cd" * 32, "apache-2.0")
LABELED_START = (OLDEST, Start("timm_r18.a1_in1k", "ef" * 32, "apache-2.0"))
#: As `adept_training.pretraining.export` and `adept_training.finetuning.detector` record them.
PRETRAINED, FINE_TUNED = {"method": {"name": "adept_joint"}, "views": {}}, {"detector": "faster_rcnn"}


@pytest.fixture(scope="module")
def network() -> nn.Module:
    torch.manual_seed(1)
    return resnet18()


def with_provenance(config: CheckpointConfig, **changes: Any) -> CheckpointConfig:
    return replace(config, provenance=replace(config.provenance, **changes))


def facts(card: str) -> tuple[list[str], str, dict[str, str]]:
    """Tags, first sentence and the table of the training."""
    tags = yaml.safe_load(card.split("---\n")[1])["tags"]
    first = card.split("\n# ", 1)[1].split("\n\n", 1)[1].splitlines()[0]
    rows = re.findall(r"^\| ([^|]+) \| (.+) \|$", card.split("## Training")[1].split("\n## ")[0], re.MULTILINE)
    return tags, first.replace("\\", ""), {key: value.replace("\\", "") for key, value in rows}


def test_a_backbone_of_timm(network: nn.Module, tmp_path: Path) -> None:
    folder = write_timm(tmp_path / "resnet18.mine", network.state_dict())
    card = render_card(fetch(folder).config)
    tags, first, rows = facts(card)
    assert first == "Pre-trained parts of a two-stage detector (backbone), trained with labels."
    assert tags[1] == "supervised"
    assert rows["data"] == "those of timm's resnet18.a1_in1k, labeled"
    assert "Trained on those of timm's resnet18.a1_in1k. It is a starting point" in card.replace("\\", "")
    assert_nothing_unknown_is_stated(card)


def test_a_detector_with_coco_weights(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    body = _resnet_fpn_extractor(resnet18(norm_layer=FrozenBatchNorm2d), 3)
    torch.save(FasterRCNN(body, 91).state_dict(), tmp_path / "coco.pth")
    assert main(["import", str(tmp_path / "coco.pth"), "--out", str(tmp_path / "out")]) == 0
    assert "Labels in training: used\n" in capsys.readouterr().out
    card = render_card(read_config(tmp_path / "out"))
    tags, first, rows = facts(card)
    assert first == "Pre-trained parts of a two-stage detector (backbone, fpn, rpn, head), trained with labels."
    assert (tags[1], rows["data"]) == ("supervised", "COCO train2017 with its labels, labeled")
    assert_nothing_unknown_is_stated(card)


def assert_nothing_unknown_is_stated(card: str) -> None:
    for absent in ("0 images", "0 epochs", "| epochs |", "only network"):
        assert absent not in card, absent


@pytest.mark.parametrize(
    ("layout", "labels", "words"),
    [
        ("resnet", "unknown", "; whether labels were used is unknown."),
        ("densecl", "not used", ", trained without labels."),
        ("torchvision", "used", ", trained with labels."),
    ],
)
def test_files_that_may_have_been_trained_with_labels_are_not_said_to_be_without(
    layout: str, labels: str, words: str, network: nn.Module, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save(network.state_dict(), tmp_path / "net.pth")
    out = tmp_path / "out"
    assert main(["import", str(tmp_path / "net.pth"), "--layout", layout, "--out", str(out)]) == 0
    assert f"Labels in training: {labels}\n" in capsys.readouterr().out
    config = read_config(out)
    tags, first, rows = facts(render_card(config))
    assert first == f"Pre-trained parts of a two-stage detector (backbone){words}"
    kinds = {"unknown": set(), "not used": {"self-supervised"}, "used": {"supervised"}}
    assert set(tags) & {"supervised", "self-supervised", "fine-tuned"} == kinds[labels]
    assert rows["data"] == {"unknown": "unknown, labels unknown", "not used": "unknown, no labels"}.get(
        labels, "unknown, labeled"
    )
    assert main(["info", str(out)]) == 0
    assert re.search(rf"^labels +{labels}$", capsys.readouterr().out, re.MULTILINE)


def test_layouts_that_supervised_files_have_too_do_not_claim_that_labels_are_absent() -> None:
    """Names of a plain ResNet, VISSL's zoo, Google's SimCLRv2, Detectron2's ImageNet weights, and so on."""
    unknown = {name for name, layout in FOREIGN_LAYOUTS.items() if layout.labeled is None}
    assert unknown == {
        "resnet", "vissl", "simclr-v2", "detectron2-backbone", "openselfsup", "aligndet", "aligndet-detector",
    }  # fmt: skip


def test_pre_training_from_a_labeled_start(make_checkpoint) -> None:
    _, config, _ = make_checkpoint()
    config = with_provenance(config, labeled=True, starts=LABELED_START, recipe=PRETRAINED, data="your photographs")
    tags, first, rows = facts(render_card(config))
    assert first == (
        "Pre-trained parts of a two-stage detector (backbone, fpn, rpn, head), trained without labels, from a start "
        f"that was trained with them (oldest start: {OLDEST.name})."
    )
    assert tags[1] == "self-supervised"
    assert rows["data"] == "your photographs, 1 images, no labels"
    assert "class and box predictors are not trained yet" in render_card(config)


def test_labels_in_a_start_do_not_hide_labels_in_the_training(make_checkpoint) -> None:
    """Only the recipe of a pre-training is evidence that there were none."""
    _, config, _ = make_checkpoint()
    tuned = with_provenance(config, labeled=True, starts=LABELED_START, recipe=FINE_TUNED)
    assert facts(render_card(tuned))[0][1] == "fine-tuned"
    assert "fine-tuned with labels" in facts(render_card(tuned))[1]
    by_hand = with_provenance(config, labeled=True, starts=LABELED_START)
    tags, first, rows = facts(render_card(by_hand))
    assert (tags[1], rows["data"]) == ("supervised", "random numbers, 1 images, labeled")
    assert first.endswith(", trained with labels.")


def test_a_model_from_memory_may_have_been_trained_further(make_checkpoint, tmp_path: Path) -> None:
    folder, config, _ = make_checkpoint()
    model = adept_hub.load_pretrained(folder, num_classes=3)
    name = "adept_joint_r18_fpn32.mine"
    saved = adept_hub.save_pretrained(model, tmp_path / "a", name=name)
    assert (config.provenance.labels, saved.provenance.labels) == ("not used", "unknown")
    stated = replace(config.provenance, labeled=False)
    assert adept_hub.save_pretrained(model, tmp_path / "b", name=name, provenance=stated).provenance.labeled is False
    write_config(folder, with_provenance(config, labeled=True, starts=LABELED_START, recipe=PRETRAINED))
    assert ", trained without labels, from a start" in facts(render_card(read_config(folder)))[1]
    model = adept_hub.load_pretrained(folder, num_classes=3)
    for own in (None, stated):
        saved = adept_hub.save_pretrained(model, tmp_path / "c", name=name, provenance=own, overwrite=True)
        assert saved.provenance.labeled is True, "the start's labels are in the chain, whatever the user states"
        assert facts(render_card(saved))[1].endswith(", trained with labels.")
    new = adept_hub.create_model("soco_r18_fpn128", num_classes=3)
    assert adept_hub.save_pretrained(new, tmp_path / "d", name="soco_r18_fpn128.mine").provenance.labeled is None


@pytest.mark.parametrize("labeled", [True, False, None])
def test_what_is_known_of_labels_is_written_and_read(labeled: bool | None, make_checkpoint) -> None:
    config = with_provenance(make_checkpoint()[1], labeled=labeled)
    text = config_text(config)
    assert parse_config(text.encode(), "config.json") == config
    assert json.loads(text)["provenance"]["labeled"] is labeled


def test_files_without_the_field_are_read_as_before(make_checkpoint) -> None:
    content = json.loads(config_text(make_checkpoint()[1]))
    del content["provenance"]["labeled"]
    assert parse_config(json.dumps(content).encode(), "config.json").provenance.labels == "not used"
    assert Provenance("soco", "photographs", 10, 1.0, "target").labels == "not used"


@pytest.mark.parametrize("parts", [("backbone",), ("backbone", "fpn", "head")])
def test_the_commands_on_a_card_of_some_parts_run(
    parts: tuple[str, ...], make_checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, config, _ = make_checkpoint(parts=parts)
    monkeypatch.chdir(tmp_path)
    card = render_card(config, source=str(folder))
    (program,) = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile(program, "card", "exec"), {})
    assert "backbone" in printed.getvalue()
    (commands,) = re.findall(r"```bash\n(.*?)```", card, re.DOTALL)
    for command in commands.splitlines():
        assert main(shlex.split(command, comments=True)[1:]) == 0, command


@pytest.mark.parametrize("name", ["detection", "adept_joint"])
def test_no_bundled_weights_claim_what_the_paper_reports(name: str) -> None:
    card = render_card(fetch(name).config)
    assert "results do not apply" in card
    assert "more false positives than SoCo" not in card
    assert ("These weights are not the papers'" in card) is (name != "detection")
