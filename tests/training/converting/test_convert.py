"""Conversions: hand-worked numbers, round trips by this reader and pycocotools, and what is lost by name."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import yaml
from PIL import Image

from adept_hub.cli.main import main
from adept_hub.errors import DataError, OutputExistsError
from adept_training import evaluate
from adept_training.converting.convert import Converted, convert_data
from adept_training.labels.datasets import open_data
from adept_training.labels.records import Data
from tests.training.conftest import write_voc
from tests.training.labels.formats.yolo_written import NAMES, TWO, write_yolo
from tests.training.labels.test_check import voc_folder
from tests.training.labels.written import picture, save


def coco(folder: Path, name: str, seed: int, **changes: object) -> str:
    """Two images in subfolders, text and number as ids, classes in another order than the alphabet's."""
    files = ("x/0.png", "y/0.png")
    for at, file in enumerate(files):
        picture(folder / name / file, seed + at)
    shapes = [[[4, 3, 20.25, 3, 20.25, 18]], [[1, 1, 9, 1, 9, 9, 1, 9]], [[10, 12, 30, 12, 30, 27.5]]]
    boxes = [[4, 3, 16.25, 15], [1, 1, 8, 8], [10, 12, 20, 15.5]]
    rows = [
        {"id": at + 30, "image_id": image, "category_id": category, "bbox": box, "area": 60 + at, "iscrowd": 0,
         "segmentation": shape, "note": "lost"}
        for at, (image, category, box, shape) in enumerate(zip(("s", 12, 12), (9, 4, 9), boxes, shapes, strict=True))
    ]  # fmt: skip
    content = {
        "images": [{"id": ("s", 12)[i], "file_name": file, "width": 40, "height": 30} for i, file in enumerate(files)],
        "categories": [{"id": 4, "name": "wolf"}, {"id": 9, "name": "no"}, {"id": 11, "name": "unseen"}],
        "annotations": rows, **changes,
    }  # fmt: skip
    return save(folder, content, name)


def content_of(data: Data) -> list[tuple]:
    """Everything that all formats have: role, pixels of the image, class names and boxes, sorted."""
    rows = []
    for role, split in data.roles().items():
        for image in split.images:
            pixels = np.asarray(Image.open(image.path).convert("RGB")).tobytes()
            objects = [
                (split.classes[label - 1], np.round(box, 3).tolist())
                for label, box in zip(image.labels_M, image.boxes_M4, strict=True)
            ]
            rows.append((role, pixels, sorted(objects)))
    return sorted(rows)


def read(converted: Converted) -> Data:
    return open_data(converted.words)


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    return [coco(tmp_path / "c", "train", 0), coco(tmp_path / "c", "val", 10)]


def test_coco_to_yolo_by_hand(words: list[str], tmp_path: Path) -> None:
    done = convert_data(words, "yolo", tmp_path / "out")
    assert done.words == (f"yolo:{tmp_path / 'out' / 'data.yaml'}",)
    assert yaml.safe_load((tmp_path / "out/data.yaml").read_text()) == {
        "train": "images/train", "val": "images/val", "names": {0: "wolf", 1: "no", 2: "unseen"},
    }  # fmt: skip
    # Corners (4, 3), (20.25, 3), (20.25, 18) of 40 x 30.
    text = (tmp_path / "out/labels/train/x/0.txt").read_text()
    assert text == "1 0.100000 0.100000 0.506250 0.100000 0.506250 0.600000\n"
    assert content_of(read(done)) == content_of(open_data(words))


def test_voc_to_yolo_by_hand(tmp_path: Path) -> None:
    # (0, 2, 20, 30) of 40 x 30: center 10, 16; sides 20, 28. The second object is difficult.
    done = convert_data(f"voc:{voc_folder(tmp_path / 'voc')}", "yolo", tmp_path / "out")
    text = (tmp_path / "out/labels/test/img2.txt").read_text()
    assert text == "1 0.250000 0.533333 0.500000 0.933333\n0 0.250000 0.533333 0.500000 0.933333\n"
    assert "difficult objects become ordinary ones: 3" in done.lost
    assert any("other fields of VOC" in line for line in done.lost)
    assert "coordinates are rounded, by at most 1.3e-05 pixels" in done.lost  # 40 x 1/3 of 1e-6


