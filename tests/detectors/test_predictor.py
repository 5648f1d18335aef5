"""Predictions are the detector's own: another threshold, number or batch changes only what it says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.ops import batched_nms

from adept_hub.detectors.folder import DetectorConfig
from adept_hub.detectors.load import load_detector
from adept_hub.detectors.predictor import Predictor
from adept_hub.detectors.recipe import DetectorRecipe
from adept_hub.detectors.regions import at_pretraining_scale
from adept_hub.errors import ImageDecodeError, OptionValueError, SourceError
from adept_hub.models.propose import propose
from adept_training.finetuning.detector import build_detector, save_detector

RECIPE = DetectorRecipe(
    test_side=96, max_side=400, test_proposals=40, score_threshold=0.25, detections=7,
    anchors=(16.0, 24.0, 32.0, 48.0, 64.0),
)  # fmt: skip


CLASSES = ("a", "b", "c")


@pytest.fixture
def run(tmp_path: Path, make_checkpoint: Any) -> Path:
    """The folder of a detector of three classes whose scores are spread."""
    folder, config, _ = make_checkpoint()
    model = build_detector(str(folder), 3, RECIPE, 0)
    torch.manual_seed(5)
    torch.nn.init.normal_(model.roi_heads.box_predictor.cls_score.weight, std=0.5)
    save_detector(tmp_path / "run" / "best", model, DetectorConfig("x", CLASSES, RECIPE, 1, {}), config.spec, None)
    return tmp_path / "run"


def pixels(seed: int, height: int = 50, width: int = 75) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, (height, width, 3), np.uint8)


def _torchvision(predictor: Predictor, image_HW3: np.ndarray) -> dict[str, torch.Tensor]:
    with torch.inference_mode():
        return predictor.model([torch.from_numpy(image_HW3.transpose(2, 0, 1) / np.float32(255))])[0]


def test_scores_and_numbers_are_those_that_were_asked_for(run: Path) -> None:
    predictor, image = load_detector(run, device="cpu"), pixels(0)
    heads = predictor.model.roi_heads
    assert (predictor.classes, heads.score_thresh, heads.detections_per_img) == (("a", "b", "c"), 0.25, 7)
    heads.score_thresh, heads.detections_per_img = 0.0, 10_000
    everything = _torchvision(predictor, image)
    heads.score_thresh, heads.detections_per_img = 0.25, 7
    scores = everything["scores"].numpy()
    for score, most in ((0.0, None), (0.3, None), (0.1, 3), (0.05, 30), (0.999999, None)):
        (one,) = predictor.predict([image], score=score, most=most)
        expected = scores[scores > score][: most or 7]
        np.testing.assert_allclose(one.scores_D, expected, atol=1e-6)
        np.testing.assert_allclose(one.boxes_D4, everything["boxes"].numpy()[: len(expected)], atol=1e-3)
        assert one.labels_D.tolist() == everything["labels"].tolist()[: len(expected)]
    assert (heads.score_thresh, heads.detections_per_img) == (0.25, 7), "its own are kept"
    kept = batched_nms(everything["boxes"], everything["scores"], everything["labels"], heads.nms_thresh)
    assert len(kept) == len(scores)


def test_paths_arrays_and_pictures_are_the_same_image(run: Path, tmp_path: Path) -> None:
    predictor, image = load_detector(run, device="cpu"), pixels(1)
    Image.fromarray(image).save(tmp_path / "a.png")
    given = [str(tmp_path / "a.png"), tmp_path / "a.png", image, Image.fromarray(image).convert("RGBA")]
    results = predictor.predict(given, score=0.1, batch_size=3)
    assert [one.image for one in results] == [given[0], given[0], "image 3", "image 4"]
    for one in results:
        assert one.size == (50, 75)
        np.testing.assert_array_equal(one.pixels_HW3, image)
        np.testing.assert_allclose(one.boxes_D4, results[0].boxes_D4, atol=0.02)
    assert results[0].class_names == [("a", "b", "c")[label - 1] for label in results[0].labels_D]
    with pytest.raises(ImageDecodeError, match=r"nothing\.png"):
        predictor.predict([tmp_path / "nothing.png"])
    for wrong in (image[:, :, 0], image / 255, image[:0]):
        with pytest.raises(OptionValueError, match="image 1 is an array"):
            predictor.predict([wrong])


def test_batches_leave_nothing_out(run: Path) -> None:
    predictor, images = load_detector(run, device="cpu"), [pixels(k, 40 + k, 60) for k in range(5)]
    alone = predictor.predict(images, score=0.2)
    together = predictor.predict(images, score=0.2, batch_size=2)
    assert [one.image for one in together] == [f"image {k}" for k in range(1, 6)]
    assert [one.size for one in together] == [(40 + k, 60) for k in range(5)]
    assert sum(map(len, together)) == pytest.approx(sum(map(len, alone)), abs=3)


def test_a_source_shows_the_best_regions_of_its_rpn(make_checkpoint: Any) -> None:
    folder, config, _ = make_checkpoint()
    predictor, image = load_detector(str(folder), device="cpu"), pixels(2)
    assert predictor.regions
    (one,) = predictor.predict([image], score=0.99, most=5)
    model = at_pretraining_scale(str(folder), config)
    (expected,) = propose(model, [torch.from_numpy(image.transpose(2, 0, 1) / np.float32(255))])
    np.testing.assert_allclose(one.boxes_D4, expected.boxes_K4[:5], atol=1e-3)
    np.testing.assert_allclose(one.scores_D, expected.scores_K[:5], atol=1e-5)
    assert set(one.class_names) == {"region"}
    assert len(predictor.predict([image])[0]) == 12


def test_a_source_without_an_rpn_is_refused(make_checkpoint: Any) -> None:
    folder, _, _ = make_checkpoint(parts=("backbone", "fpn", "head"))
    with pytest.raises(SourceError, match="has no rpn, so it finds no regions yet"):
        load_detector(str(folder))
