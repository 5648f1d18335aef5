"""Write YOLO's label files in Ultralytics' layout: ``images/ROLE``, ``labels/ROLE`` and ``data.yaml``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from adept_training.converting.losses import Losses
from adept_training.labels.formats.yolo_set import label_path
from adept_training.labels.records import Data, LabeledImage

#: Share of a side that six decimals can express.
_SMALLEST = 1e-6


def write_yolo(folder: Path, data: Data, names: Mapping[Path, str], losses: Losses) -> None:
    """Write the labels; an image without objects gets an empty file.

    A split with masks gets polygons, several of an object joined to one, and boxes where a mask is not a polygon.

    Args:
        folder: the folder; an image belongs to ``images/ROLE/NAME`` (`yolo_images`).
        data: the data set.
        names: paths below ``images/ROLE`` by the path of an image.
        losses: what the format cannot express is added here.
    """
    for role in data.roles():
        (folder / "images" / role).mkdir(parents=True)
    for target, image in yolo_images(folder, data, names).items():
        path = label_path(target)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(_lines(image, losses)), encoding="utf-8")
    content: dict[str, Any] = {role: f"images/{role}" for role in data.roles()}
    content["names"] = dict(enumerate(data.classes))
    (folder / "data.yaml").write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True), encoding="utf-8")


def yolo_images(folder: Path, data: Data, names: Mapping[Path, str]) -> dict[Path, LabeledImage]:
    """Return the images of a converted data set by their new paths, ``images/ROLE/NAME``."""
    images: dict[Path, LabeledImage] = {}
    for role, split in data.roles().items():
        # ROLE is not repeated: an image of a YOLO data set keeps its path.
        repeated = all(names[image.path].startswith(f"{role}/") for image in split.images)
        for image in split.images:
            name = names[image.path]
            images[folder / "images" / role / (name.removeprefix(f"{role}/") if repeated else name)] = image
    return images


def _lines(image: LabeledImage, losses: Losses) -> list[str]:
    losses.add("crowd regions are left out", int(image.crowd_M.sum()))
    losses.add("difficult objects become ordinary ones", int((image.difficult_M & ~image.crowd_M).sum()))
    lines = []
    for m in range(len(image)):
        if image.crowd_M[m]:
            continue
        box = image.boxes_M4[m].tolist()
        mask = None if image.masks is None else image.masks[m]
        if isinstance(mask, list):
            if len(mask) > 1:
                losses.add("objects of several polygons become one polygon, joined by lines without width")
            polygon = joined(mask)
            enclosing = (min(polygon[::2]), min(polygon[1::2]), max(polygon[::2]), max(polygon[1::2]))
            if max(abs(a - b) for a, b in zip(enclosing, box, strict=True)) > 0.5:
                losses.add("boxes that differ from their polygon's by more than half a pixel become the polygon's")
            shares = [v / (image.height if at % 2 else image.width) for at, v in enumerate(polygon)]
        else:
            if mask is not None:
                losses.add("masks that are not polygons (RLE) become boxes")
            x1, y1, x2, y2 = box
            center = (x1 + x2) / 2 / image.width, (y1 + y2) / 2 / image.height
            shares = [*center, max((x2 - x1) / image.width, _SMALLEST), max((y2 - y1) / image.height, _SMALLEST)]
        rounded = [f"{share:.6f}" for share in shares]
        side = max(image.width, image.height)
        losses.moved(*(side * (float(text) - share) for text, share in zip(rounded, shares, strict=True)))
        lines.append(f"{int(image.labels_M[m]) - 1} {' '.join(rounded)}\n")
    return lines


def joined(polygons: list[list[float]]) -> list[float]:
    """Return one outline around several polygons: each in turn, and back over their first corners.

    Between them the outline runs to and fro on one line, so that its area is the sum of theirs.
    """
    outline = [value for one in polygons for value in (one if len(polygons) == 1 else [*one, *one[:2]])]
    for one in reversed(polygons[1:-1]):
        outline += one[:2]
    return outline