def test_coco_to_voc_by_hand(words: list[str], tmp_path: Path) -> None:
    done = convert_data(words, "voc", tmp_path / "out")
    root = ElementTree.parse(tmp_path / "out/Annotations/train/y/0.xml").getroot()
    boxes = [
        [int(box.findtext(edge) or "") for edge in ("xmin", "ymin", "xmax", "ymax")] for box in root.iter("bndbox")
    ]
    assert boxes == [[2, 2, 9, 9], [11, 13, 30, 28]]  # (1, 1, 9, 9) and (10, 12, 30, 27.5)
    assert [one.text for one in root.iter("name")] == ["wolf", "no"]
    assert (tmp_path / "out/ImageSets/Main/val.txt").read_text() == "val/y/0\nval/x/0\n"  # numbers first, then text
    assert done.words == (str(tmp_path / "out/data.yaml"),)
    data = read(done)
    assert data.classes == ("wolf", "no")  # not the alphabet's order
    assert {"masks become boxes: 6", "classes without an object are left out: 1",
            "coordinates are rounded, by at most 0.5 pixels"} <= set(done.lost)  # fmt: skip


def test_yolo_to_coco_by_pycocotools(tmp_path: Path) -> None:
    from pycocotools.coco import COCO

    triangle = "2 0.1 0.1 0.6 0.1 0.1 0.6\n"
    file = write_yolo(tmp_path / "y", {"train/a": triangle, "train/b": triangle + TWO[:19], "test/c d": TWO[:19]})
    done = convert_data(f"yolo:{file}:train:test", "coco", tmp_path / "out")
    assert done.words[1] == f"coco:{tmp_path}/out/val.json:{tmp_path}/out/images"
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(tmp_path / "out" / "train.json")
    assert {c["id"]: c["name"] for c in truth.loadCats(truth.getCatIds())} == {1: "wolf", 2: "ant", 3: "no bird"}
    (first,) = truth.loadAnns(truth.getAnnIds(imgIds=1))
    np.testing.assert_allclose(first["bbox"], [4, 3, 20, 15])
    assert (first["category_id"], first["area"]) == (3, pytest.approx(150))
    assert truth.loadImgs(1)[0]["file_name"] == "train/a.png"
    assert 120 < truth.annToMask(first).sum() < 180
    assert content_of(read(done)) == content_of(open_data(f"yolo:{file}:train:test"))
    assert "image ids are numbers from 1 on, and file_name has the names" in done.lost
    assert "category ids count from 1, in the order of the classes" in done.lost


@pytest.mark.parametrize("images", ["copy", "link", "none"])
def test_coco_to_coco_keeps_ids_names_and_areas(images: str, words: list[str], tmp_path: Path) -> None:
    done = convert_data(words, "coco", tmp_path / "out", images=images)
    before, after = open_data(words), read(done)
    for one, other in zip(before.train.images, after.train.images, strict=True):
        assert one.key.id == other.key.id
        assert one.area_M.tolist() == other.area_M.tolist()
        assert one.masks == other.masks
    assert after.train.parts[0].category_ids == (4, 9, 11)
    assert content_of(before) == content_of(after)
    path = after.train.images[0].path
    assert path.is_symlink() == (images == "link")
    assert path.is_relative_to(tmp_path / "out") == (images != "none")


@pytest.mark.parametrize("second", ["coco", "voc", "yolo"])
@pytest.mark.parametrize("first", ["coco", "voc", "yolo"])
def test_round_trips(first: str, second: str, tmp_path: Path) -> None:
    """Boxes on whole pixels survive every way; of 40 x 32, whose shares have few decimals."""
    whole = "1 0.25 0.5 0.5 0.5\n0 0.5 0.625 0.25 0.25\n"
    file = write_yolo(tmp_path / "y", {"train/a": whole, "train/b.c": "", "val/a": whole[:19], "test/a": whole[19:]},
                      NAMES.replace(", no bird", ""))  # fmt: skip
    for path in (tmp_path / "y").rglob("*.png"):
        picture(path, len(str(path)) + ord(path.parent.name[0]), 40, 32)
    spec = f"yolo:{file}"
    one = convert_data(spec, first, tmp_path / "one", images="link")
    two = convert_data(one.words, second, tmp_path / "two")
    back = convert_data(two.words, "yolo", tmp_path / "back")
    assert content_of(open_data(spec)) == content_of(read(one)) == content_of(read(two)) == content_of(read(back))
    assert read(back).classes == ("wolf", "ant")
    ids = [image.key.id for image in open_data(spec).train.images]
    if (first, second) == ("yolo", "yolo"):
        assert [image.key.id for image in read(back).train.images] == ids


