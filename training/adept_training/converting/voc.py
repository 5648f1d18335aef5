"""Write Pascal VOC's folder of XML."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any
from xml.etree import ElementTree

import numpy as np
import yaml

from adept_hub.errors import DataError
from adept_training.converting.losses import Losses
from adept_training.labels.records import Data, LabeledImage


def write_voc(folder: Path, data: Data, names: Mapping[Path, str], losses: Losses) -> str:
    """Write ``Annotations`` and ``ImageSets/Main``; return the file of the folder to read, or "" for the folder.

    Boxes become whole pixels that count from 1, both edges included: (x1, y1, x2, y2) becomes (round(x1) + 1,
    round(y1) + 1, round(x2), round(y2)), at least one pixel. VOC has no list of classes, so that a ``data.yaml``
    of this trainer has them unless they are in alphabetic order.

    Raises:
        DataError: XML cannot contain the name of a class, or an image has other labels in another split.
    """
    for name in data.classes:
        if name != name.strip() or not name.isprintable():
            raise DataError(f"The class {name!r} cannot be written as XML.\nRename it, or choose coco or yolo.")
    used: set[str] = set()
    written: dict[str, bytes] = {}
    (folder / "ImageSets" / "Main").mkdir(parents=True)
    for role, split in data.roles().items():
        stems = [PurePosixPath(names[image.path]).with_suffix("").as_posix() for image in split.images]
        for stem, image in zip(stems, split.images, strict=True):
            path = folder / "Annotations" / f"{stem}.xml"
            path.parent.mkdir(parents=True, exist_ok=True)
            content = _xml(image, names[image.path], split.classes, losses)
            if written.setdefault(stem, content) != content:
                raise DataError(
                    f"{image.path} has different labels in two splits, and VOC has one file per image.\n"
                    "Choose coco or yolo."
                )
            path.write_bytes(content)
            used |= {split.classes[label - 1] for label in image.labels_M}
        text = "".join(f"{stem}\n" for stem in stems)
        (folder / "ImageSets" / "Main" / f"{role}.txt").write_text(text, encoding="utf-8")
    ordered = [name for name in data.classes if name in used]
    losses.add("classes without an object are left out", len(data.classes) - len(ordered))
    if ordered == sorted(ordered):
        return ""
    listed: dict[str, Any] = {role: f"voc:.:{role}" for role in data.roles()} | {"classes": ordered}
    (folder / "data.yaml").write_text(yaml.safe_dump(listed, sort_keys=False, allow_unicode=True), encoding="utf-8")
    return "data.yaml"


def _xml(image: LabeledImage, name: str, classes: tuple[str, ...], losses: Losses) -> bytes:
    root = ElementTree.Element("annotation")
    ElementTree.SubElement(root, "filename").text = PurePosixPath(name).name
    _append(ElementTree.SubElement(root, "size"), {"width": image.width, "height": image.height, "depth": 3})
    for m in range(len(image)):
        one = ElementTree.SubElement(root, "object")
        difficult = bool(image.difficult_M[m] or image.crowd_M[m])
        _append(one, {"name": classes[int(image.labels_M[m]) - 1], "truncated": 0, "difficult": int(difficult)})
        low = [min(_round(v), side - 1) for v, side in zip(image.boxes_M4[m, :2], _sides(image), strict=True)]
        high = [max(_round(v), first + 1) for v, first in zip(image.boxes_M4[m, 2:], low, strict=True)]
        losses.moved(*(np.array([*low, *high]) - image.boxes_M4[m]).tolist())
        corners = {"xmin": low[0] + 1, "ymin": low[1] + 1, "xmax": high[0], "ymax": high[1]}
        _append(ElementTree.SubElement(one, "bndbox"), corners)
    losses.add("crowd regions become difficult objects", int(image.crowd_M.sum()))
    losses.add("masks become boxes", sum(mask is not None for mask in image.masks or ()))
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode").encode() + b"\n"


def _append(element: ElementTree.Element, values: Mapping[str, str | int]) -> None:
    for tag, value in values.items():
        ElementTree.SubElement(element, tag).text = str(value)


def _sides(image: LabeledImage) -> tuple[int, int]:
    return image.width, image.height


def _round(value: float) -> int:
    return math.floor(value + 0.5)
