"""A folder of predictions: a picture for each image, whatever its name, and nothing lost."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from adept_hub.detectors.detections import Detections
from adept_hub.detectors.image_detections import ImageDetections
from adept_hub.detectors.predictor import Pixels, Predictor
from adept_hub.errors import ImagesError, OutputExistsError
from adept_training.images import open_images
from adept_training.predicting.source import open_one_or_many
from adept_training.predicting.write import PredictOptions, check_out, predict_images, safe_names

HEIGHT, WIDTH = 30, 50


class Brightest(Predictor):
    """Finds one box, as wide as the image's first pixel is bright."""

    def _detect(self, batch: Sequence[Pixels], score: float, most: int | None) -> Iterator[Detections]:
        for pixels_HW3 in batch:
            box = [[2.0, 3.0, 2.0 + int(pixels_HW3[0, 0, 0]) % 40, 20.0]]
            yield Detections(np.array(box), np.array([0.5]), np.array([1]))


def finder(name: str) -> Brightest:
    return Brightest(name, ("spot", "other"))


def write(folder: Path, names: Sequence[str]) -> Path:
    for value, name in enumerate(names, start=10):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (WIDTH, HEIGHT), (value, 90, 90)).save(folder / name)
    return folder


def rows_of(out: Path) -> dict[str, float]:
    with (out / "detections.csv").open(newline="") as file:
        return {row["image"]: float(row["x2"]) for row in csv.DictReader(file)}


def test_every_image_has_its_own_files(tmp_path: Path) -> None:
    names = ["cam1/0.png", "cam2/0.png", "cam2/0.bmp", "a.b.png"]
    source = open_images(write(tmp_path / "in", names))
    done = predict_images([finder("x")], source, tmp_path / "out", PredictOptions(), "title", "adept predict ...")
    assert (done.images, done.detections, done.unreadable, done.interrupted) == (4, [4], {}, False)
    assert rows_of(tmp_path / "out") == {name: 12.0 + value for value, name in enumerate(names)}
    below = {kind: sorted(str(p.relative_to(tmp_path / "out" / kind)) for p in (tmp_path / "out" / kind).rglob("*.*"))
             for kind in ("pictures", "labels")}  # fmt: skip
    assert below["pictures"] == ["a.b.jpg", "cam1/0.jpg", "cam2/0.jpg", "cam2/0.png.jpg"]
    assert below["labels"] == ["a.b.txt", "cam1/0.txt", "cam2/0.png.txt", "cam2/0.txt"]
    coco = json.loads((tmp_path / "out" / "detections.json").read_text())
    assert {row["file_name"]: (row["width"], row["height"]) for row in coco["images"]} == dict.fromkeys(
        names, (WIDTH, HEIGHT)
    )
    assert (tmp_path / "out" / "classes.txt").read_text() == "spot\nother\n"
    page = (tmp_path / "out" / "index.html").read_text()
    assert page.count("<figure>") == 4
    assert "cam2/0.bmp (1)" in page
    assert "adept predict ..." in page
    with Image.open(tmp_path / "out" / "pictures" / "cam1" / "0.jpg") as picture:
        assert picture.size == (WIDTH, HEIGHT)
        assert np.ptp(np.asarray(picture).astype(int), axis=(0, 1)).max() > 60, "a box is drawn on it"


def test_every_option_reaches_every_predictor_batch_by_batch(tmp_path: Path) -> None:
    asked: list[Any] = []

    class Asked(Brightest):
        def predict_each(self, images: Any, **options: Any) -> Iterator[ImageDetections]:
            asked.append((self.name, [name for name, _ in images], options))
            return super().predict_each(images, **options)

    predictors = [Asked(name, ("spot",)) for name in ("x", "y")]
    options = PredictOptions(score=0.125, most=7, batch_size=2, formats=("csv",))
    predict_images(predictors, open_images(write(tmp_path / "in", ["abc.png", "d.png", "e.png"])), tmp_path / "out",
                   options, "title")  # fmt: skip
    wanted = {"score": 0.125, "most": 7, "batch_size": 2}
    assert asked == [(name, batch, wanted) for batch in (["abc.png", "d.png"], ["e.png"]) for name in ("x", "y")]


def test_only_the_formats_that_were_asked_for(tmp_path: Path) -> None:
    source = open_images(write(tmp_path / "in", ["a.png"]))
    predict_images([finder("x")], source, tmp_path / "out", PredictOptions(formats=("csv",)), "t")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["detections.csv", "index.html"]


