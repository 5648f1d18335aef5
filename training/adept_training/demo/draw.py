"""Draw boxes on images for display.

Legend: K boxes. Boxes are xyxy in pixels of the image, continuous, right and bottom edges exclusive.
"""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from adept_hub.io.write import atomic_file

_PAPER = (250, 250, 247)
_INK = (32, 33, 36)
_GRAY = (112, 114, 118)
_MARGIN = 18
_SCALE = 2


@dataclass(frozen=True)
class ImagePanel:
    """One image with its boxes, best first. ``fill`` tints each box's inside, most strongly for the first."""

    title: str
    caption: str
    image: np.ndarray
    boxes_K4: np.ndarray


def draw_sheet(heading: str, panels: Sequence[ImagePanel], path: Path, panel_height: int = 380) -> None:
    """Write panels side by side, with a heading, as a PNG.

    Raises:
        DiskFullError: the file cannot be written.
    """
    pictures = [_draw_boxes(panel, panel_height * _SCALE) for panel in panels]
    margin, top, below = _MARGIN * _SCALE, 54 * _SCALE, 50 * _SCALE
    width = sum(p.width for p in pictures) + margin * (len(pictures) + 1)
    sheet = Image.new("RGB", (width, top + panel_height * _SCALE + below + margin // 2), _PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((margin, 16 * _SCALE), heading, fill=_INK, font=_font(19))
    left = margin
    for panel, picture in zip(panels, pictures, strict=True):
        sheet.paste(picture, (left, top))
        base = top + picture.height + 8 * _SCALE
        draw.text((left, base), panel.title, fill=_INK, font=_font(14))
        draw.text((left, base + 20 * _SCALE), panel.caption, fill=_GRAY, font=_font(12))
        left += picture.width + margin
    with atomic_file(path) as temporary:
        sheet.save(temporary, format="PNG")


def _draw_boxes(panel: ImagePanel, height: int) -> Image.Image:
    scale = height / panel.image.shape[0]
    size = (round(panel.image.shape[1] * scale), height)
    picture = Image.fromarray(panel.image).resize(size, Image.Resampling.LANCZOS).convert("RGBA")
    count = len(panel.boxes_K4)
    for rank in reversed(range(count)):
        x1, y1, x2, y2 = (float(v) * scale for v in panel.boxes_K4[rank])
        color = _color(rank, count)
        layer = Image.new("RGBA", picture.size, (0, 0, 0, 0))
        draw = ImageDraw.Draw(layer)
        line = 3 * _SCALE if rank < 3 else 2 * _SCALE
        draw.rounded_rectangle((x1, y1, x2 - 1, y2 - 1), radius=3 * _SCALE, outline=(*color, 235), width=line)
        picture = Image.alpha_composite(picture, layer)
    return picture.convert("RGB")


def _color(rank: int, count: int) -> tuple[int, int, int]:
    """Return a color from warm (first) to cool (last), equally bright."""
    hue = 0.04 + 0.52 * rank / max(count - 1, 1)
    red, green, blue = colorsys.hls_to_rgb(hue, 0.58, 0.95)
    return round(red * 255), round(green * 255), round(blue * 255)


def _font(points: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(points * _SCALE)
