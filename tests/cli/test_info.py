"""``adept info`` of every kind of source: what it prints is the config's, and what it tells to type next runs."""

from __future__ import annotations

import ast
import json
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torchvision.models import resnet18

import adept_hub
from adept_hub.cli.info import _architecture
from adept_hub.cli.main import main
from adept_hub.errors import UnknownModelError
from adept_hub.io.schema import to_dict
from adept_hub.spec import Preprocessing
from tests.cli.test_commands import mistake, run
from tests.cli.test_reported_fields import table
from tests.hub.loopback import Hub
from tests.training.rivals import RIVAL, write_rival


def info(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[dict[str, str], dict[str, Any], list[str]]:
    """The table, the JSON, and the lines below the table."""
    text = run(capsys, "info", *words)[1]
    return table(text), json.loads(run(capsys, "info", *words, "--json")[1]), text.split("\n\n")[1].splitlines()


def test_of_a_fine_tuned_detector(capsys: pytest.CaptureFixture[str], make_checkpoint, tmp_path: Path) -> None:
    folder, _, _ = make_checkpoint(folder=tmp_path / "tuned" / "best")
    written = {"format_version": 2, "classes": ["cat", "dog"], "recipe": {"detector": "mask_rcnn"}}
    (folder / "detector.json").write_text(json.dumps(written))
    rows, content, following = info(capsys, folder.parent)
    assert (rows["detector"], rows["classes"]) == ("mask_rcnn", "cat, dog")
    assert content["classes"] == ["cat", "dog"]
    assert following == [f"adept_hub.load_detector({str(folder.parent)!r})"]
    (folder / "detector.json").write_text(json.dumps(written | {"classes": "cat"}))
    assert "does not list the classes" in mistake(capsys, "info", folder)


def test_of_a_folder_and_of_a_run(capsys: pytest.CaptureFixture[str], make_checkpoint, tmp_path: Path) -> None:
    folder, config, _ = make_checkpoint(folder=tmp_path / "my run" / "export")
    for source in (folder, folder.parent, f"local-dir:{folder}"):
        rows, content, following = info(capsys, source)
        assert rows["name"] == config.name
        assert rows["parts"] == "backbone, fpn, rpn, head"
        assert rows["sha256"] == config.sha256
        assert (rows["labels"], rows["license"]) == ("not used", config.license)
        assert rows["weights"] == f"{config.size:,} bytes, float32, in {folder}"
        assert {key: content[key] for key in to_dict(config)} == to_dict(config)
        assert (content["source"], content["folder"]) == (str(source), str(folder))
        assert following[0] == f"adept_hub.load_pretrained({str(source)!r}, num_classes=...)"
        assert adept_hub.load_pretrained(str(source), num_classes=3).load_report.loaded == 200
        words = shlex.split(following[1])
        assert main([*words[1:-1], str(tmp_path / f"out{len(str(source))}")]) == 0
        capsys.readouterr()


def test_of_a_detector_of_another_architecture(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Nothing that is told of our own architecture is told of it."""
    rows, _, _ = info(capsys, write_rival(tmp_path / "rival").folder)
    assert rows["backbone"] == "ResNet-18, torchvision's layout, stride in the 3x3, frozen batch norms"
    assert rows["FPN"] == "P2-P5, 24 channels, no norms"
    assert rows["RPN"] == (
        "two 3x3 convolutions with ReLU, 3 anchors per location, anchors 16, 32, 64, 128, 256 px, h/w 0.5, 1, 2"
    )
    assert rows["RoI head"] == "two fc layers of 72"
    assert rows["labels"] == "used"
    detectron2 = dict(_architecture(replace(RIVAL, depth=50, stride_in_1x1=True), Preprocessing()))
    assert detectron2["backbone"] == "ResNet-50, torchvision's layout, stride in the 1x1, frozen batch norms"


def test_of_a_backbone_of_another_project(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "resnet18-mine.pth"
    torch.save(resnet18().state_dict(), file)
    rows, content, following = info(capsys, f"torchvision:{file}")
    assert (rows["parts"], rows["backbone"].partition(",")[0]) == ("backbone", "ResNet-18")
    assert not {"FPN", "RPN", "RoI head"} & rows.keys(), "parts that it does not have"
    assert content["provenance"]["starts"][0]["name"] == "resnet18-mine.pth"
    call = ast.parse(following[0].replace("...", "3"), mode="eval").body
    assert isinstance(call, ast.Call)
    options = {keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords if keyword.arg}
    assert adept_hub.load_pretrained(ast.literal_eval(call.args[0]), **options).load_report["backbone"].loaded
    assert main([*shlex.split(following[1])[1:-1], str(tmp_path / "out")]) == 0


def test_of_a_repository_without_its_weights(
    capsys: pytest.CaptureFixture[str], hub: Hub, published: tuple[str, Any, Path], tmp_path: Path
) -> None:
    commit, config, _ = published
    rows, content, following = info(capsys, "hf-hub:org/small", "--revision", commit, "--cache-dir", tmp_path / "cache")
    assert (rows["sha256"], content["sha256"]) == (config.sha256, config.sha256)
    assert not [line for line in hub.requests("GET") if "safetensors" in str(line)]
    assert commit in following[0]
    assert f"--revision {commit}" in following[1]


def test_names_in_python_refuse_other_sources_with_what_takes_them(make_checkpoint) -> None:
    folder, _, _ = make_checkpoint()
    for call, remedy in ((adept_hub.model_info, "adept info "), (adept_hub.create_model, "pretrained=True")):
        for source in (str(folder), "hf-hub:org/name", "moco:ckpt.pth"):
            with pytest.raises(UnknownModelError, match="only registered names") as caught:
                call(source)
            assert remedy in str(caught.value)
            assert source in str(caught.value)


def test_a_folder_that_is_no_checkpoint(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert "is not a checkpoint folder" in mistake(capsys, "info", tmp_path)
