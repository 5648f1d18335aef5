"""Exports of Label Studio and CVAT, written as these tools unpack them: one image of 80 x 60 pixels, one box."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from adept_hub.errors import DataError
from adept_training.labels.check import check_data
from adept_training.labels.datasets import open_data


def write(folder: Path, files: dict[str, object]) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith(".jpg"):
            pixels = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(path)
        else:
            path.write_text(content if isinstance(content, str) else json.dumps(content))


def label_studio_coco(folder: Path) -> str:
    box = {"id": 0, "image_id": 0, "category_id": 1, "segmentation": [], "bbox": [10.0, 6.0, 20.0, 30.0]}
    write(folder, {
        "images/1f2e-a.jpg": None,
        "result.json": {
            "images": [{"width": 80, "height": 60, "id": 0, "file_name": "images/1f2e-a.jpg"}],
            "categories": [{"id": 0, "name": "plane"}, {"id": 1, "name": "car"}],
            "annotations": [box | {"ignore": 0, "iscrowd": 0, "area": 600.0}],
            "info": {"year": 2026, "version": "1.0", "contributor": "Label Studio"},
        },
    })  # fmt: skip
    return f"coco:{folder}/result.json:{folder}"


def cvat_coco(folder: Path) -> str:
    box = {"id": 1, "image_id": 1, "category_id": 2, "segmentation": [], "area": 600.0, "bbox": [10.0, 6.0, 20.0, 30.0]}
    write(folder, {
        "images/default/a.jpg": None,
        "annotations/instances_default.json": {
            "licenses": [{"name": "", "id": 0, "url": ""}], "info": {"contributor": "", "year": ""},
            "categories": [{"id": k, "name": name, "supercategory": ""} for k, name in ((1, "plane"), (2, "car"))],
            "images": [{"id": 1, "width": 80, "height": 60, "file_name": "a.jpg", "license": 0, "date_captured": 0}],
            "annotations": [box | {"iscrowd": 0, "attributes": {"occluded": False, "rotation": 0.0}}],
        },
    })  # fmt: skip
    return f"coco:{folder}/annotations/instances_default.json:{folder}/images/default"


def cvat_ultralytics(folder: Path) -> str:
    write(folder, {
        "images/train/a.jpg": None, "labels/train/a.txt": "1 0.25 0.35 0.25 0.5\n", "train.txt": "images/train/a.jpg\n",
        "data.yaml": "names:\n  0: plane\n  1: car\npath: .\ntrain: train.txt\n",
    })  # fmt: skip
    return f"yolo:{folder}/data.yaml"


def cvat_voc(folder: Path) -> str:
    edges = "<xmin>11.0</xmin><ymin>7.0</ymin><xmax>30.0</xmax><ymax>36.0</ymax>"
    write(folder, {
        "JPEGImages/a.jpg": None, "ImageSets/Main/default.txt": "a\n", "labelmap.txt": "# label:color_rgb",
        "Annotations/a.xml": "<annotation><folder></folder><filename>a.jpg</filename><size><width>80</width>"
        "<height>60</height><depth></depth></size><segmented>0</segmented><object><name>car</name><occluded>0</occluded>"
        f"<difficult>0</difficult><bndbox>{edges}</bndbox><attributes><attribute><name>rotation</name>"
        "<value>0.0</value></attribute></attributes></object></annotation>",
    })  # fmt: skip
    return f"voc:{folder}:default"


def label_studio_yolo(folder: Path) -> None:
    write(folder, {
        "images/1f2e-a.jpg": None, "labels/1f2e-a.txt": "1 0.25 0.35 0.25 0.5\n", "classes.txt": "plane\ncar",
        "notes.json": {"categories": [{"id": 0, "name": "plane"}, {"id": 1, "name": "car"}], "info": {}},
    })  # fmt: skip


def cvat_yolo(folder: Path) -> None:
    write(folder, {
        "obj_train_data/a.jpg": None, "obj_train_data/a.txt": "1 0.25 0.35 0.25 0.5\n", "obj.names": "plane\ncar\n",
        "train.txt": "data/obj_train_data/a.jpg\n",
        "obj.data": "classes = 2\ntrain = data/train.txt\nnames = data/obj.names\nbackup = backup/\n",
    })  # fmt: skip


def check(word: str) -> None:
    train = open_data(word).train
    assert [image.boxes_M4.round(6).tolist() for image in train.images] == [[[10, 6, 30, 36]]]
    assert [train.classes[label - 1] for label in train.images[0].labels_M] == ["car"]


@pytest.mark.parametrize("export", [label_studio_coco, cvat_coco, cvat_ultralytics, cvat_voc])
def test_it_is_read_as_it_is(tmp_path, export: Callable[[Path], str]) -> None:
    check(export(tmp_path / "an export"))


@pytest.mark.parametrize("export", [label_studio_yolo, cvat_yolo])
@pytest.mark.parametrize("named", ["", "train.txt"])
def test_the_command_for_a_missing_data_yaml_works(tmp_path, export: Callable[[Path], None], named: str) -> None:
    folder = tmp_path / "an export"
    export(folder)
    with pytest.raises(DataError, match="Write one, then give it:") as raised:
        open_data(f"yolo:{folder / named}")
    subprocess.run(["sh", "-c", str(raised.value).splitlines()[-1]], check=True)
    check(f"yolo:{folder / 'data.yaml'}")


@pytest.mark.parametrize(("export", "wrong"), [(label_studio_coco, "images"), (cvat_coco, "images")])
def test_the_folder_of_the_images_is_found(tmp_path, export: Callable[[Path], str], wrong: str) -> None:
    word = export(tmp_path / "export")
    annotations = word.split(":")[1]
    problems = check_data(f"coco:{annotations}:{tmp_path / 'export' / wrong}")[1]
    (empty,) = [problem for problem in problems if problem.kind == "empty-split"]
    assert empty.detail == f"the images are elsewhere: {word}"


def test_no_folder_is_named_that_lacks_an_image(tmp_path) -> None:
    word = cvat_coco(tmp_path / "export")
    (tmp_path / "export/images/default/a.jpg").unlink()
    annotations = word.split(":")[1]
    problems = check_data(f"coco:{annotations}:{tmp_path / 'export/images'}")[1]
    assert [problem.detail for problem in problems if problem.kind == "empty-split"] == [""]


def test_the_only_set_of_a_voc_folder_is_named(tmp_path) -> None:
    word = cvat_voc(tmp_path / "export")
    with pytest.raises(DataError, match="no set named train") as raised:
        open_data(word.removesuffix(":default"))
    check(str(raised.value).rpartition("Write ")[2])
