import re

import numpy as np
import pytest
from PIL import Image

from adept_hub.errors import ProposalsError
from adept_hub.models.anchors import ExactAnchorGenerator
from adept_training.proposals import ProposalTable, get_preset, run_proposals
from adept_training.proposals.measure import anchors, box_iou, in_view, match_anchors, measure
from adept_training.proposals.pictures import draw, levels_of
from adept_training.proposals.search.presets import PRESETS, preset_from_dict
from adept_training.proposals.show import show
from tests.training.proposals.photographs import skimage_photographs


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder of six photographs and its table."""
    folder = tmp_path_factory.mktemp("shown")
    (folder / "photos").mkdir()
    for name in ("astronaut", "coffee", "chelsea", "rocket", "cells", "page"):
        Image.fromarray(skimage_photographs()[name]).save(folder / "photos" / f"{name}.png")
    (folder / "photos/<b>&.png").write_bytes(b"broken")
    run_proposals(folder / "photos", folder / "table", workers=1)
    return folder


def test_anchors_are_the_detectors():
    theirs = ExactAnchorGenerator((24.0, 48.0, 96.0, 192.0), (0.5, 1.0, 2.0), (4, 8, 16, 32))
    grids = [[224 // stride] * 2 for stride in (4, 8, 16, 32)]
    mine = anchors()
    assert sum(map(len, mine)) == 12495
    for level, expected in zip(mine, theirs.grid_anchors(grids, []), strict=True):
        assert np.abs(level - expected.numpy()).max() < 1e-4


def test_iou_by_hand():
    a = np.array([[0.0, 0, 4, 4], [10, 10, 12, 12]])
    b = np.array([[2.0, 0, 6, 4], [0, 0, 4, 4], [5, 5, 5, 5]])
    assert box_iou(a, b).tolist() == [[pytest.approx(8 / 24), 1.0, 0.0], [0.0, 0.0, 0.0]]


def test_boxes_are_squashed_into_the_view():
    assert np.allclose(in_view(np.array([[10.0, 20, 50, 100]]), (100, 200)), [[22.4, 22.4, 112, 112]])


def test_positives_by_hand():
    """A box that is an anchor of P4: itself, and the same anchor one place (16 px) away, at IoU 80/112 = 0.714."""
    on_an_anchor = np.array([[112.0 - 48, 112 - 48, 112 + 48, 112 + 48]])
    levels, matched = match_anchors([on_an_anchor, np.empty((0, 4))])
    by_name = {level.name: level for level in levels}
    assert by_name["P4"].positives == 5 / 2  # over two images
    assert [by_name[name].positives for name in ("P2", "P3", "P5")] == [0, 0, 0]
    assert by_name["P4"].best == 0
    assert matched == 1
    # 40 x 40: between the anchors of P2 (24) and P3 (48); best is P3's, below 0.7: (40/48)^2 = 0.694
    levels, matched = match_anchors([np.array([[92.0, 92, 132, 132]])])
    assert [level.positives for level in levels] == [0, 0, 0, 0]
    assert [level.best for level in levels] == [0, 1, 0, 0]
    assert matched == 0


def test_statistics_are_those_of_the_table(made):
    table = ProposalTable.open(made / "table")
    found = measure(table)
    regular = [key for key in table if not table.fallback(key)]
    assert found.images == 6
    assert found.fallbacks == 6 - len(regular)
    assert found.counts.tolist() == [len(table.boxes(key)) for key in table]
    assert len(found.scales) == sum(len(table.boxes(key)) for key in regular)
    assert found.scales.min() >= 0.3
    assert found.scales.max() <= 0.8
    assert np.allclose(found.view_sizes, found.scales * 224)
    assert measure(table, most=2).images == 2


def test_the_report_stands_alone_and_warns(made):
    shown = show(made / "table", made / "photos", made / "look", samples=3)
    page = shown.report.read_text()
    assert not re.search(r'(src|href)="(?!data:|#)', page)
    assert "P2, P3 would get almost no positive anchors" in page
    assert page.count("data:image/jpeg;base64,") == 3
    assert page.count("<svg") == 4
    assert re.search(r"unreadable</th>.*<td>1</td></tr></tbody>", page)
    for path in shown.pictures:
        with Image.open(path) as picture:
            assert picture.width > 600


def test_kept_boxes_are_drawn_in_the_color_of_their_level(made):
    from adept_training.images import open_images

    table = ProposalTable.open(made / "table")
    picture, kept, dropped = draw(table, open_images(made / "photos"), "astronaut.png", get_preset("paper"))
    unique = np.unique(table.boxes("astronaut.png"), axis=0)
    assert kept == len(unique)
    assert dropped > kept
    used = {color for _, color in picture.getcolors(1 << 24)}
    wanted = {(0xE8, 0x38, 0x4F), (0xFD, 0x9A, 0x00), (0x20, 0xAA, 0x63), (0x41, 0x86, 0xE0)}
    levels = set(levels_of(unique, table.size("astronaut.png")))
    assert len(used & wanted) == len(levels)


def test_levels_change_at_48_96_and_192_pixels():
    squares = np.array([[0, 0, s, s] for s in (48, 49, 96, 97, 192, 193)], np.float32)
    assert levels_of(squares, (224, 224)) == [0, 1, 1, 2, 2, 3]


def test_other_photographs_are_noticed(made, tmp_path):
    for name in ("astronaut", "coffee", "chelsea", "rocket", "cells", "page"):
        Image.fromarray(skimage_photographs()[name][::-1]).save(tmp_path / f"{name}.png")
    with pytest.raises(ProposalsError, match="its content differs"):
        show(made / "table", tmp_path, tmp_path / "look")
    (tmp_path / "other").mkdir()
    Image.new("RGB", (9, 9)).save(tmp_path / "other/x.png")
    with pytest.raises(ProposalsError, match="None of the 6 images"):
        show(made / "table", tmp_path / "other", tmp_path / "look")


@pytest.mark.parametrize("name", PRESETS)
def test_presets_survive_being_recorded(name):
    assert preset_from_dict(PRESETS[name].as_dict()) == PRESETS[name]