def test_names_stay_inside_the_folder() -> None:
    here = Path.cwd().parent.name
    for keys, names in (
        (["a.png", "a.jpg", "s.tar/a.jpg", "./b/../c.png"], ["a", "a.jpg", "s.tar/a", "c"]),
        (["/data/one/a.png", "/data/two/b/a.png"], ["one/a", "two/b/a"]),
        (["/data/one/a.png"], ["a"]),
        (["../x/a.png", "../y.png", "../../z/a.png"], [f"{here}/x/a", f"{here}/y", "z/a"]),
    ):
        assert safe_names(keys) == dict(zip(keys, names, strict=True))


def test_several_are_side_by_side(tmp_path: Path) -> None:
    source = open_images(write(tmp_path / "in", ["a.png"]))
    both = [finder("runs/one"), finder("hf-hub:org/two words")]
    done = predict_images(both, source, tmp_path / "out", PredictOptions(), "t")
    assert done.detections == [1, 1]
    with Image.open(tmp_path / "out" / "pictures" / "a.jpg") as picture:
        assert picture.size == (2 * WIDTH + 8, HEIGHT + 22)
        both = np.asarray(picture)[22:].astype(int)
        assert np.abs(both[:, :WIDTH] - both[:, WIDTH + 8 :]).mean() < 12
    for folder in ("1-one", "2-two-words"):
        assert rows_of(tmp_path / "out" / folder) == {"a.png": 12.0}


def test_unreadable_images_are_counted_and_the_rest_is_done(tmp_path: Path) -> None:
    folder = write(tmp_path / "in", ["a.png", "c.png"])
    (folder / "b.png").write_bytes(b"no image")
    done = predict_images([finder("x")], open_images(folder), tmp_path / "out", PredictOptions(batch_size=2), "t")
    assert (done.images, list(done.unreadable)) == (2, ["b.png"])
    assert "b.png is not a readable image" in done.unreadable["b.png"]
    for name in ("a.png", "c.png"):
        (folder / name).unlink()
    with pytest.raises(ImagesError, match=r"None of 1 images can be read; the first, b\.png"):
        predict_images([finder("x")], open_images(folder), tmp_path / "other", PredictOptions(), "t")


def test_an_interrupt_keeps_what_is_finished(tmp_path: Path) -> None:
    class Interrupted(Brightest):
        def predict_each(self, images: Any, **options: Any) -> Iterator[ImageDetections]:
            if images[0][0] == "c.png":
                raise KeyboardInterrupt
            return super().predict_each(images, **options)

    source = open_images(write(tmp_path / "in", ["a.png", "b.png", "c.png", "d.png"]))
    one = Interrupted("x", ("spot",))
    done = predict_images([one], source, tmp_path / "out", PredictOptions(), "t")
    assert (done.images, done.interrupted) == (2, True)
    assert list(rows_of(tmp_path / "out")) == ["a.png", "b.png"]
    assert (tmp_path / "out" / "index.html").is_file()


def test_a_folder_with_files_is_left_alone(tmp_path: Path) -> None:
    check_out(tmp_path / "new")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".adept-lock").touch()
    check_out(tmp_path / "out")
    (tmp_path / "out" / "mine.txt").touch()
    with pytest.raises(OutputExistsError, match="not an empty folder"):
        check_out(tmp_path / "out")
    with pytest.raises(OutputExistsError):
        check_out(tmp_path / "out" / "mine.txt")


def test_one_file_is_enough(tmp_path: Path) -> None:
    folder = write(tmp_path / "in", ["a.png", "b.png"])
    assert open_one_or_many(folder / "a.png").keys() == ["a.png"]
    assert open_one_or_many(folder).keys() == ["a.png", "b.png"]
    (tmp_path / "list.txt").write_text("in/b.png\n")
    assert open_one_or_many(tmp_path / "list.txt").read(open_one_or_many(tmp_path / "list.txt").keys()[0])
    with pytest.raises(ImagesError):
        open_one_or_many(tmp_path / "c.png")


@pytest.mark.skipif(os.name == "nt", reason="names are Unicode on Windows")
def test_names_that_are_not_utf_8(tmp_path: Path) -> None:
    folder = write(tmp_path / "in", ["a.png"])
    (folder / "a.png").rename(folder / os.fsdecode(b"\xff.png"))
    done = predict_images([finder("x")], open_images(folder), tmp_path / "out", PredictOptions(), "t")
    assert done.images == 1
    assert len(list((tmp_path / "out" / "pictures").iterdir())) == 1
