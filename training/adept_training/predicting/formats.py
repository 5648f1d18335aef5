"""Detections as COCO JSON, YOLO text and CSV.

Legend: D detections of one image.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

from adept_hub.detectors.image_detections import ImageDetections


def as_coco(results: Sequence[ImageDetections], classes: Sequence[str]) -> dict[str, Any]:
    """Return a COCO data set whose annotations have scores; image and category IDs count from 1."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, one in enumerate(results, start=1):
        height, width = one.size
        images.append({"id": number, "file_name": one.image, "width": width, "height": height})
        for d in range(len(one)):
            x1, y1, x2, y2 = (round(float(value), 3) for value in one.boxes_D4[d])
            bbox = [x1, y1, round(x2 - x1, 3), round(y2 - y1, 3)]
            row: dict[str, Any] = {
                "id": len(annotations) + 1, "image_id": number, "category_id": int(one.labels_D[d]), "bbox": bbox,
                "area": round(bbox[2] * bbox[3], 3), "iscrowd": 0, "score": round(float(one.scores_D[d]), 6),
            }  # fmt: skip
            if one.masks is not None:
                mask = one.masks[d]
                row["segmentation"] = {"size": list(mask["size"]), "counts": mask["counts"].decode("ascii")}
            annotations.append(row)
    categories = [{"id": number, "name": name} for number, name in enumerate(classes, start=1)]
    return {"images": images, "categories": categories, "annotations": annotations}


def as_yolo(one: ImageDetections) -> str:
    """Return a line per detection: class from 0, center x and y, width and height as shares of the image, score."""
    height, width = one.size
    lines = []
    for (x1, y1, x2, y2), label, score in zip(one.boxes_D4, one.labels_D, one.scores_D, strict=True):
        shares = ((x1 + x2) / 2 / width, (y1 + y2) / 2 / height, (x2 - x1) / width, (y2 - y1) / height)
        lines.append(f"{int(label) - 1} {' '.join(f'{share:.6f}' for share in shares)} {score:.6f}\n")
    return "".join(lines)


CSV_HEAD = ("image", "class", "score", "x1", "y1", "x2", "y2")


def csv_rows(one: ImageDetections) -> str:
    """Return a line per detection as in `CSV_HEAD`; boxes xyxy in pixels of the image."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for box, name, score in zip(one.boxes_D4, one.class_names, one.scores_D, strict=True):
        writer.writerow([one.image, name, f"{score:.6f}", *(f"{value:.2f}" for value in box)])
    return text.getvalue()


def csv_head() -> str:
    """Return the first line of the CSV file."""
    return ",".join(CSV_HEAD) + "\n"
