"""Pictures of boxes: the box is where it should be, and a sheet holds every panel."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from adept_training.demo.draw import ImagePanel, draw_sheet


def _panel(boxes: list[list[float]], gray: int = 128) -> ImagePanel:
    image = np.full((100, 150, 3), gray, dtype=np.uint8)
    return ImagePanel("title", "caption", image, np.array(boxes, dtype=np.float32).reshape(-1, 4))


def _colored(path: Path, gray: int = 128) -> tuple[int, int, int, int]:
    """Extent of what is colored (neither paper, ink nor the gray photograph), in pixels of the sheet."""
    pixels = np.asarray(Image.open(path).convert("RGB")).astype(int)
    spread = pixels.max(axis=2) - pixels.min(axis=2)
    rows, columns = np.where(spread > 60)
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


def test_a_box_is_drawn_to_scale(tmp_path: Path) -> None:
    empty, boxed = tmp_path / "empty.png", tmp_path / "boxed.png"
    draw_sheet("heading", [_panel([])], empty, panel_height=200)
    draw_sheet("heading", [_panel([[30, 20, 90, 80]])], boxed, panel_height=200)
    sheet = np.asarray(Image.open(empty).convert("RGB")).astype(int)
    photograph = np.argwhere((sheet == 128).all(axis=2))
    top, left = photograph.min(axis=0)
    x1, y1, x2, y2 = _colored(boxed)
    scale = 400 / 100  # a panel of 200 points is drawn at twice that many pixels
    expected = (left + 30 * scale, top + 20 * scale, left + 90 * scale, top + 80 * scale)
    np.testing.assert_allclose((x1, y1, x2, y2), expected, atol=1.5)


def test_panels_stand_side_by_side(tmp_path: Path) -> None:
    one, two = tmp_path / "one.png", tmp_path / "two.png"
    draw_sheet("heading", [_panel([])], one, panel_height=100)
    draw_sheet("heading", [_panel([]), _panel([])], two, panel_height=100)
    wide, narrow = Image.open(two), Image.open(one)
    assert wide.height == narrow.height
    assert wide.width - narrow.width > 300
