"""The preview shows what the sample says: pixels are looked up in the written picture.

Legend: K boxes. The photograph is 96 x 80 and every view the whole of it, so that boxes are where arithmetic puts them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageColor
from torch.utils.data import default_collate

from adept_training.data.loader import Samples
from adept_training.pretraining.setup import make_samples
from adept_training.pretraining.watch.preview import FILLER, SIDE, _corner, draw_preview, make_panels
from adept_training.proposals.pictures import LEVEL_COLORS
from tests.training.support import RandomBoxes, tiny, tiny_detection, write_photographs

VIEW = 128
PLAIN = (
    f"views.sizes=[{VIEW},{VIEW},64]", "views.flip=0", "views.jitter_prob=0", "views.crop_scale=[1.0,1.0]",
    "views.crop_ratio=[1.2,1.2]", "colors.jitter_prob=0", "colors.gray_prob=0", "colors.blur_prob=[0,0,0]",
    "colors.solarize_prob=[0,0,0]",
)  # fmt: skip
# In V1: 16..48 x 32..64 (32 px: P2), and 60..124 x 56..120 (64 px: P3); in V3, half as large, both on P2.
IN_V1 = [[16, 32, 48, 64], [60, 56, 124, 120]]


class _Known:
    def boxes(self, key: str) -> np.ndarray:
        return (np.array(IN_V1) * np.array([96, 80, 96, 80]) / VIEW).astype(np.float32)


def _samples(tmp_path: Path, *settings: str) -> tuple[Samples, Any]:
    recipe = tiny(*PLAIN, *settings)
    source = write_photographs(tmp_path / "photos", 2)
    return Samples(source, _Known(), tuple(source.keys()), recipe.views, recipe.colors, 0), recipe


def _is(pixel: tuple[int, ...], color: str) -> bool:
    return pixel == ImageColor.getrgb(color)


@pytest.mark.parametrize("flip", [0, 1])
def test_boxes_are_drawn_where_they_are_in_the_color_of_their_level(flip: int, tmp_path: Path) -> None:
    samples, recipe = _samples(tmp_path, f"views.flip={flip}")
    draw_preview(samples, [(0, 0), (0, 1)], recipe, tmp_path / "preview.png")
    picture = Image.open(tmp_path / "preview.png").convert("RGB")
    scale = SIDE / VIEW
    for column, levels in ((0, (0, 1)), (1, (0, 1)), (2, (0, 0))):
        for row in (0, 1):
            left, top = _corner(column, row)
            for (x1, y1, x2, y2), level in zip(IN_V1, levels, strict=True):
                if flip:
                    x1, x2 = VIEW - x2, VIEW - x1
                middle = top + round((y1 + y2) / 2 * scale)
                across = left + round((x1 + x2) / 2 * scale)
                # The line is three pixels wide, inwards: its middle one, and the places before and behind it.
                for x, inwards in ((left + round(x1 * scale), 1), (left + round(x2 * scale) - 1, -1)):
                    seen = [picture.getpixel((x + at * inwards, middle)) for at in (-3, 1, 5)]
                    assert [_is(pixel, LEVEL_COLORS[level]) for pixel in seen] == [False, True, False], (column, x)
                for y, inwards in ((top + round(y1 * scale), 1), (top + round(y2 * scale) - 1, -1)):
                    seen = [picture.getpixel((across, y + at * inwards)) for at in (-3, 1, 5)]
                    assert [_is(pixel, LEVEL_COLORS[level]) for pixel in seen] == [False, True, False], (column, y)


def test_pixels_are_those_of_the_view(tmp_path: Path) -> None:
    """Undoing the network's normalization gives the photograph back, to half a gray value's rounding."""
    samples, recipe = _samples(tmp_path)
    sample = samples[0, 0]
    for panel, view in zip(make_panels(default_collate([sample]), recipe), sample.views, strict=False):
        np.testing.assert_allclose(panel.pixels_HWC.astype(int), np.asarray(view.pixels_NHWC, int), atol=1)


def test_a_box_has_one_number_in_all_views_and_fillers_have_none(tmp_path: Path) -> None:
    samples, recipe = _samples(tmp_path)
    panels = make_panels(default_collate([samples[0, 0]]), recipe)
    assert [panel.title.partition(",")[0] for panel in panels] == ["V1", "V2", "V3", "V1"]
    for panel, scale in zip(panels[:3], (1, 1, 0.5), strict=True):
        assert panel.names[:2] == ["", ""], "two boxes of four are fillers, drawn first"
        assert panel.colors[:2] == [FILLER, FILLER]
        where = dict(zip(panel.names[2:], panel.boxes_K4[2:].tolist(), strict=True))
        assert where == {
            "1": pytest.approx([v * scale for v in IN_V1[0]]), "2": pytest.approx([v * scale for v in IN_V1[1]])
        }  # fmt: skip


def test_positive_anchors_by_looking_at_every_anchor(tmp_path: Path) -> None:
    samples, recipe = _samples(tmp_path)
    panel = make_panels(default_collate([samples[0, 0]]), recipe)[3]
    overlaps: list[tuple[int, list[float], list[float]]] = []
    for level, stride in enumerate((4, 8, 16, 32)):
        for row in range(VIEW // stride):
            for column in range(VIEW // stride):
                for ratio in (0.5, 1.0, 2.0):
                    w, h = 6 * stride / ratio**0.5, 6 * stride * ratio**0.5
                    x, y = column * stride, row * stride
                    anchor = [x - w / 2, y - h / 2, x + w / 2, y + h / 2]
                    overlaps.append((level, anchor, [_iou(anchor, box) for box in IN_V1]))
    best = [max(iou[i] for _, _, iou in overlaps) for i in range(2)]
    wanted = [
        (LEVEL_COLORS[level], anchor)
        for level, anchor, iou in overlaps
        if max(iou) >= 0.7 or any(abs(iou[i] - best[i]) < 1e-6 for i in range(2))
    ]
    assert len({color for color, _ in wanted}) == 2, "anchors of two levels, or it tells little"
    count = len(wanted)
    assert panel.colors == [color for color, _ in wanted] + [FILLER, FILLER]
    np.testing.assert_allclose(panel.boxes_K4[:count], [anchor for _, anchor in wanted], atol=1e-4)
    assert sorted(panel.boxes_K4[count:].tolist()) == IN_V1
    first = sum(color == LEVEL_COLORS[0] for color, _ in wanted)
    assert f"{first} on P2" in panel.title


@pytest.mark.parametrize(
    ("settings", "titles"),
    [
        (["method.name=soco", "views.box_sets=separate"], ["V1 with V2", "V1 with V3", "V2", "V3"]),
        (["method.name=byol"], ["V1", "V2", "V3"]),
        (["method.name=adept_separate", "method.rpn.views=all"], ["V1", "V2", "V3"]),
    ],
)
def test_what_other_methods_are_shown(settings: list[str], titles: list[str], tmp_path: Path) -> None:
    samples, recipe = _samples(tmp_path, *settings)
    panels = make_panels(default_collate([samples[0, 0]]), recipe)
    assert [panel.title.partition(",")[0] for panel in panels] == titles
    assert all("positive anchors" in panel.title for panel in panels) == (recipe.method.name == "adept_separate")
    assert all(len(panel.boxes_K4) == 0 for panel in panels) == (recipe.method.name == "byol")


def test_detection_shows_one_view_and_its_anchors(tmp_path: Path) -> None:
    source, recipe = write_photographs(tmp_path / "photographs", 2), tiny_detection("views.boxes=5")
    samples = make_samples(recipe, source, RandomBoxes(), source.keys(), None)
    sample = samples[0, 1]
    view, anchors = make_panels(default_collate([sample]), recipe)
    real_K = sample.objects.real_NK
    assert view.title == "view, 64 px"
    assert view.pixels_HWC.shape == (64, 64, 3)
    assert view.boxes_K4.tolist() == sample.objects.boxes_NK4[real_K].tolist()
    assert view.names == [str(rank + 1) for rank in np.flatnonzero(real_K)]
    assert anchors.title.startswith("view, positive anchors")
    assert anchors.boxes_K4[-len(view.boxes_K4) :].tolist() == view.boxes_K4.tolist()


def _iou(a: list[float], b: list[int]) -> float:
    w, h = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    both = max(w, 0) * max(h, 0)
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)
