"""Readers of labels and images."""

from __future__ import annotations

import json
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from adept_hub.errors import DataError, ImageDecodeError, ImagesError
from adept_training.images import decode, open_images, read_file, read_file_size
from adept_training.labels.datasets import open_data
from adept_training.labels.subsets import Budget, load_subset, save_subset
from adept_training.metrics.coco_files import load_detections
from adept_training.pretraining.watch.pictures import read_picture
from tests.io.reader import Reader
from tests.training.conftest import write_voc
from tests.training.labels.formats.yolo_written import NAMES, TWO, write_yolo


def png(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (30, 40, 3), np.uint8)).save(path, format="PNG")


def make_coco(folder: Path) -> None:
    png(folder / "images" / "a.png")
    content = {
        "images": [{"id": 4, "file_name": "a.png", "width": 40, "height": 30}],
        "categories": [{"id": 7, "name": "cat"}],
        "annotations": [{"id": 1, "image_id": 4, "category_id": 7, "bbox": [1, 2, 10, 8], "area": 80, "iscrowd": 0}],
    }
    (folder / "a.json").write_text(json.dumps(content))
    row = {"image_id": 4, "category_id": 7, "bbox": [1, 2, 10, 8], "score": 0.5}
    (folder / "found.json").write_text(json.dumps([row]))
    (folder / "data.yaml").write_text("train: coco:a.json:images\n")


def make_yolo_list(folder: Path) -> None:
    write_yolo(folder, {"train/a": TWO}, NAMES).write_text(f"{NAMES}train: list.txt\n")
    (folder / "list.txt").write_text("images/train/a.png\n")


def coco(folder: Path) -> Any:
    return open_data(f"coco:{folder / 'a.json'}:{folder / 'images'}").train


def make_subset(folder: Path) -> None:
    make_coco(folder)
    save_subset(folder / "subset.json", coco(folder), Budget(1, "image"), 0)


def make_tar(folder: Path) -> None:
    png(folder / "a.png")
    with tarfile.open(folder / "t.tar", "w") as tar:
        tar.add(folder / "a.png", "a.png")
    (folder / "a.png").unlink()


def read_tar(folder: Path) -> object:
    shards = open_images(folder / "t.tar")
    return shards.read(shards.keys()[0])


def read_late(folder: Path) -> object:
    """A member of a shard that was harmed after it was opened."""
    (folder / "sound").mkdir()
    make_tar(folder / "sound")
    shards = open_images(folder / "sound" / "t.tar")
    return replace(shards, root=folder).read(shards.keys()[0])  # type: ignore[type-var]


def make_list(folder: Path) -> None:
    png(folder / "a.png")
    (folder / "list.txt").write_text("a.png\n")


READERS: dict[str, Reader] = {
    "data": Reader("data.yaml", make_coco, lambda f: open_data(f / "data.yaml"), DataError, "yaml"),
    "coco": Reader("a.json", make_coco, coco, DataError),
    "voc annotation": Reader("Annotations/val0.xml", lambda f: write_voc(f, 2), lambda f: open_data(f"voc:{f}"),
                             DataError, "xml"),
    "voc set": Reader("ImageSets/Main/train.txt", lambda f: write_voc(f, 2), lambda f: open_data(f"voc:{f}"),
                      DataError, "text"),
    "yolo": Reader("data.yaml", write_yolo, lambda f: open_data(f"yolo:{f / 'data.yaml'}"), DataError, "yaml"),
    "yolo labels": Reader("labels/train/b.txt", write_yolo, lambda f: open_data(f"yolo:{f / 'data.yaml'}"), DataError,
                          "text", calm=("missing",)),
    "yolo list": Reader("list.txt", make_yolo_list, lambda f: open_data(f"yolo:{f / 'data.yaml'}"), DataError, "text"),
    "detections": Reader("found.json", make_coco, lambda f: load_detections([f / "found.json"], coco(f)), DataError),
    "subset": Reader("subset.json", make_subset, lambda f: load_subset(f / "subset.json", coco(f)), DataError),
    "image": Reader("a.png", lambda f: png(f / "a.png"), lambda f: decode(read_file(f / "a.png", "a"), "a"),
                    ImageDecodeError, "binary"),
    "image's size": Reader("a.png", lambda f: png(f / "a.png"), lambda f: read_file_size(f / "a.png", "a"),
                           ImageDecodeError, "binary"),
    "image of a run": Reader("held_out.png", lambda f: png(f / "held_out.png"),
                             lambda f: read_picture(f / "held_out.png"), ImageDecodeError, "binary"),
    "list": Reader("list.txt", make_list, lambda f: open_images(f / "list.txt"), ImagesError, "text"),
    "shard": Reader("t.tar", make_tar, read_tar, ImagesError, "binary"),
    "member of a shard": Reader("t.tar", make_tar, read_late, ImageDecodeError, "binary",
                                calm=("huge",)),
}  # fmt: skip
