"""Place the labels of boxes so that they neither overlap each other nor leave the image."""

from __future__ import annotations

from collections.abc import Sequence

#: Pixels between two labels, and between the positions that are tried if none next to the box is free.
_GAP, _STEP = 1.0, 6

Rectangle = tuple[float, float, float, float]


def place_labels(
    boxes: Sequence[Rectangle], sizes: Sequence[tuple[float, float]], image: tuple[int, int]
) -> list[tuple[float, float] | None]:
    """Return the left upper corner of each label, first come first served; None if there is no space left.

    A label goes above its box, else below, inside at the top or at the bottom, left- or right-aligned, else to the
    free position that is nearest to the box.

    Args:
        boxes: xyxy in pixels of the image.
        sizes: width and height of each label.
        image: width and height of the image.
    """
    placed: list[Rectangle] = []
    corners: list[tuple[float, float] | None] = []
    for box, size in zip(boxes, sizes, strict=True):
        corner = _place(box, size, image, placed)
        corners.append(corner)
        if corner is not None:
            placed.append((*corner, corner[0] + size[0], corner[1] + size[1]))
    return corners


def _place(
    box: Rectangle, size: tuple[float, float], image: tuple[int, int], placed: Sequence[Rectangle]
) -> tuple[float, float] | None:
    (x1, y1, x2, y2), (width, height) = box, size
    most_x, most_y = image[0] - width, image[1] - height
    if most_x < 0 or most_y < 0:
        return None

    def is_free(x: float, y: float) -> bool:
        return 0 <= x <= most_x and 0 <= y <= most_y and not any(
            x < right + _GAP and left < x + width + _GAP and y < bottom + _GAP and top < y + height + _GAP
            for left, top, right, bottom in placed
        )  # fmt: skip

    rows = (y1 - height, y2, y1, y2 - height)
    columns = (min(max(x1, 0), most_x), min(max(x2 - width, 0), most_x))
    near = [(x, y) for y in rows for x in columns]
    if found := next((corner for corner in near if is_free(*corner)), None):
        return found
    grid = ((float(x), float(y)) for x in range(0, int(most_x) + 1, _STEP) for y in range(0, int(most_y) + 1, _STEP))
    free = [corner for corner in grid if is_free(*corner)]
    return min(free, key=lambda corner: (corner[0] - x1) ** 2 + (corner[1] - y1 + height) ** 2, default=None)
