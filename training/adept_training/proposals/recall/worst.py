"""Draw the images whose objects the boxes cover worst: green what is covered, red what is missed, white the boxes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from adept_hub.images.decode import decode
from adept_hub.images.files import read_file
from adept_hub.io.write import atomic_file
from adept_training.proposals.pictures import panel
from adept_training.proposals.recall.evaluate import Judged, best_overlaps, counted

COVERED, MISSED, _BOX = "#20aa63", "#e8384f", "#ffffff"
_SIDE, _GAP = 300, 6  # pixels of the longer side of a picture, and between pictures


def worst_images(judged: Sequence[Judged], limit: int, count: int) -> list[Judged]:
    """Return the images with the smallest share of objects covered at IoU 0.5, the most missed objects first."""

    def badness(one: Judged) -> tuple[float, int]:
        covered_M = best_overlaps(one.image, one.boxes[:limit]) >= 0.5
        return float(covered_M.mean()), -int((~covered_M).sum())

    return sorted((one for one in judged if counted(one.image).any()), key=badness)[:count]


def write_sheet(judged: Sequence[Judged], path: Path, *, limit: int = 50, count: int = 12) -> None:
    """Write the worst images as one PNG. Raises ImageDecodeError or DiskFullError."""
    drawn = [_draw(one, limit) for one in worst_images(judged, limit, count)]
    columns = max(1, min(4, len(drawn)))
    rows = math.ceil(len(drawn) / columns)
    sheet = Image.new("RGB", (columns * (_SIDE + _GAP), max(1, rows) * (_SIDE + _GAP)), "#222222")
    for i, picture in enumerate(drawn):
        sheet.paste(picture, ((i % columns) * (_SIDE + _GAP), (i // columns) * (_SIDE + _GAP)))
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as temporary:
        sheet.save(temporary, format="PNG")


def _draw(one: Judged, limit: int) -> Image.Image:
    image = decode(read_file(one.image.path, one.image.file_name), one.image.file_name)
    overlap_M = best_overlaps(one.image, one.boxes[:limit])
    objects_M4 = one.image.boxes_M4[counted(one.image)].astype(np.float32)
    scale = _SIDE / max(image.shape[:2])
    boxes = panel(image, one.boxes[:limit], [_BOX] * len(one.boxes[:limit]), 1, _SIDE)
    colors = [COVERED if overlap >= 0.5 else MISSED for overlap in overlap_M.tolist()]
    return panel(np.asarray(boxes), objects_M4 * np.float32(scale), colors, 3, _SIDE)
