"""What comes from elsewhere is refused in words, and what is written for elsewhere can be used there."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from pycocotools import mask as mask_api
from pycocotools.coco import COCO

from adept_hub.cli.main import main
from adept_hub.detectors.detections import Detections
from adept_hub.errors import DataError
from adept_training.labels.check import check_data
from adept_training.labels.datasets import open_data
from adept_training.labels.identity import ImageKey
from adept_training.labels.records import Split
from adept_training.labels.subsets import Budget, draw, load_subset, save_subset
from adept_training.metrics.coco_files import load_detections, save_annotations, save_detections
from adept_training.metrics.evaluate import evaluate_detections
from tests.house import AP_PERFECT, HouseData
from tests.training.labels.test_identity import joined, perfect


@pytest.fixture
def val(house_data: HouseData) -> Split:
    return open_data(house_data.words(house_data.val)).train


GOOD = {"image_id": "0007", "category_id": 7, "bbox": [1, 2, 30, 40], "score": 0.5}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('{"annotations": []}', "is an annotation file, not results"),
        ('{"a": 1}', "is not in COCO's results format"),
        ("null", "is not in COCO's results format"),
        ('"text"', "is not in COCO's results format"),
        ("[", "is not valid JSON"),
        ("[" * 100_000, "is not valid JSON"),
        ("", "is not valid JSON"),
        (["x"], "row 0 lacks an object"),
        ([GOOD, {**GOOD, "score": None}], "the score of row 1 is None"),
        ([{**GOOD, "score": float("nan")}], "the score of row 0 is nan, which is not a finite number"),
        ([{**GOOD, "score": float("-inf")}], "the score of row 0 is -inf"),
        (json.dumps([GOOD]).replace("0.5", "1e999"), "the score of row 0 is inf, which is not a finite number"),
        ([{**GOOD, "score": "0.9"}], "the score of row 0 is '0.9'"),
        ([{**GOOD, "score": True}], "the score of row 0 is True"),
        ([{**GOOD, "score": 10**400}], "the score of row 0 is 1000"),
        ([{k: v for k, v in GOOD.items() if k != "score"}], "row 0 lacks score"),
        ([{**GOOD, "bbox": [1, 2, 3]}], "the bbox of row 0 is [1, 2, 3]"),
        ([{**GOOD, "bbox": [1, 2, float("nan"), 4]}], "the bbox of row 0"),
        ([{**GOOD, "bbox": [1, 2, None, 4]}], "the bbox of row 0"),
        ([{**GOOD, "bbox": [1, 2, -3, 4]}], "the bbox of row 0"),
        ([{**GOOD, "bbox": "1 2 3 4"}], "the bbox of row 0"),
        ([GOOD, {**GOOD, "category_id": 5}], "row 1 has category_id 5, which train does not have"),
        ([{**GOOD, "category_id": "7"}], "Its categories: 3 'zebra', 7 'mouse', 40 'ant'"),
        ([{**GOOD, "category_id": True}], "category_id True"),
        ([{**GOOD, "image_id": 7}] * 3, "3 rows are of images that train does not have; the first image_id is 7"),
        ([{**GOOD, "image_id": "007"}], "The ids of its 4 images are '0007', '12b', '7'"),
        ([{**GOOD, "image_id": [1]}], "the first image_id is [1]"),
        ([{**GOOD, "segmentation": {"size": [1, 1], "counts": "1"}}], "the segmentation of row 0 is an RLE of size"),
    ],
)  # fmt: skip
def test_results_that_are_none_or_of_another_set_are_refused_in_words(
    content, words: str, house_data: HouseData, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "given.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    assert main(["evaluate", "none", "--data", *house_data.words(house_data.val), "--detections", str(path)]) == 1
    told = capsys.readouterr().err
    assert words in told
    assert str(path) in told
    assert len(told.strip().splitlines()) <= 3
    assert "Error(" not in told, "no repr of an exception"


def test_no_results_are_an_ap_of_zero_and_whole_floats_are_numbers(val: Split, tmp_path: Path) -> None:
    path = tmp_path / "given.json"
    path.write_bytes(b"\xef\xbb\xbf[]")  # with a byte order mark, as some editors save
    assert evaluate_detections(val, load_detections([path], val)).flat()["AP"] == 0
    path.write_text(json.dumps([{**GOOD, "category_id": 7.0, "bbox": [1.0, 2, 30, 40], "score": 1}]))
    (one,) = load_detections([path], val).values()
    assert one.labels_D.tolist() == [2]
    assert one.boxes_D4.tolist() == [[1, 2, 31, 42]]
    with pytest.raises(DataError, match="There is no file"):
        load_detections([tmp_path / "absent.json"], val)
    with pytest.raises(DataError, match="needs only one"):
        load_detections([path, path], val)


def test_masks_are_read_back_and_judged(val: Split, tmp_path: Path) -> None:
    found = {}
    for one in val.images:
        rles = []
        for x1, y1, x2, y2 in one.boxes_M4.astype(int).tolist():
            pixels = np.zeros((one.height, one.width), np.uint8, order="F")
            pixels[y1:y2, x1:x2] = np.tri(y2 - y1, x2 - x1)[::-1]
            rles.append(dict(mask_api.encode(pixels)))
        found[one.key] = Detections(one.boxes_M4, np.linspace(0.9, 0.8, len(one)), one.labels_M, tuple(rles))
    empty = dict(mask_api.encode(np.zeros((val.images[0].height, val.images[0].width), np.uint8, order="F")))
    first = found[val.images[0].key]
    found[val.images[0].key] = Detections(first.boxes_D4, first.scores_D, first.labels_D, (empty, *first.masks[1:]))
    expected = evaluate_detections(val, found, masks=True).flat()
    assert 0 < expected["mask_AP"] < 100
    (path,) = save_detections(tmp_path / "found.json", val, found)
    again = load_detections([path], val)
    assert evaluate_detections(val, again, masks=True).flat() == pytest.approx(expected)
    rows = json.loads(path.read_text())
    del rows[-1]["segmentation"]  # then all are boxes
    path.write_text(json.dumps(rows))
    assert {one.masks for one in load_detections([path], val).values()} == {None}


def test_the_command_reads_masks_and_saves_nothing_of_a_source_without_classes(
    house, house_data: HouseData, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    val = open_data(house_data.words(house_data.val)).train
    whole = [
        tuple(dict(mask_api.encode(np.ones((one.height, one.width), np.uint8, order="F"))) for _ in range(len(one)))
        for one in val.images
    ]
    found = {
        one.key: Detections(one.boxes_M4, np.full(len(one), 0.5), one.labels_M, masks)
        for one, masks in zip(val.images, whole, strict=True)
    }
    (path,) = save_detections(tmp_path / "found.json", val, found)
    words = ["--data", *house_data.words(house_data.val), "--json"]
    assert main(["evaluate", "none", *words, "--detections", str(path)]) == 0
    metrics = json.loads(capsys.readouterr().out)["metrics"]
    assert metrics["AP"] == AP_PERFECT
    assert metrics["mask_AP"] == 0
    assert main(["evaluate", house.source, *words, "--save-detections", str(tmp_path / "none.json")]) == 1
    assert "has no detections" in capsys.readouterr().err
    assert not (tmp_path / "none.json").exists()


def test_a_subset_keeps_ids_paths_categories_and_masks(
    house_data: HouseData, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The house's images are cam0/0000.png, cam1/0000.png, ...: no base name is unique."""
    (word,) = house_data.words(house_data.val)
    assert main(["data", "subset", word, "--labels", "100%", "--out", str(tmp_path / "sub")]) == 0
    told = capsys.readouterr().out
    written = json.loads((tmp_path / "sub" / "annotations.json").read_text())
    original = json.loads(house_data.val.read_text())
    labeled = {row["image_id"] for row in original["annotations"]}
    key = ("id", "file_name", "width", "height")
    assert sorted(tuple(row[k] for k in key) for row in written["images"]) == sorted(
        tuple(row[k] for k in key) for row in original["images"] if row["id"] in labeled
    )
    assert sorted(written["categories"], key=str) == sorted(original["categories"], key=str)
    objects = [
        sorted(
            (r["image_id"], r["category_id"], r["bbox"], r["area"], r["segmentation"]) for r in content["annotations"]
        )
        for content in (written, original)
    ]
    assert objects[0] == objects[1]
    (command,) = [line for line in told.splitlines() if line.startswith("  adept data check")]
    assert main(command.split()[1:]) == 0
    assert "Sound" in capsys.readouterr().out
    assert COCO(str(tmp_path / "sub" / "annotations.json")).getImgIds() == sorted(labeled)


