"""A checkpoint folder from a detector in memory."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import adept_hub
from adept_hub.cards.card import BEGIN, END, handwritten_part
from adept_hub.checkpoint.folder import CONFIG, WEIGHTS, write_config
from adept_hub.errors import (
    AdeptError,
    CheckpointError,
    IncompleteLoadError,
    PublishError,
    UnknownKeyError,
    UnsupportedModelError,
)
from adept_hub.spec import Metric, Preprocessing, Provenance, Start
from tests.hub.loopback import Hub

METRICS = (
    Metric("AP50", 41.5, "VOC2007 test", "self-reported", "adept evaluate runs/x --data voc:VOC2007", "± 0.3, 3 seeds"),
    Metric("AP", 20.25, "VOC2007 test", "reproduced"),
    Metric("AP", 38.2, "COCO val2017", "paper-reported"),
    Metric("TIDE Loc", 6.5, "VOC2007 test", "self-reported"),
)


def test_a_loaded_model_is_saved_as_it_came(make_checkpoint, tmp_path: Path) -> None:
    folder, config, parts = make_checkpoint()
    model = adept_hub.load_pretrained(folder, num_classes=4, detector="mask_rcnn")
    saved = adept_hub.save_pretrained(model, tmp_path / "saved", name="adept_joint_r18_fpn32.again")
    assert (saved.spec, saved.license, saved.parts) == (config.spec, config.license, config.parts)
    assert saved.provenance.starts == (Start(config.name, config.sha256, "apache-2.0"),)
    state = adept_hub.load_state_dict(tmp_path / "saved")
    assert all(torch.equal(state[key], value) for key, value in parts.state_dict().items())
    assert sorted(path.name for path in (tmp_path / "saved").iterdir()) == ["README.md", CONFIG, WEIGHTS]


def test_a_fine_tuned_model_keeps_its_new_weights_and_not_its_old_metrics(make_checkpoint, tmp_path: Path) -> None:
    folder, config, _ = make_checkpoint()
    write_config(folder, replace(config, provenance=replace(config.provenance, metrics=METRICS)))
    model = adept_hub.load_pretrained(folder, num_classes=4)
    with torch.no_grad():
        model.rpn.head.cls_logits.bias.fill_(-3.5)
    saved = adept_hub.save_pretrained(model, tmp_path / "saved", name="adept_joint_r18_fpn32.tuned", half=True)
    assert saved.provenance.metrics == ()
    assert adept_hub.load_state_dict(tmp_path / "saved")["rpn.cls_logits.bias"].tolist() == [-3.5] * 3


def test_a_new_model_is_saved_and_not_published(hub: Hub, tmp_path: Path) -> None:
    model = adept_hub.create_model("soco_r18_fpn128", num_classes=3)
    model.transform.image_mean = [0.1, 0.2, 0.3]
    saved = adept_hub.save_pretrained(model, tmp_path / "new", name="soco_r18_fpn128.new")
    assert (saved.spec.depth, saved.spec.fpn_channels, saved.spec.head_fc_channels) == (18, 128, 512)
    assert saved.preprocessing == Preprocessing(mean=(0.1, 0.2, 0.3))
    assert adept_hub.load_pretrained(tmp_path / "new").load_report.loaded == 200
    with pytest.raises(PublishError, match="does not specify the method and the training data"):
        adept_hub.push_to_hub(tmp_path / "new", "org/new")
    provenance = Provenance("soco", "photographs", 10, 1.0, "target")
    adept_hub.save_pretrained(
        model, tmp_path / "new", name="soco_r18_fpn128.new", provenance=provenance, overwrite=True
    )
    with pytest.raises(PublishError, match="no license"):
        adept_hub.push_to_hub(tmp_path / "new", "org/new")
    adept_hub.save_pretrained(
        model, tmp_path / "new", name="soco_r18_fpn128.new", provenance=provenance, license="mit", overwrite=True
    )
    adept_hub.push_to_hub(tmp_path / "new", "org/new")


def test_chosen_parts_and_those_of_the_origin(make_checkpoint, tmp_path: Path) -> None:
    folder, _, _ = make_checkpoint(parts=("backbone", "fpn", "head"))
    model = adept_hub.load_pretrained(folder, parts=("backbone", "fpn", "head"))
    saved = adept_hub.save_pretrained(model, tmp_path / "saved", name="soco_r18_fpn32.again")
    assert saved.parts == ("backbone", "fpn", "head"), "the RPN, which is new, is not claimed to be pre-trained"
    saved = adept_hub.save_pretrained(model, tmp_path / "body", name="soco_r18_fpn32.body", parts=("backbone",))
    with pytest.raises(IncompleteLoadError):
        adept_hub.load_pretrained(tmp_path / "body")


def test_models_of_other_architectures_are_refused(tmp_path: Path) -> None:
    from torchvision.models import resnet18
    from torchvision.models.detection import fasterrcnn_mobilenet_v3_large_320_fpn

    for model in (
        resnet18(weights=None),
        fasterrcnn_mobilenet_v3_large_320_fpn(weights=None, weights_backbone=None),
        torch.nn.Linear(2, 2),
    ):
        with pytest.raises((UnknownKeyError, UnsupportedModelError)):
            adept_hub.save_pretrained(model, tmp_path / "out", name="a_b.c")
        assert not (tmp_path / "out").exists()


def test_a_bad_name_or_a_value_that_is_not_finite_is_not_saved(make_checkpoint, tmp_path: Path) -> None:
    folder, _, _ = make_checkpoint()
    model = adept_hub.load_pretrained(folder)
    with pytest.raises(AdeptError, match="name"):
        adept_hub.save_pretrained(model, tmp_path / "out", name="../out")
    with torch.no_grad():
        model.rpn.head.cls_logits.bias.fill_(float("nan"))
    with pytest.raises(CheckpointError, match="NaN"):
        adept_hub.save_pretrained(model, tmp_path / "out", name="a_b.c")
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]


def test_the_hand_written_part_of_a_card() -> None:
    assert handwritten_part("") == ""
    assert handwritten_part(f"x\n{BEGIN}\n mine \n{END}\ny") == "mine"
    assert handwritten_part(f"x\n{BEGIN}\n{END}\ny") == ""
    assert handwritten_part("---\na: 1\n---\n# By hand\n") == "# By hand"
    assert handwritten_part("---\r\na: 1\r\n---\r\nby hand") == "by hand"
    assert handwritten_part("# By hand\n\n---\n\nmore") == "# By hand\n\n---\n\nmore"
    assert json.dumps(handwritten_part("---\nlicense: mit\n---\n")) == '""'


def test_a_checkpoint_appears_with_its_card_or_not_at_all(
    make_checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, out = adept_hub.load_pretrained(make_checkpoint()[0], num_classes=4), tmp_path / "saved"
    adept_hub.save_pretrained(model, out, name="adept_joint_r18_fpn32.first")
    card = out / "README.md"
    card.write_text(card.read_text().replace(f"{BEGIN}\n", f"{BEGIN}\n\nMine.\n\n"))
    before = {path.name: path.read_bytes() for path in out.iterdir()}

    def fail(*_: object, **__: object) -> None:
        raise CheckpointError("no card")

    with monkeypatch.context() as patch:
        patch.setattr("adept_hub.publish.push.write_card", fail)
        with pytest.raises(CheckpointError, match="no card"):
            adept_hub.save_pretrained(model, out, name="adept_joint_r18_fpn32.second", overwrite=True)
        with pytest.raises(CheckpointError, match="no card"):
            adept_hub.save_pretrained(model, tmp_path / "new", name="adept_joint_r18_fpn32.second")
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert not (tmp_path / "new").exists()
    adept_hub.save_pretrained(model, out, name="adept_joint_r18_fpn32.second", overwrite=True)
    assert handwritten_part(card.read_text()) == "Mine."
    assert "adept_joint_r18_fpn32.second" in card.read_text()
