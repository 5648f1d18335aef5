"""What other tools are handed and hand back: crowds stay crowds, and results in any order are read best first."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pycocotools import mask as mask_api

from adept_hub.detectors.detections import Detections
from adept_training.labels.identity import Part
from adept_training.labels.records import Split
from adept_training.metrics.coco_files import detections_of, load_detections, save_annotations, save_detections
from tests.training.made import image, split


@pytest.fixture
def two() -> Split:
    """Parts from two folders, which number the categories alike and share no id."""
    images = image("a", [[0, 0, 10, 10]], [1]), image("b", [[20, 0, 60, 10]], [2], part=2)
    parts = [
        Split("val", (one,), ("class 1", "class 2"), (Part(number, folder, Path(folder), (11, 12)),))
        for number, folder, one in ((1, "x", images[0]), (2, "y", images[1]))
    ]
    return Split.join("val", parts)


def test_a_crowd_is_written_as_one(tmp_path: Path) -> None:
    truth = split(image("a", [[0, 0, 10, 10], [20, 0, 60, 10], [70, 0, 80, 30]], [1, 2, 2], crowd=[1]), classes=2)
    ((path, _),) = save_annotations(tmp_path / "annotations.json", truth)
    rows = json.loads(path.read_text())["annotations"]
    assert [(row["iscrowd"], row["bbox"], row["category_id"]) for row in rows] == [
        (0, [0, 0, 10, 10], 11), (1, [20, 0, 40, 10], 12), (0, [70, 0, 10, 30], 12),
    ]  # fmt: skip
    assert [row["id"] for row in rows] == [1, 2, 3], "pycocotools takes an annotation 0 for no match"


def test_results_in_any_order_are_read_best_first() -> None:
    truth = split(image(7, [], []))
    rows = [
        {"image_id": 7, "category_id": 11 + at, "bbox": [10 * at, 0, 5, 5], "score": score}
        for at, score in enumerate((0.2, 0.9, 0.5))
    ]
    (found,) = detections_of(rows, truth).values()
    assert found.scores_D.tolist() == [0.9, 0.5, 0.2]
    assert found.labels_D.tolist() == [2, 3, 1]
    assert found.boxes_D4.tolist() == [[10, 0, 15, 5], [20, 0, 25, 5], [0, 0, 5, 5]]


def test_images_of_two_folders_go_into_two_files(two: Split, tmp_path: Path) -> None:
    """File names are relative to one folder; results name no files, and go into one."""
    assert not two.apart
    written = save_annotations(tmp_path / "annotations.json", two)
    assert [part.folder for _, part in written] == [Path("x"), Path("y")]
    names = [[row["file_name"] for row in json.loads(path.read_text())["images"]] for path, _ in written]
    assert names == [["a.jpg"], ["b.jpg"]]
    found = {one.key: Detections(one.boxes_M4, np.array([0.5]), one.labels_M) for one in two.images}
    assert len(save_detections(tmp_path / "found.json", two, found)) == 1


def test_where_one_file_has_no_masks_none_has(two: Split, tmp_path: Path) -> None:
    apart = replace(two, apart=True)
    rle = dict(mask_api.encode(np.ones((200, 200), np.uint8, order="F")))
    found = {one.key: Detections(one.boxes_M4, np.array([0.5]), one.labels_M, (rle,)) for one in two.images}
    paths = save_detections(tmp_path / "found.json", apart, found)
    assert len(paths) == 2
    assert all(one.masks for one in load_detections(paths, apart).values())
    for path in paths:
        content = path.read_text()
        (row,) = json.loads(content)
        del row["segmentation"]
        path.write_text(json.dumps([row]))
        assert [one.masks for one in load_detections(paths, apart).values()] == [None, None]
        path.write_text(content)
