"""Sources of the page with names that would be markup, and numbers that can be worked by hand."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from adept_hub.detectors.folder import DetectorConfig
from adept_hub.detectors.recipe import DetectorRecipe
from adept_training.finetuning.detector import build_detector, save_detector
from adept_training.images import content_hash
from adept_training.labels.datasets import open_data
from adept_training.labels.records import Split
from adept_training.proposals.search.presets import PRESETS
from adept_training.proposals.table.shards import (
    PLAN_FILE,
    ProposalRow,
    TablePlan,
    keys_digest,
    write_atomically,
    write_shard,
)
from adept_training.proposals.table.store import ProposalTable

EVIL_CLASS, EVIL_FILE = "</script><img src=x onerror=alert(1)>", "<img src=x onerror=alert(2)>.png"
CLASSES = (EVIL_CLASS, "dog")
SIDE = 80
#: An object of each class in every image; a box of the table that is half of the first, then one that is the second.
OBJECTS = ([10, 10, 30, 30], [40, 40, 70, 70])
TABLE = ([0, 0, 80, 80], [10, 10, 30, 20], [40, 40, 70, 70])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of 30 images, more than a page, one of them with a hostile name."""
    images = tmp_path / "images"
    images.mkdir()
    rng = np.random.default_rng(0)
    for name in [EVIL_FILE, *(f"{i:02d}.png" for i in range(29))]:
        pixels = np.kron(rng.integers(0, 255, (5, 5, 3), np.uint8), np.ones((16, 16, 1), np.uint8))
        Image.fromarray(pixels).save(images / name)
    return images


@pytest.fixture
def labels(folder: Path, tmp_path: Path) -> str:
    """``--data`` of the images."""
    names = sorted(path.name for path in folder.iterdir())
    content: dict[str, Any] = {
        "images": [{"id": i, "file_name": name, "width": SIDE, "height": SIDE} for i, name in enumerate(names, 1)],
        "categories": [{"id": at, "name": name} for at, name in enumerate(CLASSES, 1)],
        "annotations": [
            {
                "id": 2 * i + at, "image_id": i, "category_id": at, "iscrowd": 0, "area": (x2 - x1) * (y2 - y1),
                "bbox": [x1, y1, x2 - x1, y2 - y1],
            }
            for i in range(1, len(names) + 1)
            for at, (x1, y1, x2, y2) in enumerate(OBJECTS, 1)
        ],
    }  # fmt: skip
    (tmp_path / "labels.json").write_text(json.dumps(content))
    return f"coco:{tmp_path / 'labels.json'}:{folder}"


@pytest.fixture
def split(labels: str) -> Split:
    return open_data(labels).train


@pytest.fixture
def boxes(folder: Path, tmp_path: Path) -> Path:
    """The folder of a table whose keys are not the names of the files; the last image is missing."""
    rows = [
        ProposalRow(
            f"elsewhere/{at}", SIDE, SIDE, np.array(TABLE, np.float32), False, content_hash(path.read_bytes())
        )
        for at, path in enumerate(sorted(folder.iterdir())[:-1])
    ]  # fmt: skip
    plan = TablePlan(
        len(rows), 512, keys_digest(r.key for r in rows), PRESETS["objects"].as_dict(), {"name": "made"}, "none"
    )
    table = tmp_path / "boxes"
    table.mkdir()
    write_atomically(table / PLAN_FILE, plan.as_json().encode())
    write_shard(table, plan, 0, rows, [])
    ProposalTable.open(table)
    return table


@pytest.fixture
def comparison(tmp_path: Path) -> Path:
    """The folder of a comparison: three seeds of ``mine`` are 2, 3 and 4 points above ``scratch``; then a torn line."""
    out = tmp_path / "compared"
    out.mkdir()
    rows = [
        {
            "plan": "x", "source": source, "budget": "10img", "seed": seed, "variant": "recipe", "images": 10,
            "iterations": 5, "seconds": 60.0, "metrics": {"AP": 10.0 + seed + gain, "AP50": None}, "weights": "",
        }
        for seed in range(3)
        for source, gain in (("scratch", 0), ("mine", 2 + seed))
    ]  # fmt: skip
    (out / "runs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows) + '{"plan": "x", "sou')
    return out


@pytest.fixture
def tuned(tmp_path: Path, make_checkpoint: Callable[..., Any]) -> Path:
    """The folder of a detector whose scores are spread."""
    start, config, _ = make_checkpoint()
    recipe = DetectorRecipe(
        test_side=64, max_side=96, test_proposals=20, score_threshold=0.1, detections=6, anchors=(16, 24, 32, 48, 64)
    )
    model = build_detector(str(start), len(CLASSES), recipe, 0)
    torch.manual_seed(5)
    torch.nn.init.normal_(model.roi_heads.box_predictor.cls_score.weight, std=0.5)
    run = tmp_path / "tuned"
    save_detector(run / "best", model, DetectorConfig("x", CLASSES, recipe, 1, {}), config.spec, None)
    return run


@pytest.fixture
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
