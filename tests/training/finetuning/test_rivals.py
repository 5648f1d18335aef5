"""Fine-tuning a detector of another architecture: it stays what it is, and is loaded, exported and deployed as that."""

from __future__ import annotations

import runpy
from pathlib import Path

import torch

import adept_hub
from adept_hub.checkpoint.folder import read_config, read_tensors
from adept_hub.cli.main import main
from adept_hub.detectors.folder import read_detector
from tests.training.conftest import TINY
from tests.training.rivals import RIVAL, write_rival


def test_a_rival_is_fine_tuned_and_deployed_as_what_it_is(voc: Path, tmp_path: Path, capsys) -> None:
    rival, run = write_rival(tmp_path / "rival"), tmp_path / "run"
    settings = ["--set", "detector.score_threshold=0.0"]
    settings += [word for setting in TINY if ".anchors=" not in setting for word in ("--set", setting)]
    assert main(["finetune", str(rival.folder), "--data", f"voc:{voc}", "--out", str(run), *settings]) == 0
    assert "adept deploy" in (printed := capsys.readouterr().out)
    assert "--to torchvision" in printed
    config = read_config(run / "last")
    assert config.spec.anchors.is_same(RIVAL.anchors)
    assert (config.spec.head, config.spec.rpn_convs, config.spec.pooling) == ("2fc", 2, "unaligned")
    assert config.provenance.labeled
    tensors, before = read_tensors(run / "last", config), rival.parts.state_dict()
    frozen = [key for key in before if ".bn" in key and key.startswith("backbone.")]
    assert all(torch.equal(tensors[key], before[key]) for key in frozen)
    assert not torch.equal(tensors["head.fc7.weight"], before["head.fc7.weight"])

    model, _ = read_detector(run / "last")
    image = torch.rand(3, 64, 96, generator=torch.Generator().manual_seed(0))
    assert main(["deploy", str(run / "last"), "--to", "torchvision", "--out", str(tmp_path / "tv")]) == 0
    deployed = runpy.run_path(str(tmp_path / "tv" / "build_model.py"))["build_detector"]()
    with torch.no_grad():
        (expected,), (found,) = model([image]), deployed([image])
    assert len(expected["boxes"]) > 0
    for key in expected:
        torch.testing.assert_close(found[key], expected[key])
    capsys.readouterr()
    assert main(["deploy", str(run / "last"), "--to", "mmdet", "--out", str(tmp_path / "mm")]) == 1
    assert "Deploy the detector with --to torchvision or --to onnx" in capsys.readouterr().err

    saved = adept_hub.save_pretrained(
        adept_hub.load_pretrained(run / "last", num_classes=3), tmp_path / "saved", name="torchvision_r18.again"
    )
    assert saved.spec == config.spec
