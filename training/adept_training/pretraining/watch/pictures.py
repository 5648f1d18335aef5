"""Store the RPN's best proposals on a few held-out images at every probe, to compare before and after.

Legend: N images, M boxes, R proposals. Boxes are xyxy in pixels of V1.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from torch import Tensor

from adept_hub.errors import ImageDecodeError
from adept_hub.io.write import atomic_file
from adept_training.images import decode, read_file
from adept_training.pretraining.watch.probe import HeldOut

_log = logging.getLogger(__name__)

COUNT, TOP = 4, 6
SHEET = "held_out.png"


@dataclass(frozen=True)
class Watched:
    """The images, uint8 (N, S, S, 3), with selective search's boxes, and proposals by step."""

    pixels_NSS3: np.ndarray
    boxes_N: list[list[list[float]]]
    proposals: dict[int, list[list[list[float]]]]


def first_few(held: HeldOut) -> HeldOut:
    """Return the images to watch."""
    return HeldOut(held.pixels_NHWC[:COUNT], held.boxes_M4[:COUNT])


def write_sheet(held: HeldOut, path: Path) -> None:
    """Write the images side by side as a PNG.

    Raises:
        DiskFullError: the file cannot be written.
    """
    with atomic_file(path) as temporary:
        Image.fromarray(np.concatenate(list(held.pixels_NHWC.numpy()), axis=1)).save(temporary, format="PNG")


def read_picture(path: Path) -> npt.NDArray[np.uint8]:
    """Return the pixels of a picture of the run, uint8 (H, W, 3).

    Raises:
        ImageDecodeError: it is missing, not a regular file, or damaged, such as by a killed process or a full disk.
    """
    return decode(read_file(path, str(path)), str(path))


def as_record(boxes_N: list[Tensor] | tuple[Tensor, ...]) -> list[list[list[float]]]:
    """Convert boxes for a line of the log, to a tenth of a pixel."""
    return [[[round(v, 1) for v in box] for box in boxes.tolist()] for boxes in boxes_N]


def read_watched(folder: Path, records: list[dict[str, Any]]) -> Watched | None:
    """Read the pictures of a run; return None if it trained no RPN or held nothing out."""
    boxes = [record["boxes"] for record in records if record["kind"] == "held_out"]
    if not boxes or not (folder / SHEET).is_file():
        return None
    try:
        pixels = read_picture(folder / SHEET)
        views = np.stack(np.split(pixels, len(boxes[-1]), axis=1))
    except (ImageDecodeError, ValueError) as error:
        _log.warning("%s cannot be shown: %s", folder / SHEET, error)
        return None
    proposals = {
        record["step"]: record["boxes"]
        for record in records
        if record["kind"] == "proposals" and len(record["boxes"]) == len(views)
    }
    return Watched(views, boxes[-1], proposals)
