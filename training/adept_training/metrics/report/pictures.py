"""Draw objects and detections on images, as small JPEGs."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from adept_hub.errors import ImageDecodeError
from adept_training.labels.pixels import read_pixels
from adept_training.labels.records import Floats, LabeledImage
from adept_training.metrics.detections import Detections

TRUTH, FOUND, WRONG = (46, 160, 67), (9, 105, 218), (207, 34, 46)
_HEIGHT = 320

#: A box xyxy in pixels of the image, its color and the label above it.
Mark = tuple[Floats, tuple[int, int, int], str]


def draw_image(image: LabeledImage, marks: Sequence[Mark], height: int = _HEIGHT) -> bytes | None:
    """Draw boxes on an image as a JPEG of this height in pixels; return None if it cannot be read."""
    try:
        pixels_HWC = read_pixels(image)
    except ImageDecodeError:
        return None
    scale = height / pixels_HWC.shape[0]
    size = (max(round(pixels_HWC.shape[1] * scale), 1), height)
    picture = Image.fromarray(pixels_HWC).resize(size, Image.Resampling.LANCZOS)
    draw = ImageDraw.Draw(picture)
    font = ImageFont.load_default(11)
    for box, color, text in marks:
        x1, y1, x2, y2 = (float(v) * scale for v in box)
        draw.rectangle((x1, y1, max(x2 - 1, x1), max(y2 - 1, y1)), outline=color, width=2)
        if text:
            left, top, right, bottom = draw.textbbox((x1 + 2, max(y1 - 13, 0)), text, font=font)
            draw.rectangle((left - 2, top - 1, right + 2, bottom + 1), fill=color)
            draw.text((x1 + 2, max(y1 - 13, 0)), text, fill=(255, 255, 255), font=font)
    buffer = io.BytesIO()
    picture.save(buffer, format="JPEG", quality=82)
    return buffer.getvalue()


def truth_and_found(image: LabeledImage, found: Detections, classes: Sequence[str], score: float) -> list[Mark]:
    """Return objects in green, and detections of at least ``score`` in blue with class and score."""
    marks: list[Mark] = [(box, TRUTH, "") for box in image.boxes_M4]
    for d in np.flatnonzero(found.scores_D >= score)[::-1]:
        text = f"{classes[int(found.labels_D[d]) - 1]} {found.scores_D[d]:.2f}"
        marks.append((found.boxes_D4[d], FOUND, text))
    return marks