def test_crowds_rle_and_several_polygons(tmp_path: Path) -> None:
    from pycocotools import mask as api

    parts = [[2, 2, 10, 2, 10, 10, 2, 10], [20, 5, 28, 5, 28, 9, 20, 9], [14, 20, 30, 20, 30, 28, 14, 28]]
    rle = {"size": [30, 40], "counts": [100, 7, 1093]}
    common = {"image_id": 12, "category_id": 4, "area": 9}
    rows = [
        {**common, "id": 1, "bbox": [2, 2, 28, 26], "iscrowd": 0, "segmentation": parts},
        {**common, "id": 2, "bbox": [3, 10, 1, 7], "iscrowd": 0, "segmentation": rle},
        {**common, "id": 3, "bbox": [3, 9, 20, 9], "iscrowd": 1, "segmentation": rle},
        {**common, "id": 4, "bbox": [6, 6, 20, 9], "iscrowd": 0, "segmentation": parts[2:]},
    ]
    spec = coco(tmp_path / "c", "train", 0, annotations=rows)
    done = convert_data(spec, "yolo", tmp_path / "yolo")
    image = read(done).train.images[0 if len(read(done).train.images[0]) else 1]
    assert image.masks is not None
    drawn = [api.decode(api.merge(api.frPyObjects(shape, 30, 40))) for shape in (image.masks[0], parts)]
    assert (drawn[0] != drawn[1]).sum() <= 12  # the line between the parts has no width
    assert float(image.area_M[0]) == pytest.approx(8 * 8 + 8 * 4 + 16 * 8, rel=1e-4)
    assert {"crowd regions are left out: 1", "masks that are not polygons (RLE) become boxes: 1",
            "objects of several polygons become one polygon, joined by lines without width: 1",
            "boxes that differ from their polygon's by more than half a pixel become the polygon's: 1",
            } <= set(done.lost)  # fmt: skip
    done = convert_data(spec, "voc", tmp_path / "voc")
    assert "crowd regions become difficult objects: 1" in done.lost
    assert sum(one.difficult_M.sum() for one in read(done).train.images) == 1


def test_images_of_one_name_or_stem_stay_apart(tmp_path: Path) -> None:
    coco(tmp_path / "c", "val", 0)
    content = json.loads((tmp_path / "c/val.json").read_text())
    for at, name in enumerate(("x/0.bmp", "x\n.png")):
        picture(tmp_path / "c/val" / name, 80 + at)
        content["images"].append({"id": 70 + at, "file_name": name, "width": 40, "height": 30})
    (tmp_path / "c/val.json").write_text(json.dumps(content))
    spec = f"coco:{tmp_path}/c/val.json:{tmp_path}/c/val"
    for to in ("yolo", "voc"):
        done = convert_data(spec, to, tmp_path / to)
        assert len(content_of(read(done))) == 4
        assert [row[:2] for row in content_of(read(done))] == [row[:2] for row in content_of(open_data(spec))]
        assert sum("2 images are renamed" in line for line in done.lost) == 1
    for folder in ("one", "other"):
        coco(tmp_path / folder, "train", len(folder))
    specs = [f"coco:{tmp_path}/{folder}/train.json:{tmp_path}/{folder}/train" for folder in ("one", "other")]
    for to in ("yolo", "voc", "coco"):
        done = convert_data(specs, to, tmp_path / f"two_{to}")
        assert len(content_of(read(done))) == 4


