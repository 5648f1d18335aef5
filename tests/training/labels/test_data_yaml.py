"""The data YAML: classes in the order written, unknown words refused, parts that differ named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from adept_hub.cli.main import main
from adept_hub.detectors.detections import Detections
from adept_hub.errors import DataError
from adept_training.comparing.fewshot import restrict
from adept_training.labels.check import check_data
from adept_training.labels.datasets import open_data
from adept_training.labels.identity import ImageKey
from adept_training.labels.problems import of_kind
from adept_training.labels.records import Split
from adept_training.metrics.coco_files import as_coco_json
from tests.house import HouseData
from tests.training.labels.test_check import voc_folder


def write(data: HouseData, text: str) -> Path:
    path = data.val.parent / "data.yaml"
    path.write_text(text.replace("VAL", "coco:val.json:.").replace("OTHER", "coco:other.json:."), encoding="utf-8")
    return path


def objects(split: Split) -> dict[ImageKey, list[tuple]]:
    """Boxes by class name, which no order changes."""
    return {
        one.key: sorted((split.classes[label - 1], *box) for label, box in zip(one.labels_M, one.boxes_M4.tolist(),
                                                                                strict=True))
        for one in split.images
    }  # fmt: skip


@pytest.mark.parametrize("classes", [["ant", "zebra", "mouse"], ["mouse", "ant", "zebra"], ["ant", "mouse"], ["mouse"]])
def test_classes_order_and_restrict(classes: list[str], house_data: HouseData) -> None:
    """The file's order is mouse, zebra, ant; that of the ids zebra, mouse, ant."""
    plain = open_data(write(house_data, "train: VAL\n")).train
    assert plain.classes == ("zebra", "mouse", "ant")
    data = open_data(write(house_data, f"train: VAL\nval: [VAL, OTHER]\nclasses: [{', '.join(classes)}]\n"))
    ids = {"mouse": 7, "zebra": 3, "ant": 40}
    for split in data.splits():
        assert split.classes == tuple(classes)
        assert {part.category_ids for part in split.parts} == {tuple(ids[name] for name in classes)}
    expected = {key: [row for row in rows if row[0] in classes] for key, rows in objects(plain).items()}
    assert objects(data.train) == expected
    found = {one.key: Detections(one.boxes_M4, np.full(len(one), 0.5), one.labels_M) for one in data.train.images}
    written = sorted((row["category_id"], row["image_id"]) for row in as_coco_json(data.train, found))
    assert written == sorted((ids[row[0]], key.id) for key, rows in expected.items() for row in rows)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("train: VAL\nclasses: [zebra, mouze]\n", "has no class 'mouze'. Did you mean 'mouse'?"),
        ("train: VAL\nclasses: [Zebra]\n", "has no class 'Zebra'. Did you mean 'zebra'?"),
        ("train: VAL\nclasses: [zebra, zebra]\n", "classes contains 'zebra' twice"),
        ("train: VAL\nclasses: []\n", "classes must be a list of names"),
        ("train: VAL\nclasses: zebra\n", "classes must be a list of names"),
        ("train: VAL\nclasses: [1, 2]\n", "classes must be a list of names"),
        ("train: VAL\nclass: [zebra]\n", "unknown field 'class'. Did you mean 'classes'?"),
        ("trian: VAL\n", "unknown field 'trian'. Did you mean 'train'?"),
        ("train: VAL\nnames: [zebra]\n", "unknown field 'names'"),
        ("val: VAL\n", "has no field 'train'"),
        ("train: VAL\ntrain: OTHER\n", "'train' is repeated"),
        ("[]\n", "has no field 'train'"),
        ("train: [VAL, 3]\n", "train must be"),
        ("train: voc:somewhere\n", "'voc:somewhere' is a folder, but one of its image sets is needed here"),
    ],
)
def test_what_the_yaml_cannot_mean_is_refused(
    text: str, words: str, house_data: HouseData, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "check", str(write(house_data, text))]) == 1
    told = capsys.readouterr().err
    assert words in told
    assert len(told.strip().splitlines()) <= 3


def test_a_byte_order_mark_is_no_part_of_the_first_field(house_data: HouseData) -> None:
    assert len(open_data(write(house_data, "\ufefftrain: VAL\n")).train) == 4


def test_classes_restrict_voc_too_where_a_declared_class_may_be_absent(tmp_path: Path) -> None:
    voc_folder(tmp_path / "voc")
    path = tmp_path / "data.yaml"
    path.write_text("train: voc:voc:train\nclasses: [wbc]\n")
    data, problems = check_data(path)
    assert not of_kind(problems), "an object that was left out on purpose is no damage"
    assert data.classes == ("wbc",)
    assert data.train.objects == 1
    # a class that only another set of the folder has
    xml = tmp_path / "voc" / "Annotations" / "img2.xml"
    xml.write_text(xml.read_text().replace("rbc", "platelet"))
    path.write_text("train: voc:voc:train\nclasses: [platelet, wbc]\n")
    data, problems = check_data(path)
    assert data.train.images[0].labels_M.tolist() == [2]
    assert list(of_kind(problems)) == ["category-without-objects"]
    path.write_text("train: voc:voc:train\nclasses: [wbc, platelets]\n")
    with pytest.raises(DataError, match="Did you mean 'platelet'"):
        open_data(path)


def test_parts_and_splits_with_other_classes_are_named(house_data: HouseData) -> None:
    text = house_data.other.read_text()
    house_data.other.write_text(text.replace('"zebra"', '"gnu"'))
    for yaml, split in (("train: [VAL, OTHER]\n", "train"), ("train: VAL\nval: OTHER\n", "val")):
        _, problems = check_data(write(house_data, yaml))
        (case,) = of_kind(problems)["categories-differ"]
        assert case.split == split
        assert "gnu, zebra" in case.detail
    # The same names under other numbers: their order differs, and classes: settles it.
    house_data.other.write_text(text.replace('{"id": 3, "name": "zebra"}', '{"id": 99, "name": "zebra"}'))
    house_data.other.write_text(house_data.other.read_text().replace('"category_id": 3,', '"category_id": 99,'))
    _, problems = check_data(write(house_data, "train: [VAL, OTHER]\n"))
    assert "their order; a data YAML with classes: sets it" in of_kind(problems)["categories-differ"][0].detail
    data, problems = check_data(write(house_data, "train: [VAL, OTHER]\nclasses: [zebra, mouse, ant]\n"))
    assert "categories-differ" not in of_kind(problems)
    assert [part.category_ids for part in data.train.parts] == [(3, 7, 40), (99, 7, 40)]
    counts = np.bincount(np.concatenate([one.labels_M for one in data.train.images]))
    assert counts.tolist() == [0, 4, 4, 4]


def test_novel_classes_that_are_none(house_data: HouseData) -> None:
    data = open_data(house_data.words())
    with pytest.raises(DataError, match=r"no class 'zebar'\. Did you mean 'zebra'"):
        restrict(data, ["ant", "zebar"])
    assert restrict(data, ["ant", "zebra"]).classes == ("zebra", "ant"), "draws do not depend on the words' order"


def test_a_comma_stands_between_data_sets_or_within_a_path(house_data: HouseData) -> None:
    odd = house_data.val.parent / "val,2.json"
    odd.write_text(house_data.val.read_text())
    folder = house_data.images
    for word in (f"coco:{odd}:{folder},coco:{house_data.other}:{folder}", f"coco:{odd}:{folder},"):
        data = open_data(word)
        assert len(data.train) == 4
        assert (data.val is None) == word.endswith(",")
