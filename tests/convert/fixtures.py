"""Four random images with two boxes and masks each, in COCO's format, in the working directory."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def dataset(tmp_path, monkeypatch):
    """train.json and images/ in the working directory."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "images").mkdir()
    generator = np.random.default_rng(0)
    names = ("cat", "dog", "bird")
    coco = {"images": [], "annotations": [], "categories": [{"id": i + 1, "name": n} for i, n in enumerate(names)]}
    for i in range(4):
        Image.fromarray(generator.integers(0, 256, (96, 128, 3), dtype=np.uint8)).save(f"images/{i}.png")
        coco["images"].append({"id": i, "file_name": f"{i}.png", "height": 96, "width": 128})
        for j in range(2):
            box = [8 + 30 * j, 10 + 8 * i, 40, 36]
            polygon = [8 + 30 * j, 10 + 8 * i, 48 + 30 * j, 10 + 8 * i, 48 + 30 * j, 46 + 8 * i]
            mark = {"id": 2 * i + j + 1, "image_id": i, "category_id": j + 1, "bbox": box, "area": 1440, "iscrowd": 0}
            mark["segmentation"] = [polygon]
            coco["annotations"].append(mark)
    Path("train.json").write_text(json.dumps(coco))
    return tmp_path
