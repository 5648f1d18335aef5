"""YOLO's labels: hand-worked boxes and masks, Ultralytics' layouts, image sizes as shown, and what is refused."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from adept_hub.errors import DataError
from adept_training.labels.check import check_data
from adept_training.labels.datasets import open_data
from adept_training.labels.identity import ImageKey
from adept_training.labels.problems import of_kind
from tests.training.labels.formats.yolo_written import NAMES, TWO, write_yolo
from tests.training.labels.written import picture, save, write_coco


def test_shares_become_pixels_and_paths_become_ids(tmp_path: Path) -> None:
    data = open_data(f"yolo:{write_yolo(tmp_path)}")
    image = data.train.images[0]
    assert image.key == ImageKey(1, "images/train/a 1.png")
    assert (image.path, image.file_name) == (tmp_path / "images/train/a 1.png", "images/train/a 1.png")
    np.testing.assert_allclose(image.boxes_M4, [[4, 3, 20, 18], [10, 12, 30, 27]], atol=1e-9)
    assert image.labels_M.tolist() == [2, 1]
    assert data.classes == ("wolf", "ant", "no bird")
    assert data.train.parts[0].category_ids == (0, 1, 2)
    assert not data.train.has_masks
    assert [len(split) for split in data.splits()] == [2, 2, 2]
    assert data.test is not None
    assert data.test.images[1].key == ImageKey(1, "images/test/b.png")


def test_polygons_become_masks_with_their_own_area(tmp_path: Path) -> None:
    # A right triangle with the corners (4, 3), (24, 3), (4, 18): half of 20 x 15.
    triangle = "2 0.1 0.1 0.6 0.1 0.1 0.6\n"
    data = open_data(f"yolo:{write_yolo(tmp_path, {'train/a': triangle, 'train/b': triangle + TWO[:19]})}")
    one = data.train.images[0]
    np.testing.assert_allclose(one.boxes_M4, [[4, 3, 24, 18]])
    assert one.masks is not None
    np.testing.assert_allclose(one.masks[0], [[4, 3, 24, 3, 4, 18]])
    np.testing.assert_allclose(one.area_M, [150])
    other = data.train.images[1]
    assert other.masks is not None
    assert other.masks[1] is None
    assert len(other) == 2


def test_the_size_is_that_of_the_image_as_shown(tmp_path: Path) -> None:
    file = write_yolo(tmp_path, {"train/a": "0 0.25 0.5 0.5 1\n"})
    exif = Image.Exif()
    exif[274] = 6  # turned by 90 degrees: 40 x 30 is shown as 30 x 40
    Image.new("RGB", (40, 30)).save(tmp_path / "images/train/a.png", exif=exif)
    for decode_all in (False, True):
        data, problems = check_data(f"yolo:{file}", decode_all=decode_all)
        assert [p for p in problems if p.severity == "error"] == []
        image = data.train.images[0]
        assert (image.width, image.height) == (30, 40)
        np.testing.assert_allclose(image.boxes_M4, [[0, 0, 15, 40]])


def rewrite(file: Path, text: str) -> Path:
    file.write_text(text)
    return file


@pytest.mark.parametrize("form", ["folder", "list", "several", "path", "absolute", "roboflow", "lists of lists"])
def test_ultralytics_layouts_mean_the_same(form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "set"
    file = write_yolo(root, {"train/a": TWO, "train/cam/b": TWO, "train/cam/c": None, "val/d": TWO})
    monkeypatch.chdir(tmp_path)
    (root / "train.txt").write_text("\ufeff./images/train/a.png\n\nimages/train/cam/b.png\nimages\\train\\cam\\c.png\n")
    (root / "rest.txt").write_text(f"{root}/images/train/cam/b.png\n{root}/images/train/cam/c.png\n")
    (root / "a.txt").write_text("images/train/a.png\n")
    for name, text in {
        "list": "train: train.txt\nval: images/val\n",
        "several": "train: [images/train/cam, a.txt]\nval: images/val\n",
        "absolute": f"path: {root}\ntrain: images/train\nval: images/val\n",
        "roboflow": "train: ../images/train\nval: ../images/val\n",
        "lists of lists": "train: [a.txt, rest.txt]\nval: [images/val]\n",
    }.items():
        if form == name:
            rewrite(file, NAMES + text)
    if form == "path":
        file = rewrite(tmp_path / "elsewhere.yaml", NAMES + "path: set\ntrain: images/train\nval: images/val\n")
    data = open_data(f"yolo:{file}")
    assert [image.key.id for image in data.train.images] == [f"images/train/{n}.png" for n in ("a", "cam/b", "cam/c")]
    assert [len(image) for image in data.train.images] == [2, 2, 0]
    assert data.val is not None
    assert [image.key.id for image in data.val.images] == ["images/val/d.png"]


def test_splits_outside_the_folder_get_a_common_one(tmp_path: Path) -> None:
    file = write_yolo(tmp_path / "one", {"train/a": TWO, "val/b": TWO})
    other = write_yolo(tmp_path / "other", {"val/b": TWO[:19]})
    file.write_text(NAMES + f"train: images/train\nval: {other.parent}/images/val\n")
    data = open_data(f"yolo:{file}")
    assert data.val is not None
    assert [one.key.id for one in (*data.train.images, *data.val.images)] == [
        "one/images/train/a.png", "other/images/val/b.png",
    ]  # fmt: skip
    assert len(data.val.images[0]) == 1


@pytest.mark.parametrize(
    "names", ["names: {0: wolf, 1: ant, 2: no bird}\n", "names: {'1': ant, 2: no bird, 0: wolf}\nnc: 3\n"]
)
def test_names_may_be_a_mapping(names: str, tmp_path: Path) -> None:
    assert open_data(f"yolo:{write_yolo(tmp_path, yaml=names)}").classes == ("wolf", "ant", "no bird")


def test_classes_without_names_are_numbered(tmp_path: Path) -> None:
    assert open_data(f"yolo:{write_yolo(tmp_path, yaml=chr(10) + 'nc: 2' + chr(10))}").classes == ("class_0", "class_1")


def test_words_of_splits_and_in_a_data_yaml(tmp_path: Path) -> None:
    file = write_yolo(tmp_path / "y")
    data = open_data(f"yolo:{file}:val:test")
    assert [one.key.id for one in data.train.images] == ["images/val/a 1.png", "images/val/b.png"]
    assert data.report_split.images[0].key.id == "images/test/a 1.png"
    assert open_data([f"yolo:{file}:train,yolo:{file}:test"]).val is not None
    mixed = tmp_path / "mixed.yaml"
    coco = write_coco(tmp_path / "y")
    save(tmp_path / "y", coco)
    mixed.write_text(
        "train: [yolo:y/data.yaml:train, yolo:y/data.yaml:val]\nval: yolo:y/data.yaml:test\nclasses: [ant]"
    )
    data = open_data(mixed)
    assert len(data.train) == 4
    assert data.classes == ("ant",)
    assert all(image.labels_M.tolist() == [1] for image in data.train.images)


def test_nothing_is_downloaded(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    marker = tmp_path / "ran"
    file = write_yolo(tmp_path, yaml=NAMES + f"download: |\n  open({str(marker)!r}, 'w')\n")
    with caplog.at_level(logging.WARNING):
        open_data(f"yolo:{file}")
    assert "download: is not run" in caplog.text
    assert not marker.exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a", "not a YOLO data.yaml"),
        ("names: [a]\n", "no field train, val or test"),
        (NAMES + "val: images/val\n", r"no field train\.\nTo use another split: yolo:.*data\.yaml:val"),
        (NAMES + "train: https://example.com/a.zip\n", "is remote"),
        (NAMES + "path: gs://bucket\ntrain: a\n", "is remote"),
        (NAMES + "path: nowhere\ntrain: a\n", "path: nowhere is not a folder"),
        (NAMES + "train: 3\n", "train must be a folder"),
        (NAMES + "train: a\nvalid: b\n", "unknown field 'valid'. Did you mean 'val'"),
        (NAMES + "train: a\nvalidation: b\n", "unknown field 'validation'. Did you mean 'val'"),
        ("train: a\nname: [a]\n", "unknown field 'name'. Did you mean 'names'"),
        (NAMES + "train: a\nkpt_shape: [17, 3]\n", "keypoints"),
        ("train: [", "not valid YAML"),
    ],
)
def test_what_is_no_yolo_set_is_refused(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        open_data(f"yolo:{rewrite(tmp_path / 'data.yaml', text)}")


def test_near_misses_of_the_word_are_answered(tmp_path: Path) -> None:
    file = write_yolo(tmp_path)
    for word, message in {
        str(file): f"Write yolo:{file}",
        f"yolo:{tmp_path}": f"Write yolo:{file}",
        f"yolo:{file}:tset": "no data.yaml .*tset",
    }.items():
        with pytest.raises(DataError, match=message):
            open_data(word)
    with pytest.raises(DataError, match="Its splits: train, val, test"):
        open_data([f"yolo:{file}", f"yolo:{file}:val"])
    rewrite(tmp_path / "other.yaml", NAMES + "train: images/train\n")
    with pytest.raises(DataError, match=r"has no split 'val'\.\nIts splits: train"):
        open_data(rewrite(tmp_path / "adept.yaml", "train: yolo:other.yaml:train\nval: yolo:other.yaml:val\n"))


def test_predictions_are_not_taken_for_labels(tmp_path: Path) -> None:
    file = write_yolo(tmp_path, {"train/a": "0 0.5 0.5 0.25 0.5 0.913\n", "train/b": TWO})
    with pytest.raises(
        DataError, match=r"line 1 of labels/train/a\.txt: .*the sixth value is a score, so this is a prediction"
    ):
        open_data(f"yolo:{file}")


def test_lists_next_to_images_without_a_folder_of_labels(tmp_path: Path) -> None:
    picture(tmp_path / "all" / "a.png", 1)
    (tmp_path / "all" / "a.txt").write_text(TWO)
    (tmp_path / "all" / "classes.txt").write_text("wolf\nant\n")
    (tmp_path / "data.yaml").write_text(NAMES + "train: all\n")
    data, problems = check_data(f"yolo:{tmp_path / 'data.yaml'}")
    assert set(of_kind(problems)) == {"category-without-objects"}
    assert len(data.train.images[0]) == 2
