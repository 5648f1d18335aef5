"""Pseudo-classes of a run's boxes: of the best ones only, the same with workers, from the cache and from a sample."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from adept_hub.errors import RecipeError
from adept_training.data.cache import write_cache
from adept_training.images import open_images
from adept_training.method.pseudo_classes import labels as module
from adept_training.method.pseudo_classes.clusters import Clusters
from adept_training.method.pseudo_classes.labels import label_boxes
from adept_training.pretraining.setup import make_samples
from tests.training.support import tiny_detection

SIZE = (96, 80)
RED, BLUE, WHOLE, LATE = [4, 6, 36, 30], [50, 40, 90, 76], [0, 0, 96, 80], [40, 4, 60, 20]


class _Boxes:
    """A red, a blue and a whole box in every list, at ranks that differ, and one beyond the best four."""

    def boxes(self, key: str) -> np.ndarray:
        listed = [[RED, BLUE, WHOLE, RED], [WHOLE, BLUE, RED, BLUE]][int(Path(key).stem) % 2]
        return np.array([*listed, LATE], np.float32)


def _write(folder: Path, count: int = 6):
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(count):
        pixels = rng.integers(100, 120, (SIZE[1], SIZE[0], 3), dtype=np.uint8)
        stripes = np.arange(96) // 4 % 2 * 60
        for (x1, y1, x2, y2), color in ((RED, (160, 10, 10)), (BLUE, (10, 10, 160))):
            pattern = stripes[None, x1:x2, None] if color[0] > color[2] else stripes[y1:y2, None, None]
            pixels[y1:y2, x1:x2] = np.array(color) + pattern + rng.integers(0, 9, (y2 - y1, x2 - x1, 3))
        Image.fromarray(pixels).save(folder / f"{i}.png")
    return open_images(folder)


def _samples(source, cache=None, *settings: str):
    recipe = tiny_detection("method.detection.pseudo_classes=2", *settings)
    return make_samples(recipe, source, _Boxes(), source.keys(), cache)


def test_boxes_that_look_alike_are_of_one_class(tmp_path: Path) -> None:
    labels, counts = label_boxes(_samples(_write(tmp_path / "photographs")), 2, workers=0)
    assert counts == [9, 9]
    assert (labels.shape, labels.dtype) == ((6, 4), np.uint8)
    red, blue = labels[0, 0], labels[0, 1]
    assert red != blue
    assert (labels[::2] == [red, blue, 0, red]).all(), "whole images are not labeled"
    assert (labels[1::2] == [0, blue, red, blue]).all()


def test_workers_cache_and_sampling_do_not_change_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = _write(tmp_path / "photographs")
    labels = label_boxes(_samples(source), 2, workers=0)[0]
    assert (label_boxes(_samples(source), 2, workers=1)[0] == labels).all()
    cache = write_cache(tmp_path / "cache", source, source.keys(), 80, 0)
    assert (label_boxes(_samples(source, cache), 2, workers=0)[0] == labels).all()
    monkeypatch.setattr(module, "_FITTED", 8)  # the boxes of two images of six
    again = label_boxes(_samples(source), 2, workers=0)[0]
    real = [[0, 1, 3], [1, 2, 3]] * 3
    pairs = {(labels[i, k], again[i, k]) for i, ranks in enumerate(real) for k in ranks}
    assert len(pairs) == 2, "but for the order of the classes"


def test_an_image_that_cannot_be_read_has_none(tmp_path: Path) -> None:
    source = _write(tmp_path / "photographs")
    whole = label_boxes(_samples(source), 2, workers=0)[0]
    (tmp_path / "photographs" / "3.png").write_bytes(b"no image")
    labels = label_boxes(_samples(source), 2, workers=0)[0]
    assert not labels[3].any()
    assert whole[3].any() or whole[5].any()
    assert len(np.unique(labels[[0, 1, 2, 4, 5]])) == 2


def test_fewer_boxes_than_classes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"18 boxes.* 19 pseudo-classes.\nTrain with one class"):
        label_boxes(_samples(_write(tmp_path / "photographs")), 19, workers=0)


def test_clusters_are_fitted_with_the_run_s_seed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int]] = []
    real = module.fit_clusters

    def fit(features: np.ndarray, classes: int, seed: int) -> Clusters:
        asked.append((classes, seed))
        return real(features, classes, seed)

    monkeypatch.setattr(module, "fit_clusters", fit)
    label_boxes(_samples(_write(tmp_path / "photographs"), None, "engine.seed=41"), 3, workers=0)
    assert asked == [(3, 41)]
