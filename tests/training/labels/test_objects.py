"""One reader of objects: what the check calls sound is trained on and evaluated as the file says."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import numpy as np
import pytest

from adept_hub.cli.main import main
from adept_hub.errors import DataError
from adept_training.finetuning.samples import LabeledSamples
from adept_training.labels.check import check_data
from adept_training.labels.datasets import open_data
from adept_training.labels.objects import flag_of, size_fault
from adept_training.labels.problems import of_kind
from adept_training.labels.subsets import draw, parse_budget
from adept_training.metrics.coco_files import detections_of
from adept_training.metrics.evaluate import evaluate_detections
from tests.training.labels.test_check import voc_folder
from tests.training.labels.written import picture, save, write_coco


def counts(spec: str, **options) -> dict[str, int]:
    _, problems = check_data(spec, **options)
    return {kind: len(rows) for kind, rows in of_kind(problems).items()}


@pytest.mark.parametrize(
    ("value", "flag"),
    [(None, False), (0, False), (False, False), (0.0, False), (1, True), (True, True), (1.0, True),
     ("0", None), ("1", None), (2, None), (-1, None), ([], None), ({}, None), (0.5, None), (float("nan"), None),
     ("false", None), (10**400, None)],
)  # fmt: skip
def test_a_flag_is_0_or_1(value, flag) -> None:
    assert flag_of(value) is flag


def test_a_null_crowd_is_trained_on_and_counted(tmp_path: Path) -> None:
    content = write_coco(tmp_path)
    for row in content["annotations"][:4]:  # both objects of two of the four images
        row["iscrowd"] = None
    spec = save(tmp_path, content)
    assert counts(spec) == {}
    split = open_data(spec).train
    assert len(LabeledSamples.of(split, False, 0, 0)) == 4
    found = detections_of(
        [{**row, "score": 0.9} for row in content["annotations"][4:]], split
    )  # all objects of the other two images
    # Half of the objects, all of them first: precision 1 up to recall .5, which is 51 of the 101 points.
    assert evaluate_detections(split, found).flat()["AP"] == pytest.approx(100 * 51 / 101, abs=1e-3)


@pytest.mark.parametrize("value", ["0", "1", 2, [], "no"])
def test_a_crowd_that_is_no_flag_is_named_and_left_out(tmp_path: Path, value) -> None:
    content = write_coco(tmp_path)
    content["annotations"][3]["iscrowd"] = value
    spec = save(tmp_path, content)
    assert counts(spec) == {"malformed-flag": 1}
    with pytest.raises(DataError, match="malformed-flag"):
        open_data(spec)
    assert open_data(spec, skip_damaged=True).train.objects == 7


def test_voc_s_difficult_is_a_flag_too(tmp_path: Path) -> None:
    folder = voc_folder(tmp_path)
    path = folder / "Annotations" / "img0.xml"
    sound = path.read_text()
    for text, kinds in [("yes", {"malformed-flag": 1}), ("2", {"malformed-flag": 1}), (" 1 ", {}), ("", {})]:
        path.write_text(sound.replace("<difficult>1</difficult>", f"<difficult>{text}</difficult>"))
        assert {k: n for k, n in counts(f"voc:{folder}").items() if k == "malformed-flag"} == kinds
    path.write_text(sound)
    assert open_data(f"voc:{folder}").train.images[0].difficult_M.tolist() == [False, True]


def test_images_that_are_not_trained_on_are_said_to_be(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = write_coco(tmp_path)
    content["annotations"] = content["annotations"][:6]  # the fourth image has none
    for row in content["annotations"][4:6]:
        row["iscrowd"] = 1  # the third has crowds alone
    spec = save(tmp_path, content)
    assert counts(spec) == {"image-without-objects": 2}
    assert len(LabeledSamples.of(open_data(spec).train, False, 0, 0)) == 4 - 2
    assert sorted(str(one.key.id) for one in draw(open_data(spec).train, parse_budget("100%"), 0).images) == ["0", "1"]
    assert main(["data", "check", spec]) == 0
    told = capsys.readouterr().out
    assert "2  image-without-objects: not trained on" in told
    assert "image 2: only crowds" in told


def test_a_set_of_crowds_has_nothing_to_learn_from(tmp_path: Path) -> None:
    content = write_coco(tmp_path)
    for row in content["annotations"]:
        row["iscrowd"] = 1
    assert counts(save(tmp_path, content)) == {"no-objects": 1, "image-without-objects": 4}


def test_a_split_that_is_empty_once_the_damaged_are_out_is_refused(tmp_path: Path) -> None:
    spec = save(tmp_path, write_coco(tmp_path))
    for path in (tmp_path / "train").iterdir():
        path.unlink()
    assert counts(spec) == {"missing-image": 4, "empty-split": 1}
    with pytest.raises(DataError, match="empty-split"):
        open_data(spec, skip_damaged=True)


@pytest.mark.parametrize(
    ("width", "height", "kind"),
    [(1, 1, None), (50, 1, None), (51, 1, "extreme-shape"), (2, 20_000, "extreme-shape"), (0, 9, "bad-image-size"),
     (True, 9, "bad-image-size"), ("9", 9, "bad-image-size"), (9.0, 9, "bad-image-size"), (None, 9, "bad-image-size"),
     (9000, 9000, "bad-image-size"), (10**400, 10**400, "bad-image-size")],
)  # fmt: skip
def test_sides_to_work_with(width, height, kind: str | None) -> None:
    fault = size_fault(width, height)
    assert (None if fault is None else fault[0]) == kind


def test_one_pixel_is_trained_on_and_a_ribbon_is_named(tmp_path: Path) -> None:
    picture(tmp_path / "train" / "dot.png", 1, 1, 1)
    picture(tmp_path / "train" / "ribbon.png", 2, 4000, 2)
    content = write_coco(tmp_path)
    content["images"] += [
        {"id": 8, "file_name": "dot.png", "width": 1, "height": 1},
        {"id": 9, "file_name": "ribbon.png", "width": 4000, "height": 2},
    ]
    content["annotations"] += [
        {"id": 100 + i, "image_id": i, "category_id": 3, "bbox": [0, 0, 1, 1], "segmentation": [[0, 0, 1, 0, 1, 1]]}
        for i in (8, 9)
    ]
    spec = save(tmp_path, content)
    assert counts(spec) == {"extreme-shape": 1}
    split = open_data(spec, skip_damaged=True).train
    assert [image.key.id for image in split.images] == [0, 1, 2, 3, 8]
    for flip in (0.0, 1.0):
        pixels_CHW, target = LabeledSamples.of(split, True, flip, 0)[(0, 4)]
        assert pixels_CHW.shape == (3, 1, 1)
        assert target["boxes"].tolist() == [[0, 0, 1, 1]]
        assert target["masks"].shape == (1, 1, 1)


HUGE = 10**400  # JSON allows it, a float does not


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"bbox": [HUGE, 1, 2, 2]}, {"non-finite-box": 1}),
        ({"bbox": [0.5, 1, HUGE, 2]}, {"non-finite-box": 1}),
        ({"bbox": [1e308, 1, 1e308, 2]}, {"non-finite-box": 1}),
        ({"area": HUGE}, {"bad-area": 1}),
        ({"area": float("nan")}, {"bad-area": 1}),
        ({"iscrowd": HUGE}, {"malformed-flag": 1}),
        ({"segmentation": [[1, 2, HUGE, 2.5, 11, 10]]}, {"malformed-mask": 1}),
        ({"segmentation": [[1, 2, 1e9, 2, 11, 10]]}, {"malformed-mask": 1}),
        ({"segmentation": {"size": [30, 40], "counts": "garbage~~!!"}}, {"malformed-mask": 1}),
        ({"category_id": HUGE}, {"unknown-category": 1}),
        ({"image_id": HUGE}, {"unknown-image": 1}),
    ],
)
def test_numbers_beyond_a_float_are_problems(tmp_path: Path, change: dict, expected: dict) -> None:
    content = write_coco(tmp_path)
    content["annotations"][1] |= change
    assert counts(save(tmp_path, content)) == expected


def test_sides_and_ids_beyond_a_float(tmp_path: Path) -> None:
    content = write_coco(tmp_path)
    content["images"].append({"id": HUGE, "file_name": "x.png", "width": HUGE, "height": 4})
    assert counts(save(tmp_path, content)) == {"bad-image-size": 1}


def test_text_that_cannot_be_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = write_coco(tmp_path)
    content["images"] += [
        {"id": "a\ud800", "file_name": "a.png", "width": 40, "height": 30},
        {"id": 50, "file_name": "\udcff.png", "width": 40, "height": 30},
        {"id": "\x1b[31m" + "x" * 9000, "file_name": "y" * 10_000 + ".png", "width": 40, "height": 30},
    ]
    content["categories"] += [{"id": 11, "name": "\ud83d"}]
    content["categories"][0]["name"] = "c\x1b[2Jat"
    spec = save(tmp_path, content)
    assert counts(spec) == {"malformed-record": 3, "unreadable-image": 1, "image-without-objects": 1}
    capsys.readouterr()
    assert main(["data", "check", spec]) == 1
    told = capsys.readouterr().out
    assert "\x1b" not in told
    assert max(map(len, told.splitlines())) < 400
    assert main(["data", "check", "--json", spec]) == 1
    json.loads(capsys.readouterr().out)


def test_a_damaged_image_is_refused_where_it_is_met(tmp_path: Path) -> None:
    content, path = write_coco(tmp_path), tmp_path / "train" / "2.jpg"
    content["images"][2]["file_name"] = "2.jpg"
    spec = save(tmp_path, content)
    picture(path, 2)
    path.write_bytes(path.read_bytes()[:900])  # its header is whole
    split = open_data(spec).train
    samples = LabeledSamples.of(split, False, 0, 0)
    assert samples[(0, 1)][0].shape == (3, 30, 40)
    with pytest.raises(DataError, match=r"2\.jpg.*\nLeave damaged images out with --skip-damaged"):
        samples[(0, 2)]
    assert counts(spec) == {"unreadable-image": 1}
    assert [image.key.id for image in open_data(spec, skip_damaged=True).train.images] == [0, 1, 3]
    picture(path, 5, 60, 20)  # another image in its place
    with pytest.raises(DataError, match="the file has 60 x 20, the annotations have 40 x 30"):
        samples[(0, 2)]
    assert np.array_equal(samples[(0, 1)][0], samples[(1, 1)][0])


def test_the_command_that_the_refusal_prints_works(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "two words"
    folder.mkdir()
    spec = save(folder, write_coco(folder) | {"annotations": []})
    with pytest.raises(DataError, match="no-objects") as caught:
        open_data(spec)
    *_, command = str(caught.value).partition("adept ")
    assert main(shlex.split(command)) == 1
    assert "no-objects: no object to train on" in capsys.readouterr().out
