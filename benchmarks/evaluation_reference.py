"""COCO's AP and AR by pycocotools itself, with a dictionary for every box: what the library's values must equal."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from adept_hub.detectors.detections import Detections
from adept_training.labels.records import Split
from adept_training.metrics.detections import Found, object_rle


def reference_metrics(split: Split, found: Found, kind: str = "bbox") -> COCOeval:
    """Run pycocotools to its ``stats`` (fractions, -1 where nothing of that size exists) and tables."""
    truth = _truth(split, kind)
    evaluation = COCOeval(truth, _results(truth, split, found, kind), kind)
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation


def reference_recall(split: Split, proposed: Found, limits: tuple[int, ...] = (1, 10, 100, 1000)) -> list[float]:
    """Class-agnostic average recall in percent at each limit; NaN without objects."""
    truth = _truth(split, "bbox")
    evaluation = COCOeval(truth, _results(truth, split, proposed, "bbox"), "bbox")
    evaluation.params.useCats = 0
    evaluation.params.maxDets = list(limits)
    evaluation.params.areaRng = evaluation.params.areaRng[:1]
    evaluation.params.areaRngLbl = evaluation.params.areaRngLbl[:1]
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation.evaluate()
        evaluation.accumulate()
    recall_TL = evaluation.eval["recall"][:, 0, 0, :]
    return [float("nan") if (column < 0).any() else float(column.mean()) * 100 for column in recall_TL.T]


def _index(dataset: dict[str, Any]) -> COCO:
    coco = COCO()
    coco.dataset = dataset
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints its progress
        coco.createIndex()
    return coco


def _truth(split: Split, kind: str) -> COCO:
    rows: list[dict[str, Any]] = []
    for at, image in enumerate(split.images, start=1):
        for m in range(len(image)):
            x1, y1, x2, y2 = image.boxes_M4[m].tolist()
            row: dict[str, Any] = {
                "id": len(rows) + 1, "image_id": at, "category_id": int(image.labels_M[m]),
                "bbox": [x1, y1, x2 - x1, y2 - y1], "area": float(image.area_M[m]),
                "iscrowd": int(image.crowd_M[m] or image.difficult_M[m]),
            }  # fmt: skip
            if kind == "segm":
                row["segmentation"] = object_rle(image, m)
                row["iscrowd"] |= int(image.masks is None or image.masks[m] is None)
            rows.append(row)
    sizes = [{"id": at, "width": one.width, "height": one.height} for at, one in enumerate(split.images, start=1)]
    names = [{"id": label, "name": name} for label, name in enumerate(split.classes, start=1)]
    return _index({"info": {}, "images": sizes, "annotations": rows, "categories": names})


def _results(truth: COCO, split: Split, found: Found, kind: str) -> COCO:
    rows: list[dict[str, Any]] = []
    for at, image in enumerate(split.images, start=1):
        one = found.get(image.key, Detections.none())
        for d in range(len(one)):
            x1, y1, x2, y2 = one.boxes_D4[d].tolist()
            row: dict[str, Any] = {"image_id": at, "category_id": int(one.labels_D[d]), "score": float(one.scores_D[d])}
            if kind == "bbox":
                row["bbox"] = [x1, y1, x2 - x1, y2 - y1]
            else:
                assert one.masks is not None
                row["segmentation"] = one.masks[d]
            rows.append(row)
    if not rows:  # loadRes cannot take an empty list
        return _index({**truth.dataset, "annotations": []})
    with contextlib.redirect_stdout(io.StringIO()):
        return truth.loadRes(rows)


def percent(stats: np.ndarray) -> np.ndarray:
    """Statistics of pycocotools in percent, NaN for its -1."""
    return np.where(stats < 0, np.nan, stats * 100)
