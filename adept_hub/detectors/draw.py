"""Draw detections on the image itself, at a size that can be read.

Legend: D detections.
"""

from __future__ import annotations

import colorsys
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from adept_hub.detectors.detections import Detections
from adept_hub.detectors.masks import decode_mask

Color = tuple[int, int, int]
_GOLDEN = 0.618034
_LONGEST_LABEL = 30
#: Pixels between pictures side by side, and of the title above each.
_GAP, _TITLE = 8, 22


def class_color(label: int) -> Color:
    """Return the color of a class, counted from 1; neighbors differ in hue by the golden ratio."""
    red, green, blue = colorsys.hsv_to_rgb((0.6 + (label - 1) * _GOLDEN) % 1.0, 0.85, 0.8)
    return round(red * 255), round(green * 255), round(blue * 255)


def rank_color(rank: int, count: int) -> Color:
    """Return the color of a detection among those of one class: from red for the best to blue."""
    red, green, blue = colorsys.hsv_to_rgb(0.66 * rank / max(count - 1, 1), 0.85, 0.8)
    return round(red * 255), round(green * 255), round(blue * 255)


def draw_detections(
    pixels_HW3: npt.NDArray[np.uint8], detections: Detections, classes: Sequence[str], height: int | None = None
) -> Image.Image:
    """Return the image with masks, boxes and labels, the best detections on top.

    Args:
        pixels_HW3: RGB uint8.
        detections: in pixels of the image.
        classes: names of the classes 1, 2, ...; a single class is not written on each box.
        height: of the picture in pixels; by default that of the image.
    """
    scale = 1.0 if height is None else height / pixels_HW3.shape[0]
    picture = Image.fromarray(_tint(pixels_HW3, detections))
    if height is not None:
        picture = picture.resize((max(round(picture.width * scale), 1), height), Image.Resampling.LANCZOS)
    draw, short = ImageDraw.Draw(picture), min(picture.size)
    line, font = max(round(short / 250), 1), ImageFont.load_default(min(max(short / 32, 10.0), 28.0))
    for d in reversed(range(len(detections))):
        label = int(detections.labels_D[d])
        color = class_color(label) if len(classes) > 1 else rank_color(d, len(detections))
        x1, y1, x2, y2 = (float(value) * scale for value in detections.boxes_D4[d])
        draw.rectangle((x1, y1, max(x2 - 1, x1), max(y2 - 1, y1)), outline=color, width=line)
        name = f"{classes[label - 1][:_LONGEST_LABEL]} " if len(classes) > 1 else ""
        _write_label(draw, f"{name}{detections.scores_D[d]:.2f}", (x1, y1), color, font, picture.width)
    return picture


def beside(pictures: Sequence[Image.Image], titles: Sequence[str]) -> Image.Image:
    """Return pictures of one height side by side, each under its title."""
    font = ImageFont.load_default(13)
    width = sum(picture.width for picture in pictures) + _GAP * (len(pictures) - 1)
    sheet, left = Image.new("RGB", (width, pictures[0].height + _TITLE), "white"), 0
    for picture, title in zip(pictures, titles, strict=True):
        sheet.paste(picture, (left, _TITLE))
        shown = title
        while len(shown) > 1 and font.getlength(shown) > picture.width - 4:
            shown = shown[1:]  # the end of a path is more specific
        ImageDraw.Draw(sheet).text((left + 2, 3), shown, fill=(0, 0, 0), font=font)
        left += picture.width + _GAP
    return sheet


def _write_label(
    draw: ImageDraw.ImageDraw,
    text: str,
    corner: tuple[float, float],
    color: Color,
    font: ImageFont.ImageFont | ImageFont.FreeTypeFont,
    width: int,
) -> None:
    """Write a label above its box, or inside where the image ends."""
    left, top, right, bottom = draw.textbbox((0, 0), text, font=font)
    wide, high = right - left + 4, bottom - top + 4
    x = max(min(corner[0], width - wide), 0)
    y = corner[1] - high if corner[1] >= high else corner[1]
    draw.rectangle((x, y, x + wide, y + high), fill=color)
    bright = 0.299 * color[0] + 0.587 * color[1] + 0.114 * color[2] > 125
    draw.text((x + 2 - left, y + 2 - top), text, fill=(0, 0, 0) if bright else (255, 255, 255), font=font)


def _tint(pixels_HW3: npt.NDArray[np.uint8], detections: Detections) -> npt.NDArray[np.uint8]:
    """Mix the color of its class into each mask."""
    if not detections.masks:
        return pixels_HW3
    tinted_HW3 = pixels_HW3.astype(np.float32)
    for label, mask in zip(detections.labels_D[::-1], detections.masks[::-1], strict=True):
        inside_HW = decode_mask(mask).astype(bool)
        tinted_HW3[inside_HW] = 0.6 * tinted_HW3[inside_HW] + 0.4 * np.array(class_color(int(label)), np.float32)
    return tinted_HW3.astype(np.uint8)
