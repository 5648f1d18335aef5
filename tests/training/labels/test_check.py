"""Data sets in COCO, VOC and YAML, and every kind of damage in one go."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest

from adept_hub.cli.main import main
from adept_hub.errors import DataError
from adept_training.finetuning.recipe import load_finetune_recipe
from adept_training.finetuning.run import finetune
from adept_training.labels.check import check_data
from adept_training.labels.datasets import open_data
from adept_training.labels.problems import KINDS, of_kind
from tests.training.conftest import TINY
from tests.training.labels.written import picture, save, write_coco


def test_coco_becomes_xyxy_with_labels_in_the_order_of_ids(tmp_path: Path) -> None:
    spec = save(tmp_path, write_coco(tmp_path))
    split = open_data(spec).train
    assert split.classes == ("dog", "cat")
    assert split.parts[0].category_ids == (3, 7)
    assert split.images[2].key.id == 2
    np.testing.assert_array_equal(split.images[0].boxes_M4, [[1, 2, 11, 10], [2, 2, 12, 10]])
    assert split.images[0].labels_M.tolist() == [1, 2]
    assert split.has_masks


def voc_folder(folder: Path) -> Path:
    objects = "".join(
        f"<object><name>{name}</name><difficult>{hard}</difficult><bndbox><xmin>1</xmin><ymin>3</ymin>"
        f"<xmax>20</xmax><ymax>30</ymax></bndbox></object>"
        for name, hard in (("wbc", 0), ("rbc", 1))
    )
    for i, name in enumerate(("train", "val", "test")):
        picture(folder / "JPEGImages" / f"img{i}.png", i)
        xml = f"<annotation><size><width>40</width><height>30</height></size>{objects}</annotation>"
        (folder / "Annotations").mkdir(exist_ok=True)
        (folder / "Annotations" / f"img{i}.xml").write_text(xml)
        (folder / "ImageSets" / "Main").mkdir(parents=True, exist_ok=True)
        (folder / "ImageSets" / "Main" / f"{name}.txt").write_text(f"img{i}\n")
    return folder


def test_images_are_in_the_order_of_their_ids_whatever_that_of_the_file(tmp_path: Path) -> None:
    content = write_coco(tmp_path)
    expected = [(one.key, one.boxes_M4.tolist()) for one in open_data(save(tmp_path, content)).train.images]
    content["images"] = content["images"][1:] + content["images"][:1]
    found = open_data(save(tmp_path, content)).train.images
    assert [(one.key, one.boxes_M4.tolist()) for one in found] == expected
    assert len(expected) > 2


def test_voc_counts_from_one_and_includes_the_last_pixel(tmp_path: Path) -> None:
    data = open_data(f"voc:{voc_folder(tmp_path)}")
    image = data.train.images[0]
    np.testing.assert_array_equal(image.boxes_M4, [[0, 2, 20, 30]] * 2)
    assert data.classes == ("rbc", "wbc")
    assert image.labels_M.tolist() == [2, 1]
    assert image.difficult_M.tolist() == [False, True]
    assert [one.key.id for one in data.pool().images] == ["img0", "img1"]
    assert data.report_split.images[0].key.id == "img2"


def test_yaml_says_the_same_and_joins_lists(tmp_path: Path) -> None:
    voc_folder(tmp_path / "voc")
    path = tmp_path / "data.yaml"
    path.write_text("train: [voc:voc:train, voc:voc:val]\nval: voc:voc:test\nclasses: [wbc, rbc]\n")
    data = open_data(path)
    assert [one.key.id for one in data.train.images] == ["img0", "img1"]
    assert data.classes == ("wbc", "rbc")
    assert data.train.images[0].labels_M.tolist() == [1, 2]
    assert data.test is None


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("nothing", r"^'nothing' is not a labeled data set\.\nGive coco:"),
        ("pascal", r"'pascal' is not a labeled data set\.\nIt seems to be voc:pascal$"),
        ("ann.json", r"\nIt seems to be coco:ann\.json:IMAGE_DIR$"),
        ("roboflow", r"\nIt seems to be yolo:roboflow/data\.yaml$"),
        ("coco:no.json:here", "no annotation file"),
        ("voc:nowhere", "not a Pascal VOC folder"),
        ("x.yaml", "cannot be read"),
        (["a", "b", "c", "d"], "at most three"),
        ([], "No data set is given"),
        (",", "No data set is given"),
        ("coco:ann.json:here", "no image folder .*here"),
        (["voc:pascal:train", "voc:pascal:tset"], r"no image set 'tset'\.\nIts sets .*: test, train\."),
    ],
)
def test_what_is_no_data_set_is_refused(spec, message: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ann.json").write_text("{}")
    (tmp_path / "roboflow").mkdir()
    (tmp_path / "roboflow" / "data.yaml").touch()
    (tmp_path / "pascal" / "ImageSets" / "Main").mkdir(parents=True)
    for name in ("train", "test", "cat_train"):
        (tmp_path / "pascal" / "ImageSets" / "Main" / f"{name}.txt").touch()
    with pytest.raises(DataError, match=message):
        open_data(spec)


def damage(content: dict, folder: Path) -> dict[str, int]:
    """Do one of (nearly) every kind of damage; returns how many of each there are then."""
    images, objects, categories = content["images"], content["annotations"], content["categories"]

    def image(i: int, **changes) -> None:
        images.append({"id": 100 + i, "file_name": f"new{i}.png", "width": 40, "height": 30} | changes)

    def thing(i: int, **changes) -> None:
        objects.append(objects[0] | {"id": 1000 + i, "bbox": [5 + i, 5, 8, 9]} | changes)

    images.append({"id": 99})  # malformed
    image(0)  # missing
    (folder / "train" / "new1.png").write_bytes(b"this is no picture")
    image(1)
    shutil.copy(folder / "train" / "1.png", folder / "train" / "new2.png")
    (folder / "train" / "new2.png").write_bytes((folder / "train" / "new2.png").read_bytes()[:900])  # truncated
    image(2)
    image(3, file_name="../../secret.png")
    image(4, width=0)
    image(5, height="30")
    picture(folder / "train" / "new6.png", 60, width=30, height=40)
    image(6)  # sides exchanged
    images.append(dict(images[0]))  # id twice
    image(7, file_name="2.png")  # file twice
    shutil.copy(folder / "train" / "3.png", folder / "train" / "new8.png")
    image(8)  # same bytes
    shutil.copy(folder / "train" / "2.png", folder / "val" / "3.png")  # in two splits
    categories += [{"id": 7, "name": "bird"}, {"id": 8, "name": "cat"}, {"id": 9, "name": "unseen"}, "dog"]
    objects[1]["category_id"] = 55
    thing(0, id=objects[2]["id"])
    thing(1, image_id=777)
    thing(2, bbox=[1, 2, 3])
    thing(3, bbox=[1, 2, math.nan, 4])
    thing(4, bbox=[1, 2, 0, 4])
    thing(5, bbox=[1, 2, 5, -4])
    thing(6, bbox=[50, 50, 5, 5])
    thing(7, bbox=[30, 20, 40, 40])
    thing(8, bbox=[3, 3, 0.5, 4])
    thing(9, bbox=objects[0]["bbox"])
    thing(10, segmentation=[[1, 2, 3]])
    thing(11, segmentation={"size": [3, 3], "counts": "00"})
    thing(12, segmentation=None)
    thing(13, area=-1)
    objects.append("nothing")
    return {
        "malformed-record": 3, "missing-image": 1, "unreadable-image": 2, "path-outside-folder": 1,
        "bad-image-size": 2, "size-mismatch": 1, "duplicate-image-id": 1, "duplicate-image-file": 1,
        "duplicate-image-content": 1, "image-in-two-splits": 1, "image-without-objects": 5,
        "duplicate-category-id": 1, "duplicate-category-name": 1, "unknown-category": 1,
        "category-without-objects": 1, "categories-differ": 1, "duplicate-annotation-id": 1, "unknown-image": 1,
        "malformed-box": 1, "non-finite-box": 1, "degenerate-box": 2, "box-outside-image": 1, "box-out-of-range": 1,
        "tiny-box": 1, "duplicate-object": 1, "malformed-mask": 2, "object-without-mask": 1, "bad-area": 1,
    }  # fmt: skip


@pytest.fixture
def damaged(tmp_path: Path) -> tuple[list[str], dict[str, int]]:
    content = write_coco(tmp_path)
    val = save(tmp_path, write_coco(tmp_path, name="val", first_seed=50), "val")
    expected = damage(content, tmp_path)
    return [save(tmp_path, content), val], expected


def test_every_kind_of_damage_is_reported_in_one_go(damaged) -> None:
    specs, expected = damaged
    data, problems = check_data(specs)
    assert {kind: len(rows) for kind, rows in of_kind(problems).items()} == expected
    assert len(expected) > 20
    # what is left is sound: every box inside its image, every file readable
    for split in data.splits():
        for image in split.images:
            assert image.path.is_file()
            assert (image.boxes_M4[:, :2] >= 0).all()
            assert (image.boxes_M4[:, 2:] <= (image.width, image.height)).all()
            assert (image.boxes_M4[:, 2:] > image.boxes_M4[:, :2]).all()
            assert ((image.labels_M >= 1) & (image.labels_M <= len(split.classes))).all()


def test_voc_damage(tmp_path: Path) -> None:
    folder = voc_folder(tmp_path)
    annotations, sets = folder / "Annotations", folder / "ImageSets" / "Main"
    sound = (annotations / "img0.xml").read_text()
    for i, text in enumerate(
        [
            "<annotation><size>",  # no XML
            sound.replace("<width>40</width>", ""),
            sound.replace("<xmin>1</xmin>", "<xmin>many</xmin>", 1),
            sound.replace("<xmax>20</xmax>", "<xmax>1e400</xmax>", 1),
            sound.replace("<name>wbc</name>", "<name></name>"),
        ]
    ):
        (annotations / f"bad{i}.xml").write_text(text)
        picture(folder / "JPEGImages" / f"bad{i}.png", 70 + i)
    (sets / "train.txt").write_text("img0\nimg0\nbad0\nbad1 1\nbad2\nbad3\nbad4\nabsent\n../../bad\n")
    _, problems = check_data(f"voc:{folder}")
    counts = {kind: len(rows) for kind, rows in of_kind(problems).items()}
    assert counts == {
        "unreadable-annotations": 2, "path-outside-folder": 1, "bad-image-size": 1, "duplicate-image-id": 1,
        "unknown-category": 1, "malformed-box": 1, "non-finite-box": 1,
    }  # fmt: skip


def test_training_on_damaged_data_is_refused_or_goes_without(damaged, make_checkpoint, tmp_path: Path) -> None:
    source = str(make_checkpoint()[0])
    specs, _ = damaged
    with pytest.raises(DataError, match="adept data check") as refused:
        open_data(specs)
    assert "categories-differ" in str(refused.value)
    assert "--skip-damaged" not in str(refused.value), "it would not help"
    with pytest.raises(DataError, match="categories-differ"):
        open_data(specs, skip_damaged=True)
    content = json.loads(Path(specs[0].split(":")[1]).read_text())
    content["categories"] = [c for c in content["categories"] if c != "dog" and c["name"] != "unseen"]
    specs[0] = save(tmp_path, content)
    with pytest.raises(DataError, match=r"--skip-damaged\. List every problem: adept data check"):
        open_data(specs)
    data = open_data(specs, skip_damaged=True)
    assert len(data.train) == 4 + 1  # the four sound ones and the copy of one
    recipe = load_finetune_recipe(None, [*TINY, "detector.detector=mask_rcnn", "schedule.iterations=3"])
    outcome = finetune("scratch", data, recipe, tmp_path / "run", like=source, accelerator="cpu")
    assert outcome.iterations == 3


def test_annotation_files_that_are_none(tmp_path: Path) -> None:
    content = write_coco(tmp_path)
    for text, kind in [("{", "unreadable-annotations"), ("[]", "missing-section"), ("{}", "missing-section")]:
        (tmp_path / "train.json").write_text(text)
        _, problems = check_data(f"coco:{tmp_path / 'train.json'}:{tmp_path / 'train'}")
        assert {kind, "empty-split"} <= of_kind(problems).keys()
    content["annotations"] = []
    _, problems = check_data(save(tmp_path, content))
    assert "no-objects" in of_kind(problems)


def test_every_kind_is_tested() -> None:
    source = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    assert [kind for kind in KINDS if f'"{kind}"' not in source] == []


def test_the_command(damaged, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    specs, expected = damaged
    assert main(["data", "check", *specs]) == 1
    told = capsys.readouterr().out
    assert all(kind in told for kind in expected)
    assert main(["data", "check", "--json", *specs]) == 1
    report = json.loads(capsys.readouterr().out)
    assert {kind: rows["count"] for kind, rows in report["problems"].items()} == expected
    assert main(["data", "check", f"voc:{voc_folder(tmp_path / 'voc')}"]) == 0
    assert "Sound" in capsys.readouterr().out


def test_a_voc_folder_without_a_set_to_train_on_is_not_trained_on_its_test_set(tmp_path: Path) -> None:
    folder = voc_folder(tmp_path)
    (folder / "ImageSets" / "Main" / "train.txt").unlink()
    with pytest.raises(DataError, match="has no set named train or trainval, only test, val"):
        open_data(f"voc:{folder}")
    (folder / "ImageSets" / "Main" / "trainval.txt").write_text("img0\nimg1\n")
    data = open_data(f"voc:{folder}")
    assert [image.key.id for image in data.train.images] == ["img0", "img1"]