def test_joined_files_that_repeat_ids_are_numbered(tmp_path: Path) -> None:
    coco(tmp_path, "one", 0)
    coco(tmp_path, "two", 5)
    (tmp_path / "all.yaml").write_text("train: [coco:one.json:one, coco:two.json:two]")
    done = convert_data(tmp_path / "all.yaml", "coco", tmp_path / "out")
    assert "image ids are numbers from 1 on, because joined files repeat some" in done.lost
    assert [image.key.id for image in read(done).train.images] == [1, 2, 3, 4]
    assert content_of(read(done)) == content_of(open_data(tmp_path / "all.yaml"))
    done = convert_data(tmp_path / "all.yaml", "coco", tmp_path / "none", images="none")
    assert content_of(read(done)) == content_of(open_data(tmp_path / "all.yaml"))
    (tmp_path / "all.yaml").write_text("train: [coco:one.json:one, coco:again.json:one]")
    (tmp_path / "again.json").write_text((tmp_path / "one.json").read_text())
    with pytest.raises(DataError, match="train has two records of the image"):
        convert_data(tmp_path / "all.yaml", "yolo", tmp_path / "again")
    assert not (tmp_path / "again").exists()


def test_links_leave_the_images_alone(words: list[str], tmp_path: Path) -> None:
    path = tmp_path / "c/train/x/0.png"
    path.chmod(0o400)
    done = convert_data(words, "voc", tmp_path / "out", images="link")
    assert path.stat().st_mode & 0o777 == 0o400
    assert read(done).train.images[1].path.readlink() == path


def test_labels_alone_say_where_the_images_go(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "convert", *words, "--to", "yolo", "--out", str(tmp_path / "out"), "--images", "none"]) == 0
    told = capsys.readouterr().out
    assert f"First put the images into {tmp_path / 'out' / 'images'}" in told
    assert told.splitlines()[-1] == f"  adept data check yolo:{tmp_path / 'out' / 'data.yaml'}"
    assert not list((tmp_path / "out").rglob("*.png"))


def test_the_command(words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "convert", *words, "--to", "voc", "--out", str(tmp_path / "out")]) == 0
    told = capsys.readouterr().out
    assert "train: 2 images, 3 objects\n" in told
    assert "Not the same: masks become boxes: 6\n" in told
    assert f"Use it with: --data {tmp_path / 'out' / 'data.yaml'}\n" in told
    with pytest.raises(OutputExistsError):
        convert_data("nothing", "voc", tmp_path / "out")  # refused before the data are read
    content = json.loads((tmp_path / "c/train.json").read_text())
    content["annotations"][0]["bbox"] = [1, 2, 0, 4]
    (tmp_path / "c/train.json").write_text(json.dumps(content))
    assert main(["data", "convert", *words, "--to", "voc", "--out", str(tmp_path / "two")]) == 1
    assert not (tmp_path / "two").exists()
    assert main(["data", "convert", *words, "--to", "voc", "--out", str(tmp_path / "two"), "--skip-damaged"]) == 0


def test_what_voc_cannot_say_is_refused(words: list[str], tmp_path: Path) -> None:
    train, val = (tmp_path / f"c/{name}.json" for name in ("train", "val"))
    val.write_text(train.read_text().replace('"bbox": [4, 3', '"bbox": [5, 3'))
    specs = [words[0], f"coco:{val}:{tmp_path}/c/train"]
    with pytest.raises(DataError, match="different labels in two splits"):
        convert_data(specs, "voc", tmp_path / "out")
    assert content_of(read(convert_data(specs, "yolo", tmp_path / "yolo")))
    train.write_text(train.read_text().replace('"no"', '" no"'))
    with pytest.raises(DataError, match="class ' no' cannot be written as XML"):
        convert_data(words[:1], "voc", tmp_path / "out")


def test_the_same_metrics_in_every_format(tmp_path: Path) -> None:
    words: tuple[str, ...] = (f"voc:{write_voc(tmp_path / 'voc', 2)}",)
    found = []
    for to in ("yolo", "coco", "voc"):
        sizes = {"test_side": 64, "max_side": 96, "test_proposals": 50}
        found.append(evaluate("adept_joint", words, device="cpu", detector=sizes).flat())
        words = convert_data(words, to, tmp_path / f"to_{to}").words
    assert found[0] == found[1] == found[2]
    assert found[0]["RPN_AR1000"] > 0
