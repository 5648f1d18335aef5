"""Write COCO's JSON, one file per split."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from adept_training.converting.losses import Losses
from adept_training.labels.identity import ImageKey, Part
from adept_training.labels.records import Data, Split
from adept_training.metrics.coco_files import as_coco_annotations


def write_coco(folder: Path, data: Data, names: Mapping[Path, str], losses: Losses) -> None:
    """Write ``ROLE.json`` for each split.

    The ids of images and categories are those of a COCO data set. Other data sets, and joined files that repeat an id,
    are numbered from 1 on.

    Args:
        folder: the folder.
        data: the data set.
        names: ``file_name`` by the path of an image.
        losses: what the format cannot express is added here.
    """
    parts = [part for split in data.splits() for part in split.parts]
    is_coco = all(part.source.startswith("coco:") for part in parts)
    ids_kept = is_coco and not any(split.apart for split in data.splits())
    numbers: dict[Path, int] = {}
    for role, split in data.roles().items():
        images = []
        for image in split.images:
            number = numbers.setdefault(image.path, len(numbers) + 1)
            key = ImageKey(1, image.key.id if ids_kept else number)
            images.append(replace(image, key=key, file_name=names[image.path]))
            losses.add("difficult objects become ordinary ones", int(image.difficult_M.sum()))
        categories = split.parts[0].category_ids if ids_kept else tuple(range(1, len(split.classes) + 1))
        whole = Split(role, tuple(images), split.classes, (Part(1, "", folder, categories),))
        (folder / f"{role}.json").write_text(json.dumps(as_coco_annotations(whole)) + "\n", encoding="utf-8")
    if not ids_kept:
        why = "because joined files repeat some" if is_coco else "and file_name has the names"
        losses.say(f"image ids are numbers from 1 on, {why}")
    if not ids_kept and any(part.category_ids != tuple(range(1, len(data.classes) + 1)) for part in parts):
        losses.say("category ids count from 1, in the order of the classes")
