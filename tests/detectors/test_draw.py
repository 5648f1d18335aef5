"""Boxes are drawn where they are, in the image's own pixels or scaled with it."""

from __future__ import annotations

import numpy as np
from pycocotools import mask as mask_api

from adept_hub.detectors.detections import Detections
from adept_hub.detectors.draw import class_color, draw_detections, rank_color
from adept_hub.detectors.image_detections import ImageDetections

GRAY_HW3 = np.full((100, 200, 3), 128, np.uint8)


def one_box(box: list[float], **more: object) -> Detections:
    return Detections(np.array([box]), np.array([0.5]), np.array([2]), **more)  # type: ignore[arg-type]


def test_the_outline_is_inside_the_box_and_the_rest_untouched() -> None:
    picture_HW3 = np.asarray(draw_detections(GRAY_HW3, one_box([40.0, 50.0, 90.0, 81.0]), ("a", "b")))
    changed_HW = (picture_HW3 != GRAY_HW3).any(axis=2)
    rows, columns = np.nonzero(changed_HW[50:])  # the label is above the box
    assert (rows.min() + 50, rows.max() + 50) == (50, 80)
    assert (columns.min(), columns.max()) == (40, 89)
    assert not changed_HW[55:75, 45:85].any()
    np.testing.assert_array_equal(picture_HW3[80, 60], class_color(2))


def test_a_scaled_picture_has_scaled_boxes() -> None:
    picture = draw_detections(GRAY_HW3, one_box([40.0, 50.0, 90.0, 81.0]), ("a", "b"), height=200)
    assert picture.size == (400, 200)
    columns = np.nonzero((np.asarray(picture)[150] != 128).any(axis=1))[0]
    assert (columns.min(), columns.max()) == (80, 179)


def test_masks_are_tinted() -> None:
    inside_HW = np.zeros((100, 200), np.uint8, order="F")
    inside_HW[60:70, 50:60] = 1
    found = one_box([40.0, 50.0, 90.0, 81.0], masks=(dict(mask_api.encode(inside_HW)),))
    picture_HW3 = np.asarray(draw_detections(GRAY_HW3, found, ("a", "b")))
    expected = (0.6 * 128 + 0.4 * np.array(class_color(2))).astype(np.uint8)
    np.testing.assert_array_equal(picture_HW3[65, 55], expected)
    assert (picture_HW3[65, 65] == 128).all()


def test_colors_tell_classes_and_ranks_apart() -> None:
    assert len({class_color(label) for label in range(1, 40)}) == 39
    assert rank_color(0, 12) == (204, 31, 31)
    assert rank_color(11, 12)[2] > rank_color(11, 12)[0]
    assert rank_color(0, 1) == rank_color(0, 12)


def test_a_notebook_shows_the_picture_and_escapes_names() -> None:
    found = one_box([40.0, 50.0, 90.0, 81.0])
    one = ImageDetections(
        found.boxes_D4, found.scores_D, found.labels_D, None, "<a>.png", GRAY_HW3, ("a", "<b>")
    )  # fmt: skip
    assert repr(one) == "<<a>.png: 1 detections: <b> 0.50>"
    shown = one._repr_html_()
    assert shown.startswith('<figure><img src="data:image/jpeg;base64,')
    assert "&lt;&lt;a&gt;.png: 1 detections: &lt;b&gt; 0.50&gt;" in shown
    assert one.plot(50).size == (100, 50)
