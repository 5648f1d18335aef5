"""Draw objects and detections on images, as small JPEGs."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from adept_hub.detectors.detections import Detections
from adept_hub.errors import ImageDecodeError
from adept_training.labels.pixels import read_pixels
from adept_training.labels.records import Floats, LabeledImage
from adept_training.metrics.report.labels import place_labels

#: Okabe and Ito's green, blue and vermilion. Objects are dashed, so that they differ without color.
TRUTH, FOUND, WRONG = (0, 158, 115), (0, 114, 178), (213, 94, 0)
_DASH = 5
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
    scaled = [tuple(float(v) * scale for v in box) for box, _, _ in marks]
    for (x1, y1, x2, y2), (_, color, _) in zip(scaled, marks, strict=True):
        outline = (x1, y1, max(x2 - 1, x1), max(y2 - 1, y1))
        if color == TRUTH:
            _dashed(draw, outline)
        else:
            draw.rectangle(outline, outline=color, width=2)
    named = [(box, color, text) for box, (_, color, text) in zip(scaled, marks, strict=True) if text]
    sizes = [(draw.textlength(text, font=font) + 4, 14.0) for _, _, text in named]
    corners = place_labels([(x1, y1, x2, y2) for (x1, y1, x2, y2), _, _ in named], sizes, size)
    for (_, color, text), (width, tall), corner in zip(named, sizes, corners, strict=True):
        if corner is not None:
            x, y = corner
            draw.rectangle((x, y, x + width - 1, y + tall - 1), fill=color)
            draw.text((x + 2, y), text, fill=(255, 255, 255), font=font)
    buffer = io.BytesIO()
    picture.save(buffer, format="JPEG", quality=82)
    return buffer.getvalue()


def _dashed(draw: ImageDraw.ImageDraw, outline: tuple[float, float, float, float]) -> None:
    """Outline an object in white and green dashes, which no image hides."""
    x1, y1, x2, y2 = outline
    draw.rectangle(outline, outline=(255, 255, 255), width=2)
    for start in range(0, int(max(x2 - x1, y2 - y1)) + 1, 2 * _DASH):
        right, bottom = min(x1 + start + _DASH, x2), min(y1 + start + _DASH, y2)
        if x1 + start <= x2:
            draw.rectangle((x1 + start, y1, right, y1 + 1), fill=TRUTH)
            draw.rectangle((x1 + start, y2 - 1, right, y2), fill=TRUTH)
        if y1 + start <= y2:
            draw.rectangle((x1, y1 + start, x1 + 1, bottom), fill=TRUTH)
            draw.rectangle((x2 - 1, y1 + start, x2, bottom), fill=TRUTH)


def truth_and_found(image: LabeledImage, found: Detections, classes: Sequence[str], score: float) -> list[Mark]:
    """Return objects, and detections of at least ``score`` in blue with class and score."""
    marks: list[Mark] = [(box, TRUTH, "") for box in image.boxes_M4]
    for d in np.flatnonzero(found.scores_D >= score)[::-1]:
        text = f"{classes[int(found.labels_D[d]) - 1]} {found.scores_D[d]:.2f}"
        marks.append((found.boxes_D4[d], FOUND, text))
    return marks
