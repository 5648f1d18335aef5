"""Small data sets written to disk, for the tests of labels."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image


def picture(path: Path, seed: int, width: int = 40, height: int = 30) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 255, (height, width, 3), np.uint8)
    Image.fromarray(noise).save(path)


def write_coco(folder: Path, count: int = 4, name: str = "train", first_seed: int = 0) -> dict:
    """A sound set: ``count`` images of 40 x 30 with two objects each."""
    for i in range(count):
        picture(folder / name / f"{i}.png", first_seed + i)
    content = {
        "images": [{"id": i, "file_name": f"{i}.png", "width": 40, "height": 30} for i in range(count)],
        "categories": [{"id": 7, "name": "cat"}, {"id": 3, "name": "dog"}],
        "annotations": [
            {
                "id": 2 * i + k, "image_id": i, "category_id": (3, 7)[k], "bbox": [1 + k, 2, 10, 8], "area": 80,
                "iscrowd": 0, "segmentation": [[1, 2, 11, 2, 11, 10]],
            }
            for i in range(count)
            for k in (0, 1)
        ],
    }  # fmt: skip
    save(folder, content, name)
    return content


def save(folder: Path, content: dict, name: str = "train") -> str:
    (folder / f"{name}.json").write_text(json.dumps(content))
    return f"coco:{folder / name}.json:{folder / name}"
