"""``views.best``: the contrast draws from the first boxes, all of them are targets, and the others come after."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from adept_hub.errors import RecipeError
from adept_training.data.views import ViewsRecipe, draw_geometry
from adept_training.pretraining.pretrain import pretrain
from adept_training.pretraining.recipe import load_recipe
from tests.training.support import RandomBoxes, tiny, write_photographs

WIDTH, HEIGHT, BEST, COUNT = 300, 200, 9, 30
rows = np.random.default_rng(1)
CORNERS = rows.uniform(0, [200, 130], (COUNT, 2))
BOXES = np.concatenate([CORNERS, CORNERS + rows.uniform(20, 60, (COUNT, 2))], axis=1).astype(np.float32)


def drawn(seed: int, boxes_M4=BOXES, **choices):
    recipe = ViewsRecipe(**{"sizes": (100, 80, 40), "boxes": 4, "other_boxes": 12, "flip": 0.0, **choices})
    return draw_geometry(np.random.default_rng(seed), (WIDTH, HEIGHT), boxes_M4, recipe)[1]


@pytest.mark.parametrize("box_sets", ["shared", "separate"])
def test_ranks(box_sets: str) -> None:
    contrasted, others = set(), set()
    for seed in range(40):
        one = drawn(seed, best=BEST, box_sets=box_sets)
        assert one.targets1.ids_K.tolist() == list(range(BEST)), "all of the best, whichever are drawn"
        assert one.targets1.real_K.all()
        np.testing.assert_allclose(one.targets1.boxes_K4, BOXES[:BEST] * [1 / 3, 1 / 2, 1 / 3, 1 / 2], rtol=1e-5)
        for boxes in (*one.boxes1_S, one.boxes2, one.boxes3):
            assert boxes.ids_K.shape == (4,)
            contrasted |= set(boxes.ids_K.tolist())
        assert len(set(one.others1.ids_K.tolist())) == 12
        assert one.others1.real_K.all()
        others |= set(one.others1.ids_K.tolist())
    assert contrasted == set(range(BEST))
    assert others == set(range(BEST, COUNT))


def test_a_list_that_is_shorter() -> None:
    """Rows beyond it are repetitions, which are not real, and nothing is left to ignore."""
    one = drawn(0, BOXES[:5], best=BEST)
    assert one.targets1.boxes_K4.shape == (BEST, 4)
    assert one.targets1.real_K.tolist() == [True] * 5 + [False] * 4
    assert not one.others1.real_K.any()
    nothing = drawn(0, BOXES[:0], best=BEST)
    assert not nothing.targets1.real_K.any()


def test_without_it_every_number_is_the_same() -> None:
    """A bound that no list reaches changes neither windows nor boxes of the contrast: the same draws are made."""
    for seed in range(10):
        plain, bounded = drawn(seed, box_sets="separate"), drawn(seed, best=COUNT, box_sets="separate")
        np.testing.assert_array_equal(plain.windows_35, bounded.windows_35)
        for a, b in zip(
            (*plain.boxes1_S, plain.boxes2, plain.boxes3),
            (*bounded.boxes1_S, bounded.boxes2, bounded.boxes3),
            strict=True,
        ):
            np.testing.assert_array_equal(a.boxes_K4, b.boxes_K4)
        assert sorted(plain.targets1.ids_K.tolist()) == sorted(set(plain.boxes2.ids_K.tolist()))


def test_fewer_than_are_drawn_are_refused() -> None:
    with pytest.raises(RecipeError, match=r"--set views\.boxes=3"):
        load_recipe(None, ["views.boxes=4", "views.best=3"])
    with pytest.raises(RecipeError, match=r"views\.best"):
        load_recipe("own_photos_detection", ["views.best=40"])
    assert load_recipe("own_photos_detection", ["views.boxes=17"]).best_boxes == 17
    assert load_recipe(None, ["views.best=40"]).best_boxes == 40


def test_a_run_logs_the_share_and_holds_out_the_best_alone(tmp_path: Path) -> None:
    """Of six boxes four are best; the fifth and sixth are ignored, by a share that their rule changes."""
    source = write_photographs(tmp_path / "photographs", 20)
    shares = []
    for name, other_iou in (("half", 0.5), ("all", 0.0)):
        recipe = tiny(
            "method.name=adept_joint", "views.boxes=3", "views.best=4", "views.other_boxes=2", "data.held_out=1",
            f"method.rpn.other_iou={other_iou}", "schedule.epochs=0.3", "schedule.warmup_epochs=0.1",
        )  # fmt: skip
        pretrain(recipe, source, RandomBoxes(), tmp_path / name)
        log = [json.loads(line) for line in (tmp_path / name / "log.jsonl").read_text().splitlines()]
        (start,) = (record for record in log if record["kind"] == "start")
        assert (start["held_out"], start["held_out_boxes"]) == (1, 4)
        train = next(record for record in log if record["kind"] == "train")
        assert {f"positives_p{level}" for level in (2, 3, 4, 5)} < set(train)
        shares.append(train["anchors_ignored"])
    assert 0 < shares[0] < 0.2 < shares[1] < 1, "at an IoU of 0 no negative is left"
