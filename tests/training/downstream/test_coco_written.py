"""What other tools are handed and hand back: crowds stay crowds, and results in any order are read best first."""

from __future__ import annotations

import json
from pathlib import Path

from adept_training.downstream.coco_files import detections_of, save_annotations

from .made import image, split


def test_a_crowd_is_written_as_one(tmp_path: Path) -> None:
    truth = split(image("a", [[0, 0, 10, 10], [20, 0, 60, 10], [70, 0, 80, 30]], [1, 2, 2], crowd=[1]), classes=2)
    ((path, _),) = save_annotations(tmp_path / "annotations.json", truth)
    rows = json.loads(path.read_text())["annotations"]
    assert [(row["iscrowd"], row["bbox"], row["category_id"]) for row in rows] == [
        (0, [0, 0, 10, 10], 11), (1, [20, 0, 40, 10], 12), (0, [70, 0, 10, 30], 12),
    ]  # fmt: skip


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
