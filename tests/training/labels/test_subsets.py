"""Subsets of labels: nested, balanced, and written to be read again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from adept_hub.cli.main import main
from adept_hub.errors import DataError
from adept_training.labels.datasets import open_data
from adept_training.labels.subsets import Budget, draw, load_subset, parse_budget, save_subset
from tests.training.labels.written import save, write_coco
from tests.training.made import crowded


def test_subsets_nest_and_do_not_depend_on_the_order_of_the_file() -> None:
    split = crowded(60)
    small, large = (draw(split, parse_budget(text), seed=1) for text in ("10%", "50%"))
    assert {i.key.id for i in small.images} < {i.key.id for i in large.images}
    turned = replace(split, images=split.images[::-1])
    assert {i.key.id for i in draw(turned, parse_budget("10%"), 1).images} == {i.key.id for i in small.images}
    assert {i.key.id for i in draw(split, parse_budget("10%"), 2).images} != {i.key.id for i in small.images}
    labeled = sum(len(image) > 0 for image in split.images)
    assert len(small) == round(labeled / 10)
    assert len(draw(split, parse_budget("3img"), 0)) == 3
    assert len(draw(split, parse_budget("1%"), 0)) == 1
    # written down, so that no later change of the method goes unnoticed
    assert [i.key.id for i in draw(split, Budget(3, "img"), 0).images] == [10, 31, 46]


def test_shots_are_exactly_k_objects_of_each_class(tmp_path: Path) -> None:
    split = crowded(60)
    for shots in (1, 5):
        few = draw(split, Budget(shots, "shot"), seed=3)
        labels = np.concatenate([image.labels_M for image in few.images])
        assert np.bincount(labels, minlength=4).tolist() == [0, shots, shots, shots]
        assert not any(image.crowd_M.any() for image in few.images)
        save_subset(tmp_path / "few.json", few, Budget(shots, "shot"), 3)
        again = load_subset(tmp_path / "few.json", split)
        assert [(i.key.id, i.boxes_M4.tolist()) for i in again.images] == [
            (i.key.id, i.boxes_M4.tolist()) for i in few.images
        ]


@pytest.mark.parametrize("text", ["0%", "101%", "1.5img", "0shot", "many", "-1%"])
def test_budgets_that_are_none(text: str) -> None:
    with pytest.raises(DataError, match="not a label budget"):
        parse_budget(text)


def test_subset_file_of_another_data_set(tmp_path: Path) -> None:
    save_subset(tmp_path / "s.json", crowded(9), Budget(100, "%"), 0)
    with pytest.raises(DataError, match="does not have"):
        load_subset(tmp_path / "s.json", crowded(5))
    (tmp_path / "s.json").write_text("[]")
    with pytest.raises(DataError, match="not a subset file"):
        load_subset(tmp_path / "s.json", crowded(5))


def test_a_subset_is_written_as_ids_and_as_a_coco_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = save(tmp_path, write_coco(tmp_path))
    words = ["data", "subset", spec, "--labels", "2img", "--seed", "4", "--out", str(tmp_path / "few")]
    assert main(words) == 0
    assert "2 of 4 images, 4 objects" in capsys.readouterr().out
    whole = open_data(spec).train
    expected = draw(whole, Budget(2, "img"), 4)
    again = open_data(f"coco:{tmp_path / 'few' / 'annotations.json'}:{tmp_path / 'train'}").train
    assert [image.key.id for image in again.images] == [image.key.id for image in expected.images]
    assert again.parts[0].category_ids == (3, 7)
    for one, two in zip(again.images, expected.images, strict=True):
        np.testing.assert_array_equal(one.boxes_M4, two.boxes_M4)
        assert one.labels_M.tolist() == two.labels_M.tolist()
        assert one.masks == two.masks
    assert load_subset(tmp_path / "few" / "subset.json", whole).images[0].key.id == expected.images[0].key.id
