import numpy as np
import pytest

from adept_training.proposals import BoxFilter, Preset, filter_boxes, get_preset
from adept_training.proposals.search.boxes import to_proposals

SIZE = (200, 100)  # sqrt(W H) = 141.42


def boxes(*sizes):
    return np.array([[5, 7, 5 + w, 7 + h] for w, h in sizes], np.float32).reshape(-1, 4)


def sizes_of(result):
    return [(int(x2 - x1), int(y2 - y1)) for x1, y1, x2, y2 in result]


def test_the_papers_filter_by_hand():
    # sqrt(w h) / 141.42 must lie in 0.3..0.8 (42.4..113.1 pixels), w / h in 1/3..3
    given = boxes(
        (50, 50), (42, 42), (43, 43), (150, 50), (151, 50), (30, 90), (30, 91), (114, 114), (113, 113), (0, 9)
    )
    assert sizes_of(filter_boxes(given, SIZE)) == [(50, 50), (43, 43), (150, 50), (30, 90), (113, 113)]


def test_bounds_are_inclusive():
    assert len(filter_boxes(boxes((30, 30), (80, 80)), (100, 100))) == 2
    assert len(filter_boxes(boxes((60, 20), (20, 60)), (100, 100), min_scale=0.0)) == 2


def test_bounds_can_be_chosen():
    given = boxes((10, 10), (40, 20), (50, 50))
    assert sizes_of(filter_boxes(given, SIZE, min_scale=0.0)) == [(10, 10), (40, 20), (50, 50)]
    assert sizes_of(filter_boxes(given, SIZE, min_scale=0.0, min_side=20)) == [(40, 20), (50, 50)]
    assert sizes_of(filter_boxes(given, SIZE, min_scale=0.0, max_ratio=1.5)) == [(10, 10), (50, 50)]
    # The floor is of both sides, and inclusive.
    assert sizes_of(filter_boxes(boxes((19, 30), (30, 19), (20, 30), (30, 20)), SIZE, min_scale=0.0, min_side=20)) == [
        (20, 30),
        (30, 20),
    ]
    assert sizes_of(filter_boxes(boxes((30, 50), (50, 30)), SIZE, min_scale=0.0, min_ratio=0.7)) == [(50, 30)]
    assert sizes_of(filter_boxes(given, SIZE, min_scale=0.0, max_scale=0.3)) == [(10, 10), (40, 20)]


def test_unique_keeps_the_first_of_each_in_order():
    given = boxes((60, 60), (50, 50), (60, 60), (70, 70), (50, 50))
    assert sizes_of(filter_boxes(given, SIZE, unique=True)) == [(60, 60), (50, 50), (70, 70)]
    assert len(filter_boxes(given, SIZE)) == 5


def test_no_boxes():
    empty = np.empty((0, 4), np.float32)
    assert filter_boxes(empty, SIZE).shape == (0, 4)
    assert filter_boxes(empty, SIZE, unique=True).shape == (0, 4)


@pytest.mark.parametrize(
    ("given", "kept", "fallback"),
    [
        (((50, 50), (33, 33), (200, 40)), [(50, 50)], False),
        (((33, 33), (200, 40), (31, 31)), [(33, 33)], True),  # the ratio and 32 pixels alone
        (((200, 40), (31, 31)), [(200, 40)], True),  # 32 pixels alone
        (((31, 31),), [(200, 100)], True),  # the whole photograph
        ((), [(200, 100)], True),
    ],
)
def test_soco_looks_again_where_its_filter_leaves_nothing(given, kept, fallback):
    found, was_fallback = to_proposals(boxes(*given), SIZE, get_preset("soco"))
    assert sizes_of(found) == kept
    assert was_fallback is fallback


def test_soco_has_a_floor_of_32_pixels():
    narrow = boxes((31, 60))
    assert len(filter_boxes(narrow, (100, 100))) == 1
    assert to_proposals(narrow, (100, 100), get_preset("soco"))[1]


@pytest.mark.parametrize(("name", "count"), [("paper", 3), ("soco", 3), ("fixed", 2), ("opencv-fast", 2)])
def test_duplicates_stay_as_the_preset_says(name, count):
    assert len(to_proposals(boxes((50, 50), (60, 60), (50, 50)), SIZE, get_preset(name))[0]) == count


def test_a_preset_of_ones_own():
    mine = Preset("mine", "alpacadb", 100, 0.8, 20, filter=BoxFilter(min_scale=0.05))
    assert get_preset(mine) is mine
    assert len(to_proposals(boxes((10, 10), (12, 12)), SIZE, mine)[0]) == 2


def test_presets_are_recorded_as_json():
    recorded = get_preset("soco").as_dict()
    assert (recorded["scale"], recorded["sigma"], recorded["min_size"]) == (300, 0.9, 100)
    assert recorded["filter"]["min_side"] == 32
    assert recorded["fallback"][1]["max_ratio"] is None