def test_a_subset_of_joined_parts_is_written_a_file_for_each_and_read_back(
    house_data: HouseData, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = joined(house_data)
    path.write_text(path.read_text().split("val: ")[1].join(["train: ", ""]))
    assert main(["data", "subset", str(path), "--labels", "50%", "--seed", "3", "--out", str(tmp_path / "sub")]) == 0
    commands = [line.split()[1:] for line in capsys.readouterr().out.splitlines() if line.startswith("  adept")]
    assert [main(command) for command in commands] == [0] * len(commands)
    names = sorted(file.name for file in (tmp_path / "sub").iterdir())
    assert names[-2:] == ["subset.part1.json", "subset.part2.json"]
    whole = open_data(path).train
    expected = draw(whole, Budget(50, "%"), 3)
    again = load_subset(tmp_path / "sub" / "subset.json", whole)
    assert [one.key for one in again.images] == [one.key for one in expected.images]
    # Every object of a few shots comes back, and no other, though parts share ids.
    for seed in range(4):
        few = draw(whole, Budget(3, "shot"), seed)
        assert np.bincount(np.concatenate([one.labels_M for one in few.images])).tolist() == [0, 3, 3, 3]
        save_subset(tmp_path / "few.json", few, Budget(3, "shot"), seed)
        back = load_subset(tmp_path / "few.json", whole)
        for one, two in zip(back.images, few.images, strict=True):
            assert one.key == two.key
            assert one.boxes_M4.tolist() == two.boxes_M4.tolist()
            assert one.labels_M.tolist() == two.labels_M.tolist()


def test_of_two_objects_with_one_box_a_shot_keeps_the_one_that_was_drawn(val: Split, tmp_path: Path) -> None:
    from dataclasses import replace

    one = val.images[0]
    boxes_M4 = np.repeat(one.boxes_M4[:1], 3, axis=0)
    alike = replace(one.only(np.arange(len(one)) < 3), boxes_M4=boxes_M4, labels_M=np.array([1, 1, 2]))
    truth = replace(val, images=(alike,))
    few = draw(truth, Budget(1, "shot"), 0)
    assert few.images[0].labels_M.tolist() == [1, 2]
    save_subset(tmp_path / "few.json", few, Budget(1, "shot"), 0)
    assert load_subset(tmp_path / "few.json", truth).images[0].labels_M.tolist() == [1, 2]
    with pytest.raises(DataError, match="an object of image 0007 that does not exist"):
        load_subset(tmp_path / "few.json", replace(val, images=(one.only(np.zeros(len(one), np.bool_)),)))


def test_ids_of_one_stem_in_other_spellings_stay_three_images(tmp_path: Path) -> None:
    from tests.training.labels.test_paths import voc_set

    folder = voc_set(tmp_path / "voc", {"1": "1.png", "01": "01.png", "001": "001.png"})
    data, problems = check_data(f"voc:{folder}")
    assert [one.key for one in data.train.images] == [ImageKey(1, "1"), ImageKey(1, "01"), ImageKey(1, "001")]
    assert not of_errors(problems)
    ((path, part),) = save_annotations(tmp_path / "annotations.json", data.train)
    again, problems = check_data(f"coco:{path}:{part.folder}")
    assert not of_errors(problems)
    assert {one.key.id: one.path for one in again.train.images} == {one.key.id: one.path for one in data.train.images}
    (found,) = save_detections(tmp_path / "found.json", data.train, perfect(data.train))
    with_them = load_detections([found], data.train)
    assert evaluate_detections(data.train, with_them).flat()["AP"] == 100


def of_errors(problems: list) -> list:
    return [problem for problem in problems if problem.severity == "error"]
