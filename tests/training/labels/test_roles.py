"""Splits keep their roles when there is a test split and none for validation."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from adept_training.comparing.fewshot import restrict
from adept_training.labels.check import check_images
from adept_training.labels.datasets import open_data
from adept_training.labels.records import Data
from tests.training.conftest import write_voc
from tests.training.labels.test_check import voc_folder


def _ids(data: Data) -> dict[str, list[str] | None]:
    roles = {"train": data.train, "val": data.val, "test": data.test}
    return {name: None if s is None else [image.key.id for image in s.images] for name, s in roles.items()}


def test_a_test_split_is_never_one_to_select_on(tmp_path: Path) -> None:
    voc_folder(tmp_path / "voc")
    path = tmp_path / "data.yaml"
    path.write_text("train: voc:voc:train\ntest: voc:voc:test\n")
    expected = {"train": ["img0"], "val": None, "test": ["img2"]}
    data = open_data(path)
    assert _ids(data) == expected
    assert _ids(check_images(data, [], decode_all=True)) == expected
    assert _ids(restrict(data, ["rbc"])) == expected


def test_a_split_that_lost_its_images_is_still_the_one_to_report_on(tmp_path: Path) -> None:
    data = open_data(f"voc:{voc_folder(tmp_path)}")
    assert data.test is not None
    empty = replace(data, test=replace(data.test, images=()))
    assert empty.report_split is empty.test


@pytest.mark.parametrize("train", ["train", "trainval"])
def test_a_voc_folder_without_val_does_not_validate_on_its_test_images(tmp_path: Path, train: str) -> None:
    sets = write_voc(tmp_path / "voc", 2) / "ImageSets" / "Main"
    (sets / "val.txt").unlink()
    (sets / "train.txt").rename(sets / f"{train}.txt")
    data = open_data([f"voc:{tmp_path / 'voc'}"])
    assert data.val is None
    assert data.test is not None
    assert {image.key.id for image in data.test.images} == {"test0", "test1"}
    given = open_data([f"voc:{tmp_path / 'voc'}:{train}:test"])
    assert given.val is not None
    assert given.test is None, "as it was typed"
