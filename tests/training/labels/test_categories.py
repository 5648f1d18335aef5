"""Categories of COCO files: names that look alike or are empty, and very many of them."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from PIL import Image

from adept_training.labels.sources import read_data


def problems(folder: Path, names: list[str]) -> list[str]:
    Image.new("RGB", (64, 48)).save(folder / "a.png")
    content = {
        "images": [{"id": 7, "file_name": "a.png", "width": 64, "height": 48}],
        "categories": [{"id": 3 + i, "name": name} for i, name in enumerate(names)],
        "annotations": [{"id": 9, "image_id": 7, "category_id": 3, "bbox": [4, 5, 20, 18], "area": 360, "iscrowd": 0}],
    }
    (folder / "a.json").write_text(json.dumps(content))
    data, found = read_data([f"coco:{folder / 'a.json'}:{folder}"])
    assert len(data.train.images) == 1
    return [problem.kind for problem in found]


@pytest.mark.parametrize(
    ("names", "code"),
    [
        (["caf\u00e9", "cafe\u0301"], "duplicate-category-name"),
        (["crow", "crow"], "duplicate-category-name"),
        (["crow", ""], "malformed-record"),
        (["crow", " \t"], "malformed-record"),
    ],
)
def test_names_that_nobody_tells_apart(names: list[str], code: str, tmp_path: Path) -> None:
    assert code in problems(tmp_path, names)
    assert not {"duplicate-category-name", "malformed-record"} & set(problems(tmp_path, ["crow", "caf\u00e9", "Crow"]))


def test_very_many_are_read_in_seconds(tmp_path: Path) -> None:
    began = time.process_time()
    problems(tmp_path, [f"class {i}" for i in range(60_000)])
    assert time.process_time() - began < 15, "each was compared with all before it: over a minute"
