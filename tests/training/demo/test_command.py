"""``adept demo`` on a checkpoint folder: every promise of its output is kept on disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import adept_hub
import adept_training.demo.command as module
from adept_hub.cli.main import main
from adept_hub.words import pulse
from adept_training.demo.command import PHOTOGRAPHS, picture_names


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    folder = tmp_path / "photographs"
    folder.mkdir()
    Image.open(PHOTOGRAPHS / "coffee.jpg").resize((150, 100)).save(folder / "cup.jpg")
    return folder


def test_pictures_exports_and_next_commands(make_checkpoint, photographs: Path, tmp_path: Path, capsys) -> None:
    source, _, _ = make_checkpoint()
    out = tmp_path / "out"
    words = ["demo", "--source", str(source), "--images", str(photographs), "--out", str(out)]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert said.count("read back equal bit for bit") == 3
    sheet = Image.open(out / "cup.png").convert("RGB")
    side = (sheet.width - 4 * 36) // 3  # of a panel, in margins of 36 pixels
    before, after, _ = (sheet.crop((x, 108, x + side, 868)) for x in (36 + i * (side + 36) for i in range(3)))
    assert side == 760 * 150 // 100, "three panels of 760 pixels' height"
    assert before.tobytes() != after.tobytes(), "random values propose other regions"
    assert f"adept finetune {source} --data DATA --out runs/tuned" in said
    for framework, config in (("torchvision", "build_model.py"), ("detectron2", "config.yaml"), ("mmdet", "config.py")):
        assert (out / framework / config).is_file()
        assert str(out / framework) in said
    assert "adept pretrain --images" in said.splitlines()[-1]
    assert main(words) == 0, "a previous demo's folder is replaced"


def test_what_takes_long_is_described(
    make_checkpoint, photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For the lines that are printed in silence: without them it is "working" for a minute."""
    source, _, _ = make_checkpoint()
    Image.open(photographs / "cup.jpg").save(photographs / "mug.jpg")
    shown: list[str] = []

    def describing(real: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *words, **options: shown.append(pulse._doing[-1]()) or real(*words, **options)

    for where, name in (
        (adept_hub, "load_pretrained"), (module, "random_start"), (module, "_draw"), (adept_hub, "export"),
    ):  # fmt: skip
        monkeypatch.setattr(where, name, describing(getattr(where, name)))
    assert main(["demo", "--source", str(source), "--images", str(photographs), "--out", str(tmp_path / "out")]) == 0
    assert shown == [
        f"1 of 3: loading {source}", "2 of 3: preparing the RPN before and after pre-training",
        "2 of 3: drawing: 1/2 pictures", "2 of 3: drawing: 2/2 pictures",
        *(f"3 of 3: exporting: {n}/3 frameworks" for n in (1, 2, 3)),
    ]  # fmt: skip
    assert pulse._doing == []


def test_a_folder_that_is_no_demos_is_left_alone(tmp_path: Path, capsys) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    assert main(["demo", "--out", str(tmp_path)]) == 1
    assert "is not a demo's folder" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_the_bundled_photographs_are_small_and_say_whose_they_are() -> None:
    pictures = sorted(PHOTOGRAPHS.glob("*.jpg"))
    assert len(pictures) == 4
    assert sum(path.stat().st_size for path in pictures) < 1_000_000
    told = (PHOTOGRAPHS / "README.md").read_text()
    assert all(path.name in told for path in pictures)


def test_no_picture_overwrites_another() -> None:
    keys = ["cam1/0.png", "cam2/0.png", "/else/0-2.jpg", "../0.bmp", "b.c.jpg"]
    assert list(picture_names(keys).values()) == ["0", "0-2", "0-2-2", "0-3", "b.c"]
