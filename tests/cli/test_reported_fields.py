"""What the commands print of a checkpoint, field by field: the house's, which has no default anywhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from adept_hub.cards.published import registry_entry
from adept_hub.checkpoint.folder import replace_provenance
from adept_hub.cli.main import main
from adept_hub.io.schema import to_dict
from adept_hub.models.contract import BOX_REGRESSOR
from adept_hub.spec import CheckpointConfig, Metric
from tests.house import LICENSE, NAME, PIXELS, SPEC, House, write_house
from tests.registry.registries import write

METRIC = Metric("AP50", 41.5, "VOC2007 test", "reproduced", "adept evaluate x", "± 0.3")
ARCHITECTURE = NAME.partition(".")[0]


@pytest.fixture
def registered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[House, CheckpointConfig]:
    """The house as a registered checkpoint next to its registry, with an alias."""
    house = write_house(tmp_path / "team" / "house")
    config = replace_provenance(house.folder, metrics=(METRIC,))
    entry = {**registry_entry(house.folder, bundled="house"), "summary": "of a house"}
    own = {"method": "adept_joint", "spec": to_dict(SPEC), "summary": "small"}
    data = {
        "format_version": 2, "architectures": {ARCHITECTURE: own}, "checkpoints": {NAME: entry},
        "defaults": {"house": NAME},
    }  # fmt: skip
    monkeypatch.setenv("ADEPT_REGISTRY", str(write(tmp_path / "team" / "registry.json", data)))
    return house, config


def printed(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    assert main([str(word) for word in words]) == 0
    return capsys.readouterr().out


def table(text: str) -> dict[str, str]:
    """The first column of a printed table and what follows it."""
    rows = [line.split("  ", 1) for line in text.splitlines() if "  " in line]
    return {first.strip(): rest.strip() for first, rest in rows}


def test_info(registered: tuple[House, CheckpointConfig], capsys: pytest.CaptureFixture[str]) -> None:
    _, config = registered
    found: dict[str, Any] = json.loads(printed(capsys, "info", "house", "--json"))
    assert found.pop("config_sha256")
    assert found == {
        "name": NAME, "architecture": ARCHITECTURE, "tag": "house", "pretrained": True, "method": "adept_joint",
        "spec": to_dict(SPEC), "summary": "of a house", "location": {"bundled": "house", "repo": "", "revision": ""},
        "sha256": config.sha256, "size": config.size, "license": LICENSE, "data": "photographs of a house",
        "images": 321, "epochs": 7.5, "metrics": [to_dict(METRIC)], "aliases": ["house"],
        "preprocessing": to_dict(PIXELS),
    }  # fmt: skip
    text = printed(capsys, "info", NAME)
    assert table(text) == {
        "field": "value", "name": NAME, "summary": "of a house", "method": "adept_joint",
        "backbone": "ResNet-18, torchvision's layout, stride in the 3x3, batch norms",
        "FPN": "P2-P5, 24 channels, batch norms after every lateral and output convolution",
        "RPN": "one 3x3 convolution with ReLU, 2 anchors per location, anchors 11, 23, 47, 90 px, h/w 0.4, 1.7",
        "RoI head": "four 3x3 convolutions of 40 with batch norms, one fc of 72",
        "pixels": "RGB in [0, 1], mean 0.1, 0.2, 0.3, std 0.4, 0.5, 0.6",
        "weights": f"{config.size:,} bytes, bundled (house)", "sha256": config.sha256,
        "trained on": "photographs of a house: 321 images, 7.5 epochs", "license": LICENSE, "aliases": "house",
        "AP50 (VOC2007 test)": "41.5 ± 0.3 [reproduced]",
    }  # fmt: skip
    assert f'adept_hub.load_pretrained("{NAME}", num_classes=...)' in text
    bare = table(printed(capsys, "info", ARCHITECTURE))
    assert (bare["summary"], bare["weights"]) == ("small", "not published")


def test_list(registered: tuple[House, CheckpointConfig], capsys: pytest.CaptureFixture[str]) -> None:
    _, config = registered
    pattern = f"{ARCHITECTURE}*"
    row = {
        "name": NAME, "method": "adept_joint", "pretrained": True, "size": config.size, "sha256": config.sha256,
        "images": 321, "epochs": 7.5, "license": LICENSE, "data": "photographs of a house", "aliases": ["house"],
    }  # fmt: skip
    assert json.loads(printed(capsys, "list", pattern, "--json")) == [row]
    both = json.loads(printed(capsys, "list", pattern, "--all", "--json"))
    assert [one["name"] for one in both] == [NAME, ARCHITECTURE]
    assert (both[1]["pretrained"], both[1]["size"]) == (False, 0)
    assert [line.split() for line in printed(capsys, "list", pattern, "--all").splitlines()] == [
        ["name", "method", "MB", "trained", "on", "license", "of", "the", "weights", "aliases"],
        [NAME, "adept_joint", f"{config.size / 1e6:.1f}", "321", "images,", "7.5", "epochs", LICENSE, "house"],
        [ARCHITECTURE, "adept_joint", "-", "no", "weights"],
    ]


def test_verify_pull_and_card(registered: tuple[House, CheckpointConfig], capsys: pytest.CaptureFixture[str]) -> None:
    house, config = registered
    size = f"{config.size:,} bytes"
    assert json.loads(printed(capsys, "verify", "house", "--json")) == [
        {"source": "house", "state": "OK", "detail": f"{config.sha256[:16]}..., {size}"}
    ]
    assert json.loads(printed(capsys, "pull", "house", "--json")) == {
        "name": NAME, "folder": str(house.folder), "sha256": config.sha256,
    }  # fmt: skip
    assert printed(capsys, "pull", "house").splitlines() == [
        f"{NAME}: {len(house.parts.state_dict()) + len(BOX_REGRESSOR)} tensors, {size}, digest verified",
        str(house.folder),
    ]  # fmt: skip
    card = printed(capsys, "card", "house")
    for words in ("| data | photographs of a house, 321 images, no labels |", "| epochs | 7.5 |",
                  "| hardware | an abacus |", f"| license of the weights | {LICENSE} |",
                  "the file contains the online network", "| proposals | algorithm by hand |",
                  "| AP50 | 41.5 | ± 0.3 | VOC2007 test | reproduced | `adept evaluate x` |",
                  "| boxes to levels in pre-training | sqrt(wh) up to 36, 72, 144, 170 px on P2-P5 |",
                  "| anchors in pre-training | 11, 23, 47, 90 px on P2-P5, h/w 0.4, 1.7 |"):  # fmt: skip
        assert words in card, words
