"""Pseudo-labels are a data set that fine-tuning reads without a problem, and that records its model."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools import mask as mask_api

from adept_hub.checkpoint.folder import read_config
from adept_hub.cli.main import main
from adept_hub.detectors.detections import Detections
from adept_hub.detectors.predictor import Pixels, Predictor
from adept_hub.detectors.torch_predictor import TorchPredictor
from adept_hub.errors import ImagesError, SourceError
from adept_training.finetuning.detector import DetectorConfig, Trained, build_detector, save_detector
from adept_training.finetuning.recipe import load_finetune_recipe
from adept_training.images import open_images
from adept_training.images.sources import ShardImages
from adept_training.labels.check import check_data
from adept_training.labels.datasets import open_data
from adept_training.predicting.pseudo import PseudoLabels
from adept_training.predicting.write import PredictOptions, predict_images
from tests.training.conftest import TINY

#: A sound box up to the edges, one of half a pixel, one 60 times as long as high, and another sound one.
BOXES = [[10.004, 2.0, 50.0, 30.0], [3.0, 3.0, 3.5, 20.0], [0.0, 5.0, 48.0, 5.8], [2.0, 3.0, 12.5, 23.25]]


class Finder(Predictor):
    """Finds the four boxes in every image whose first pixel is bright, and nothing in others."""

    masked = False

    def _detect(self, batch: Sequence[Pixels], score: float, most: int | None) -> Iterator[Detections]:
        for pixels_HW3 in batch:
            count = 4 if pixels_HW3[0, 0, 0] > 99 else 0
            masks_4HW = np.zeros((count, *pixels_HW3.shape[:2]), np.uint8)
            masks_4HW[:3, 5:9, 10:14] = 1  # the fourth has no pixel
            masks = tuple(mask_api.encode(np.asfortranarray(one)) for one in masks_4HW) if self.masked else None
            yield Detections(
                np.array(BOXES)[:count].reshape(-1, 4), np.linspace(0.9, 0.75, count), np.array([2, 1, 1, 1])[:count],
                masks,
            )  # fmt: skip


def _images(folder: Path) -> Path:
    for name, value in (("a/one.png", 200), ("b/one.png", 200), ("b/empty.png", 3)):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (50, 30), (value, 90, 90)).save(folder / name)
    return folder


def _finder(masked: bool = False) -> Finder:
    finder = Finder("model", ("spot", "other"))
    object.__setattr__(finder, "masked", masked)
    return finder


def _write(where: Path, out: Path, masked: bool = False) -> PseudoLabels:
    source, finder = open_images(where), _finder(masked)
    pseudo = PseudoLabels.of([finder], source, 0.7, "adept predict model ...")
    predict_images([finder], source, out, PredictOptions(0.7, formats=(), pseudo=pseudo), "title")
    return pseudo


@pytest.mark.parametrize("masked", [False, True])
def test_labels_are_read_without_a_problem_and_degenerate_ones_are_left_out(tmp_path: Path, masked: bool) -> None:
    pseudo = _write(_images(tmp_path / "in"), tmp_path / "out", masked)
    assert pseudo.folder == tmp_path / "in"
    word = f"coco:{tmp_path / 'out' / 'pseudo.json'}:{pseudo.folder}"
    data, problems = check_data(word)
    assert not [problem for problem in problems if problem.severity == "error"]
    assert open_data(word).classes == ("spot", "other")
    found = {image.file_name: (image.boxes_M4.tolist(), image.labels_M.tolist()) for image in data.train.images}
    rows = [BOXES[0]] if masked else [BOXES[0], BOXES[3]]
    for name in ("a/one.png", "b/one.png"):
        np.testing.assert_allclose(found[name][0], rows, atol=1e-9)
        assert found[name][1] == [2, 1][: len(rows)]
    assert found["b/empty.png"] == ([], [])
    assert data.train.has_masks == masked
    content = json.loads((tmp_path / "out" / "pseudo.json").read_text())
    assert content["info"]["pseudo_labels"] == {
        "source": "model", "weights_sha256": "", "license": "", "score": 0.7, "command": "adept predict model ..."
    }  # fmt: skip
    assert [row["score"] for row in content["annotations"]][:1] == [0.9]


def test_paths_of_a_list_are_relative_to_the_folder_that_contains_them(tmp_path: Path) -> None:
    _images(tmp_path / "in")
    (tmp_path / "lists").mkdir()
    listed = tmp_path / "lists" / "some.txt"
    listed.write_text(f"../in/b/one.png\n{tmp_path / 'in' / 'b' / 'empty.png'}\n")
    pseudo = _write(listed, tmp_path / "out")
    assert (pseudo.folder, sorted(pseudo.names.values())) == (tmp_path / "in" / "b", ["empty.png", "one.png"])
    assert len(open_data(f"coco:{tmp_path / 'out' / 'pseudo.json'}:{pseudo.folder}").train) == 2


def test_what_cannot_label_is_refused(tmp_path: Path) -> None:
    source = open_images(_images(tmp_path))
    with pytest.raises(SourceError, match=r"no classes yet.*\n.*adept finetune x --data DATA"):
        PseudoLabels.of([TorchPredictor("x", ("region",), torch.nn.Identity(), regions=True)], source, 0.5)
    with pytest.raises(SourceError, match="of one detector"):
        PseudoLabels.of([_finder(), _finder()], source, 0.5)
    with pytest.raises(ImagesError, match="need image files"):
        PseudoLabels.of([_finder()], ShardImages(tmp_path, {}), 0.5)


def test_the_command_records_the_weights_and_prints_the_second_round(
    tmp_path: Path, make_checkpoint: Any, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    folder, start, _ = make_checkpoint()
    recipe = load_finetune_recipe(None, [*TINY, "detector.detections=3"]).detector.with_anchors(start.spec)
    config = DetectorConfig(str(folder), ("spot", "other"), recipe, 1, {})
    save_detector(
        tmp_path / "run" / "best", build_detector(str(folder), 2, recipe, 0), config, start.spec, start, Trained(1)
    )
    words = ["predict", str(tmp_path / "run"), str(_images(tmp_path / "in")), "--out", str(tmp_path / "out")]
    assert main([*words, "--pseudo", "--score", "0.01", "--format", "csv", "--device", "cpu"]) == 0
    printed = capsys.readouterr().out
    content = json.loads((tmp_path / "out" / "pseudo.json").read_text())
    own = read_config(tmp_path / "run" / "best")
    row = content["info"]["pseudo_labels"]
    assert (row["source"], row["weights_sha256"], row["license"]) == (str(tmp_path / "run"), own.sha256, own.license)
    assert row["score"] == 0.01
    word = f"coco:{tmp_path / 'out' / 'pseudo.json'}:{tmp_path / 'in'}"
    assert f"  adept finetune {tmp_path / 'run'} --data {word} --out runs/second\n" in printed
    assert len(content["annotations"]) > 0
    assert min(row["score"] for row in content["annotations"]) >= 0.01
    open_data([word])
    assert "pseudo-labels" not in caplog.text
    (tmp_path / "val").mkdir()
    (tmp_path / "val" / "x.png").write_bytes(b"")
    check_data([word, word])
    assert "metrics on them measure agreement" in caplog.text


@pytest.mark.parametrize(("more", "score"), [([], 0.3), (["--pseudo"], 0.7), (["--pseudo", "--score", "0.2"], 0.2)])
def test_the_score_of_labels_is_higher_by_default(
    more: list[str], score: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from adept_hub.detectors import load
    from adept_training.predicting import write

    asked: list[PredictOptions] = []

    def predict(predictors: Any, source: Any, out: Path, options: PredictOptions, *_: Any) -> write.Predicted:
        asked.append(options)
        return write.Predicted(out, 1, [0])

    monkeypatch.setattr(load, "load_detector", lambda *_, **__: _finder())
    monkeypatch.setattr(write, "predict_images", predict)
    assert main(["predict", "adept_joint", str(_images(tmp_path / "in")), "--out", str(tmp_path / "out"), *more]) == 0
    assert asked[0].score == score
    assert (asked[0].pseudo is not None) == bool(more)
    assert asked[0].pseudo is None or asked[0].pseudo.score == score
