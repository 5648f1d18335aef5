"""RPN boxes by hand, and their way from one view to another through the views' own geometry.

Legend: N images, R proposals.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from adept_training.data.loader import BoxBatch
from adept_training.data.views import ViewsRecipe, draw_views
from adept_training.method.proposals import carry, join, propose


def test_the_best_boxes_after_nms() -> None:
    anchors = torch.tensor([[0, 0, 10, 10], [1, 0, 11, 10], [20, 20, 40, 40], [-10, -10, 20, 20], [5, 5, 5.2, 9.0]])
    logits = torch.tensor([[3.0, 2.0, 1.0, 0.0, 9.0], [-5.0, 2.0, 1.0, 0.0, -9.0]])
    found = propose(logits, torch.zeros(2, 5, 4), anchors, 64, before=4, after=3)
    # First image: the sliver is too thin, the second overlaps the first by 9/11; whole views fill up.
    assert found.boxes_NK4[0].tolist() == [[0, 0, 10, 10], [20, 20, 40, 40], [0, 0, 64, 64]]
    assert found.real_NK[0].tolist() == [True, True, False]
    assert found.ids_NK[0].tolist() == [2**40, 2**40 + 1, -1]  # above the rows of any table
    assert found.boxes_NK4[1].tolist() == [[1, 0, 11, 10], [20, 20, 40, 40], [0, 0, 20, 20]]


def test_a_box_as_thin_as_a_pixel_is_kept() -> None:
    anchors = torch.tensor([[20, 20, 20.875, 40], [2, 20, 22, 20.875], [0, 0, 1, 9]])
    found = propose(torch.tensor([[3.0, 2.0, 1.0]]), torch.zeros(1, 3, 4), anchors, 64, before=3, after=2)
    assert found.boxes_NK4.tolist() == [[[0, 0, 1, 9], [0, 0, 64, 64]]]
    assert found.real_NK.tolist() == [[True, False]]


@pytest.mark.parametrize("seed", range(6))
def test_boxes_are_carried_as_the_views_carry_them(seed: int) -> None:
    """`draw_views` puts a photograph's boxes into every view; carrying V1's into the others must give the same."""
    boxes = np.array([[10, 10, 90, 70], [100, 20, 180, 140], [30, 80, 120, 150], [60, 30, 150, 100]], dtype=np.float32)
    recipe = ViewsRecipe(jitter_prob=0.0, v3_mode="independent")
    views = draw_views(np.random.default_rng(seed), np.zeros((160, 200, 3), np.uint8), boxes, recipe)
    first = BoxBatch(*(torch.from_numpy(np.asarray(x))[None] for x in views.targets1))
    windows = torch.from_numpy(views.windows_35)[None]
    for view, expected in ((1, views.boxes2), (2, views.boxes3)):
        moved = carry(first, windows[:, 0], windows[:, view], 224, recipe.sizes[view])
        real = torch.from_numpy(expected.real_K)
        np.testing.assert_allclose(moved.boxes_NK4[0][real], expected.boxes_K4[real], atol=1e-2)
        assert moved.ids_NK[0][real].tolist() == expected.ids_K[real].tolist()


def test_a_box_outside_the_other_view_is_no_pair() -> None:
    boxes = torch.tensor([[[0.0, 0, 50, 50], [60, 60, 90, 90]]])
    given = BoxBatch(boxes, torch.tensor([[7, 8]]), torch.ones(1, 2, dtype=torch.bool))
    whole, corner = torch.tensor([[0.0, 0, 1, 1, 0]]), torch.tensor([[0.55, 0.55, 0.45, 0.45, 0]])
    moved = carry(given, whole, corner, 100, 90)
    assert moved.ids_NK.tolist() == [[-1, 8]]
    torch.testing.assert_close(moved.boxes_NK4, torch.tensor([[[0.0, 0, 90, 90], [10, 10, 70, 70]]]))
    assert moved.real_NK.tolist() == [[False, True]]
    # One that only fills up stays one, wherever it lies.
    filled = carry(given._replace(real_NK=torch.tensor([[True, False]])), whole, corner, 100, 90)
    assert (filled.ids_NK.tolist(), filled.real_NK.tolist()) == ([[-1, -1]], [[False, False]])
    torch.testing.assert_close(filled.boxes_NK4[0, 1], torch.tensor([0.0, 0, 90, 90]))


def test_only_the_64_of_highest_objectness_are_looked_at() -> None:
    """As many copies of one box leave nothing else; one copy fewer leaves the next one."""
    for copies, expected in ((64, [True, False, False, False]), (63, [True, True, False, False])):
        anchors = torch.tensor([[0.0, 0, 20, 20]] * copies + [[40, 40, 60, 60]] * 40)
        logits = torch.linspace(5, 0, len(anchors))[None]
        found = propose(logits, torch.zeros(1, len(anchors), 4), anchors, 64)
        assert found.real_NK.tolist() == [expected]


def test_joining_keeps_order() -> None:
    one = BoxBatch(torch.zeros(1, 2, 4), torch.tensor([[1, 2]]), torch.ones(1, 2, dtype=torch.bool))
    two = BoxBatch(torch.ones(1, 1, 4), torch.tensor([[9]]), torch.zeros(1, 1, dtype=torch.bool))
    both = join(one, two)
    assert both.ids_NK.tolist() == [[1, 2, 9]]
    assert both.real_NK.tolist() == [[True, True, False]]
