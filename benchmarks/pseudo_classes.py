"""Pseudo-classes of a COCO file's boxes, as pre-training makes them: clusters in place of its own categories."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np

from adept_training.method.pseudo_classes.clusters import fit_clusters
from adept_training.method.pseudo_classes.describe import FEATURES, describe_boxes


def pseudo_classes(content: dict[str, Any], images: Path, classes: int, seed: int) -> dict[str, Any]:
    """Return the COCO content with ``classes`` categories in place of its own."""
    features_BD = _describe_all(content, images)
    labels_B = fit_clusters(features_BD, classes, seed).assign(features_BD)
    categories = [{"id": k + 1, "name": f"cluster{k + 1}"} for k in range(classes)]
    annotations = [
        {**row, "category_id": int(label) + 1} for row, label in zip(content["annotations"], labels_B, strict=True)
    ]
    return {**content, "categories": categories, "annotations": annotations}


def _describe_all(content: dict[str, Any], images: Path) -> np.ndarray[Any, np.dtype[np.float32]]:
    by_image: dict[int, list[int]] = {}
    for place, row in enumerate(content["annotations"]):
        by_image.setdefault(row["image_id"], []).append(place)
    features_BD = np.zeros((len(content["annotations"]), FEATURES), np.float32)
    for image in content["images"]:
        if not (places := by_image.get(image["id"], [])):
            continue
        pixels = cv2.cvtColor(cv2.imread(str(images / image["file_name"])), cv2.COLOR_BGR2RGB)
        corner_size = np.array([content["annotations"][place]["bbox"] for place in places], np.float32)
        boxes_M4 = np.concatenate([corner_size[:, :2], corner_size[:, :2] + corner_size[:, 2:]], axis=1)
        features_BD[places] = describe_boxes(pixels, boxes_M4, (image["width"], image["height"]))
    return features_BD
