"""Python in the pages, run as it stands: small stand-ins have the names of what a reader has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import adept_hub
from adept_hub.detectors.folder import DetectorConfig
from adept_hub.detectors.recipe import DetectorRecipe
from adept_training.finetuning.detector import build_detector, save_detector
from adept_training.proposals import run_proposals
from tests.house import photograph
from tests.test_site import DOCS, ROOT, blocks


def run(page: Path, number: int = 0, without: str = "", **names: Any) -> dict[str, Any]:
    """Run a block of a page; ``without`` is a line of it that needs what the tests do not have."""
    block = blocks(page)[number]
    assert without in block
    exec(compile(block.replace(without, ""), page.name, "exec"), names)
    return names


@pytest.fixture(autouse=True)
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reader's images, in the working directory."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos/dog").mkdir(parents=True)
    for seed, name in enumerate(("a.jpg", "b.jpg", "photos/dog/1.jpg")):
        Image.fromarray(photograph(120, 160, seed).permute(1, 2, 0).numpy()).save(name)


def test_the_readme(capsys: pytest.CaptureFixture[str]) -> None:
    mine = adept_hub.create_model("detection", num_classes=5)
    loaded = run(ROOT / "README.md", my_model=mine)["model"]
    assert "cc-by-4.0" in capsys.readouterr().out
    name = "backbone.body.conv1.weight"
    assert torch.equal(mine.state_dict()[name], loaded.state_dict()[name])
    assert {path.name for path in Path("out_d2").iterdir()} >= {"model.pth", "config.yaml"}


def test_signatures() -> None:
    assert run(DOCS / "api.md")["model"].roi_heads.box_predictor.cls_score.out_features == 21


def test_predict(make_checkpoint: Any) -> None:
    folder, config, _ = make_checkpoint()
    recipe = DetectorRecipe(test_side=96, max_side=128, test_proposals=20, score_threshold=0.01)
    model = build_detector(str(folder), 2, recipe, 0)
    save_detector(Path("runs/ft/best"), model, DetectorConfig("x", ("cat", "dog"), recipe, 1, {}), config.spec, None)
    results = run(DOCS / "predict.md", without="results[0].to_supervision()")["results"]
    assert [one.size for one in results] == [(120, 160)] * 2
    assert Image.open("a-boxes.png").size[0] >= 160


def test_proposals() -> None:
    run_proposals("photos", "boxes", workers=1)
    image = np.asarray(Image.open("photos/dog/1.jpg"))
    names = run(DOCS / "proposals.md", image=image, width=160, height=120)
    assert names["boxes"].shape[1] == 4
    assert len(names["table"].boxes("dog/1.jpg")) > 0
