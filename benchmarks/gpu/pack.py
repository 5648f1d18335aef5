"""A domain's corpus for a rented GPU: ``python -m benchmarks.gpu.pack steel --data DIR --out DIR --objects FILE``.

Images (of bccd at half size) and the labels of every arm. Test images are left out. ``--objects`` is a COCO file of one
class with boxes of the training images, the best first.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image

from adept_training.labels.datasets import open_data
from adept_training.labels.records import LabeledImage, Split
from benchmarks.ladder import grid_labels, one_class
from benchmarks.pseudo_classes import pseudo_classes

Coco = dict[str, Any]
#: What every contrast has in common: the clock ends it, and rate and momentum follow the clock.
COMMON = (
    "--method", "soco", "--recipe", "own_photos_cpu", "--set", "views.sizes=[160,160,80]",
    "--set", "engine.batch_size=64", "--set", "data.workers=3", "--set", "engine.precision=auto",
    "--set", "engine.threads=0", "--set", "schedule.epochs=1000", "--set", "schedule.warmup_epochs=50",
    "--set", "engine.checkpoint_minutes=2", "--set", "engine.probe_every=500", "--set", "data.held_out=40",
)  # fmt: skip
INFONCE = (*COMMON, "--set", "method.objective=infonce")
CONTRASTS = {
    "byol": COMMON,
    "infonce": (*INFONCE, "--set", "method.same_image_negatives=true"),
    "infonce-faster": (
        *INFONCE, *(f"--set=optimizer.lr_scale.{part}=1" for part in ("backbone", "fpn", "head", "predictor")),
    ),
}  # fmt: skip
#: Factor of the side of every image.
SCALES = {"steel": 1.0, "bccd": 0.5}
#: Budgets of the fine-tunings.
LABELS = {"steel": ["60img", "10img"], "bccd": ["30img", "10img"]}


def main() -> None:
    """Pack one domain."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("domain", choices=sorted(SCALES))
    parser.add_argument("--data", required=True, type=Path)
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--objects", type=Path, help="COCO file of boxes, of one class")
    parser.add_argument("--table", type=Path, help="table of the training images' boxes, for the contrasts")
    parser.add_argument("--boxes", type=int, default=30, help="best boxes of an image that become labels")
    parser.add_argument("--classes", type=int, default=32, help="pseudo-classes of rung 2")
    args = parser.parse_args()
    root, folder, scale = args.data / args.domain, args.out / args.domain, SCALES[args.domain]
    words = (
        [f"voc:{root}"]
        if args.domain == "bccd"
        else [f"coco:{root / f'{s}.json'}:{root / 'images'}" for s in ("train", "val")]
    )
    data = open_data(words, skip_damaged=True)
    assert data.val is not None
    shutil.rmtree(folder, ignore_errors=True)
    for split, name in ((data.train, "train"), (data.val, "val")):
        _write(folder / f"{name}.json", _coco(split, name, folder / "images", scale))
    true = json.loads((folder / "train.json").read_text(encoding="utf-8"))
    boxes: dict[str, str] = {}
    for arm, change in _changes(args, true, folder / "images", scale).items():
        _write(folder / f"{arm}.json", change(true))
        boxes[arm] = arm
    shutil.copyfile(folder / "train.json", folder / "true-classes.json")
    contrasts = {} if args.table is None else CONTRASTS
    if args.table is not None:
        shutil.copytree(args.table, folder / "table")
    _write(
        folder / "arms.json",
        {"boxes": {"true-classes": "true-classes", **boxes}, "contrasts": contrasts, "labels": LABELS[args.domain]},
    )


def _changes(args: argparse.Namespace, true: Coco, images: Path, scale: float) -> dict[str, Callable[[Coco], Coco]]:
    changes: dict[str, Callable[[Coco], Coco]] = {"true-boxes": one_class, "grid": grid_labels}
    if args.objects is not None:
        found = _boxes_of(json.loads(args.objects.read_text(encoding="utf-8")), args.boxes, scale)
        objects = _with_boxes(true, found)
        changes["objects"] = lambda _: objects
        changes["objects-classes"] = lambda _: pseudo_classes(objects, images, args.classes, 0)
    return changes


def _coco(split: Split, name: str, images: Path, scale: float) -> Coco:
    content: Coco = {"images": [], "annotations": [], "categories": []}
    content["categories"] = [{"id": i + 1, "name": label} for i, label in enumerate(split.classes)]
    for number, image in enumerate(split.images, start=1):
        file_name = f"{name}/{Path(image.file_name).name}"
        width, height = _copy(image, images / file_name, scale)
        content["images"].append({"id": number, "file_name": file_name, "width": width, "height": height})
        for box, label in zip(image.boxes_M4, image.labels_M, strict=True):
            content["annotations"].append(_row(content, number, [scale * v for v in box.tolist()], int(label)))
    return content


def _row(content: Coco, image: int, xyxy: list[float], label: int) -> dict[str, Any]:
    x, y, right, bottom = xyxy
    return {
        "id": len(content["annotations"]) + 1, "image_id": image, "category_id": label, "iscrowd": 0,
        "bbox": [x, y, right - x, bottom - y], "area": (right - x) * (bottom - y),
    }  # fmt: skip


def _copy(image: LabeledImage, to: Path, scale: float) -> tuple[int, int]:
    to.parent.mkdir(parents=True, exist_ok=True)
    if scale == 1.0:
        shutil.copyfile(image.path, to)
        return image.width, image.height
    size = (round(image.width * scale), round(image.height * scale))
    Image.open(image.path).convert("RGB").resize(size, Image.Resampling.LANCZOS).save(to, quality=92)
    return size


def _boxes_of(content: Coco, best: int, scale: float) -> dict[str, list[list[float]]]:
    """Return the first boxes of every image, xyxy, by file name."""
    names = {row["id"]: Path(row["file_name"]).name for row in content["images"]}
    found: dict[str, list[list[float]]] = {}
    for row in content["annotations"]:
        x, y, w, h = (scale * value for value in row["bbox"])
        boxes = found.setdefault(names[row["image_id"]], [])
        if len(boxes) < best:
            boxes.append([x, y, x + w, y + h])
    return found


def _with_boxes(true: Coco, found: dict[str, list[list[float]]]) -> Coco:
    content: Coco = {"images": true["images"], "categories": [{"id": 1, "name": "object"}], "annotations": []}
    for row in true["images"]:
        for box in found.get(Path(row["file_name"]).name, []):
            content["annotations"].append(_row(content, row["id"], box, 1))
    return content


def _write(path: Path, content: Coco) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


if __name__ == "__main__":
    main()
