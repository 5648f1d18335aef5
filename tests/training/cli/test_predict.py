"""``adept predict``, from images to files, with a detector of random weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from adept_hub.cli.main import main
from adept_training.predicting import write
from tests.training.support import write_photographs


@pytest.fixture
def words(tmp_path: Path, make_checkpoint: Any) -> list[str]:
    write_photographs(tmp_path / "images", 3)
    return ["predict", str(make_checkpoint()[0]), str(tmp_path / "images"), "--out", str(tmp_path / "out")]


def test_regions_of_a_source(words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*words, "--most", "4", "--format", "csv", "coco", "--device", "cpu"]) == 0
    assert capsys.readouterr().out == (
        f"{words[1]}: 12 detections in 3 images\nPage: {tmp_path / 'out' / 'index.html'}\n"
    )
    assert len((tmp_path / "out" / "detections.csv").read_text().splitlines()) == 13
    assert not (tmp_path / "out" / "pictures").exists()
    assert main(words) == 1
    assert "is not an empty folder" in capsys.readouterr().err


def test_two_sources_and_json(words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "images" / "broken.png").write_bytes(b"")
    source, rest = words[1], words[2:]
    assert main(["predict", source, f"local-dir:{source}", *rest, "--most", "2", "--json", "--format", "yolo"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["detections"] == {source: 6, f"local-dir:{source}": 6}
    assert (report["images"], list(report["unreadable"]), report["interrupted"]) == (3, ["broken.png"], False)
    assert {path.name for path in (tmp_path / "out").iterdir() if path.is_dir()} == {"1-checkpoint", "2-checkpoint"}


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--score", "1.5"], "--score is 1.5; a score is between 0 and 1"),
        (["--most", "0"], "--most is 0; it must be at least 1"),
        (["--batch-size", "-2"], "--batch-size is -2"),
    ],
)
def test_wrong_values_are_refused_before_anything_is_read(
    words: list[str], more: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words, *more]) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_an_interrupt_is_told(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(write, "_write_one", interrupt)
    assert main(words) == 130
    assert "Interrupted: what was finished is written." in capsys.readouterr().out


def test_a_high_score_says_what_to_try(
    words: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adept_hub.detectors.torch_predictor.propose", lambda model, images: [_none() for _ in images])
    assert main([*words, "--score", "0.6"]) == 0
    assert "Nothing has a score of 0.6. Try a lower one: --score 0.2" in capsys.readouterr().out


def _none() -> Any:
    import torch

    from adept_hub.models.propose import Proposals

    return Proposals(torch.zeros(0, 4), torch.zeros(0))
