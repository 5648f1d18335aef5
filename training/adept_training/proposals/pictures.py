"""Draw proposals: an image with the boxes that were kept, next to those that the filter dropped."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from adept_hub.errors import ProposalsError
from adept_training.images import ImageSource, content_hash, decode
from adept_training.proposals.measure import in_view
from adept_training.proposals.search.boxes import Boxes, first_of_each
from adept_training.proposals.search.presets import Preset
from adept_training.proposals.selective import selective_search
from adept_training.proposals.table.store import ProposalTable

# The level of a box in the contrastive loss, in the resized 224 x 224 view: by sqrt(w h) up to 48, 96, 192 pixels.
LEVEL_LIMITS = (48, 96, 192)
LEVEL_COLORS = ("#e8384f", "#fd9a00", "#20aa63", "#4186e0")
_DROPPED = "#ffffff"
_SIDE = 420  # pixels of the longer side of each of the two panels


def draw(table: ProposalTable, images: ImageSource, key: str, preset: Preset) -> tuple[Image.Image, int, int]:
    """Draw an image; return the picture, and how many different boxes were kept and dropped.

    Raises:
        ProposalsError: the image is not the one that the boxes were computed on.
    """
    content = images.read(key)
    if content_hash(content) != table.sha256(key):
        raise ProposalsError(
            f"{key} is not the image that {table.folder} was made from: its content differs.\n"
            "Give the same --images as to adept proposals, or make the proposals again."
        )
    image = decode(content, key)
    kept = first_of_each(np.array(table.boxes(key)))
    known = {tuple(box) for box in kept.tolist()}
    every = first_of_each(selective_search(image, preset))
    dropped = np.array([box for box in every.tolist() if tuple(box) not in known], np.float32).reshape(-1, 4)
    left = panel(image, kept, [LEVEL_COLORS[level] for level in levels_of(kept, table.size(key))], 3)
    right = panel(image // 2, dropped, [_DROPPED] * len(dropped), 1)
    picture = Image.new("RGB", (left.width + right.width + 8, left.height), "white")
    picture.paste(left, (0, 0))
    picture.paste(right, (left.width + 8, 0))
    return picture, len(kept), len(dropped)


def levels_of(boxes_N4: Boxes, size: tuple[int, int]) -> list[int]:
    """Return 0..3 for P2..P5."""
    view_N4 = in_view(boxes_N4, size)
    side_N = np.sqrt((view_N4[:, 2:] - view_N4[:, :2]).prod(axis=1))
    return [int(level) for level in np.searchsorted(LEVEL_LIMITS, side_N)]


def panel(
    image: npt.NDArray[np.uint8], boxes_N4: Boxes, colors: list[str], line: int, side: int = _SIDE
) -> Image.Image:
    """Draw the image, ``side`` pixels on its longer side, with outlined boxes in its own pixels, small ones on top."""
    height, width = image.shape[:2]
    scale = side / max(height, width)
    drawn = Image.fromarray(image).resize(
        (max(1, round(width * scale)), max(1, round(height * scale))), Image.Resampling.LANCZOS
    )
    pen = ImageDraw.Draw(drawn)
    areas = (boxes_N4[:, 2:] - boxes_N4[:, :2]).prod(axis=1)
    for i in np.argsort(-areas, kind="stable"):  # small boxes stay visible on large ones
        x1, y1, x2, y2 = (float(v) * scale for v in boxes_N4[i])
        x2, y2 = max(x1, min(x2, drawn.width) - 1), max(y1, min(y2, drawn.height) - 1)
        pen.rectangle((x1, y1, x2, y2), outline=colors[i], width=line)
    return drawn
