"""Detections in other tools' formats, from boxes that are worked by hand and read back by pycocotools."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
from pycocotools import mask as mask_api
from pycocotools.coco import COCO

from adept_hub.detectors.image_detections import ImageDetections
from adept_training.predicting.formats import as_coco, as_yolo, csv_head, csv_rows

CLASSES = ("red cell", 'a "quoted", one')


def made(*, masks: bool = False) -> ImageDetections:
    """An image of 80 x 40 with two detections, of the second and of the first class."""
    boxes_D4 = np.array([[8.0, 10.0, 24.0, 30.0], [0.0, 0.0, 80.0, 5.5]])
    inside_HW = np.zeros((40, 80), np.uint8, order="F")
    inside_HW[10:30, 8:24] = 1
    rle = tuple([dict(mask_api.encode(inside_HW))] * 2) if masks else None
    return ImageDetections(
        boxes_D4, np.array([0.75, 0.5]), np.array([2, 1]), rle, "cam1/ä.png", np.zeros((40, 80, 3), np.uint8), CLASSES
    )


def test_yolo_has_centers_and_sizes_as_shares_and_classes_from_zero() -> None:
    assert as_yolo(made()) == (
        "1 0.200000 0.500000 0.200000 0.500000 0.750000\n0 0.500000 0.068750 1.000000 0.137500 0.500000\n"
    )


def test_csv_has_corners_and_names() -> None:
    head, first, second = csv.reader(io.StringIO(csv_head() + csv_rows(made())))
    assert dict(zip(head, first, strict=True)) == {
        "image": "cam1/ä.png", "class": 'a "quoted", one', "score": "0.750000",
        "x1": "8.00", "y1": "10.00", "x2": "24.00", "y2": "30.00",
    }  # fmt: skip
    assert second[1] == "red cell"


def test_coco_is_read_by_pycocotools(tmp_path) -> None:
    none = ImageDetections(
        np.zeros((0, 4)), np.zeros(0), np.zeros(0, np.int64), None, "b.png", np.zeros((9, 7, 3), np.uint8), CLASSES
    )
    path = tmp_path / "detections.json"
    path.write_text(json.dumps(as_coco([none, made(masks=True)], CLASSES)))
    coco = COCO(path)
    assert [(row["file_name"], row["width"], row["height"]) for row in coco.dataset["images"]] == [
        ("b.png", 7, 9),
        ("cam1/ä.png", 80, 40),
    ]
    assert coco.getAnnIds(imgIds=[1]) == []
    rows = coco.loadAnns(coco.getAnnIds(imgIds=[2]))
    assert [row["bbox"] for row in rows] == [[8, 10, 16, 20], [0, 0, 80, 5.5]]
    assert [(coco.loadCats(row["category_id"])[0]["name"], row["score"]) for row in rows] == [
        ('a "quoted", one', 0.75),
        ("red cell", 0.5),
    ]
    assert coco.annToMask(rows[0]).sum() == 16 * 20
