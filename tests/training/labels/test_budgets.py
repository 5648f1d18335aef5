"""Which objects and images a budget of labels may buy, on sets in which the others would be bought by mistake."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from adept_hub.errors import DataError
from adept_training.labels.subsets import Budget, draw, load_subset, parse_budget, save_subset
from tests.training.made import image, split


def test_a_shot_is_neither_a_crowd_nor_difficult() -> None:
    """As TFA draws them: an object that no metric counts is no example of its class."""
    boxes = [[0, 0, 10, 10], [20, 0, 40, 10], [50, 0, 80, 10], [90, 0, 95, 10]]
    images = [image(i, boxes, [1, 1, 1, 2], crowd=[0], difficult=[1]) for i in ("a", "07", "7")]
    for seed in range(6):
        few = draw(split(*images), Budget(3, "shot"), seed)
        kept = {(int(label), float(box[0])) for one in few.images for label, box in zip(
            one.labels_M, one.boxes_M4, strict=True)}  # fmt: skip
        assert kept == {(1, 50.0), (2, 90.0)}
        assert sum(map(len, few.images)) == 6, "three of each class"


def test_each_class_draws_objects_of_its_own() -> None:
    """Of images that hold both classes, those of one class are not always those of the other."""
    images = [image(i, [[0, 0, 10, 10], [20, 0, 40, 10]], [1, 2]) for i in range(12)]
    bought = []
    for seed in range(8):
        few = draw(split(*images, classes=2), Budget(1, "shot"), seed)
        assert np.bincount(np.concatenate([one.labels_M for one in few.images]), minlength=3).tolist() == [0, 1, 1]
        bought.append(tuple(sorted((int(label), one.key.id) for one in few.images for label in one.labels_M)))
    assert len(set(bought)) > 4, "the draw is the seed's"
    assert any(len({key for _, key in one}) == 2 for one in bought)


def test_of_one_image_with_many_objects_each_is_bought_in_turn() -> None:
    corners = np.arange(10) * 15.0
    boxes = np.stack([corners, corners * 0, corners + 10, corners * 0 + 10], axis=1)
    one = image(5, boxes, [1] * 10)
    firsts = {float(draw(split(one), Budget(1, "shot"), seed).images[0].boxes_M4[0, 0]) for seed in range(40)}
    assert len(firsts) > 5
    nested = [draw(split(one), Budget(k, "shot"), 3).images[0].boxes_M4[:, 0].tolist() for k in (2, 4, 7)]
    assert set(nested[0]) < set(nested[1]) < set(nested[2])


def test_images_without_objects_are_no_labels_and_shares_are_rounded() -> None:
    full = [image(i, [[0, 0, 10, 10]], [1]) for i in range(7)]
    crowds = [image(i, [[0, 0, 10, 10]], [1], crowd=[0]) for i in range(20, 30)]
    bare = [image(i, [], []) for i in range(40, 50)]
    whole = split(*crowds, *bare, *full)
    for text, count in (("100%", 7), ("50%", 4), ("20%", 1), ("3%", 1), ("0.5", 4), ("5img", 5)):
        few = draw(whole, parse_budget(text), 1)
        assert len(few) == count, text
        assert {one.key.id for one in few.images} <= set(range(7))
        ids = [one.key.id for one in few.images]
        assert ids == sorted(ids), "in the order of the split"


@pytest.mark.parametrize(
    ("text", "words"),
    [("1%", "1%"), ("0.1", "10%"), (".5", "50%"), ("1.0", "100%"), ("1img", "1 image"), ("3img", "3 images"),
     ("1shot", "1 shot"), ("5shot", "5 shots"), ("2.5%", "2.5%")],
)  # fmt: skip
def test_budgets_in_words(text: str, words: str) -> None:
    assert parse_budget(text).in_words() == words


def _subset(path: Path) -> tuple[dict[str, Any], Any]:
    """A file of one shot of each class, and the split that it was drawn from."""
    pool = split(*(image(i, [[0, 0, 10, 10], [20, 0, 40, 10]], [1, 2]) for i in ("a", "07", "7")), classes=2)
    save_subset(path, draw(pool, Budget(1, "shot"), 3), Budget(1, "shot"), 3)
    return json.loads(path.read_text()), pool


@pytest.mark.parametrize("row", [[0, 0, 10, 10], [0, 0, 10, 10, "1"], [0, 0, 10, 10, True], "0 0 10 10 1", None])
def test_an_object_of_a_subset_is_five_numbers(row: Any, tmp_path: Path) -> None:
    content, pool = _subset(tmp_path / "s.json")
    assert len(load_subset(tmp_path / "s.json", pool)) == len(content["image_ids"])
    content["objects"][0][0] = row
    (tmp_path / "s.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match="not a subset file: an object is not five numbers"):
        load_subset(tmp_path / "s.json", pool)


def test_a_subset_has_the_objects_of_each_of_its_images(tmp_path: Path) -> None:
    content, pool = _subset(tmp_path / "s.json")
    (tmp_path / "s.json").write_text(json.dumps({**content, "objects": [*content["objects"], []]}))
    count = len(content["image_ids"])
    with pytest.raises(DataError, match=rf"has {count} images and the objects of {count + 1}\."):
        load_subset(tmp_path / "s.json", pool)
