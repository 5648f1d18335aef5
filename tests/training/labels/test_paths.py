"""Which file an image is: sub-folders, odd stems, odd endings, other systems' separators, byte order marks."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from adept_training.labels.check import check_data
from adept_training.labels.identity import ImageKey
from adept_training.labels.problems import of_kind
from adept_training.metrics.coco_files import save_annotations

BOX = "<bndbox><xmin>3</xmin><ymin>4</ymin><xmax>20</xmax><ymax>25</ymax></bndbox>"


def voc_set(folder: Path, files: dict[str, str], lines: list[str] | None = None, written: str = "") -> Path:
    """A VOC folder with a train set: for each stem an XML, and an image of its own content by the name given."""
    for part in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (folder / part).mkdir(parents=True)
    for at, (stem, name) in enumerate(files.items()):
        annotation, image = folder / "Annotations" / f"{stem}.xml", folder / "JPEGImages" / name
        for path in (annotation, image):
            path.parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(at).integers(0, 255, (30, 40, 3), np.uint8)
        Image.fromarray(noise).save(image, format="PNG")
        annotation.write_text(
            f"<annotation><filename>{written.format(name)}</filename><size><width>40</width><height>30</height></size>"
            f"<object><name>ant</name>{BOX}</object></annotation>"
        )
    (folder / "ImageSets" / "Main" / "train.txt").write_text("\n".join(lines or files) + "\n", encoding="utf-8")
    return folder


def names(folder: Path) -> dict[object, str]:
    """Which file each image of a sound set is."""
    data, problems = check_data(f"voc:{folder}")
    assert not of_kind(problems)
    assert all(one.path == folder / "JPEGImages" / one.file_name for one in data.train.images)
    return {one.key.id: one.file_name for one in data.train.images}


@pytest.mark.parametrize(
    "files",
    [
        {"cam1/0000": "cam1/0000.jpg", "cam2/0000": "cam2/0000.jpg"},
        {"a": "a.JPG", "b": "b.jpg"},
        {"a": "a.Jpeg", "b": "b.PNG"},
        {"night 1": "night 1.jpg", "night": "night.jpg"},
        {"a.b": "a.b.jpg", "a": "a.jpg"},
        {"größe": "größe.png"},
    ],
)
def test_a_stem_is_its_own_file(files: dict[str, str], tmp_path: Path) -> None:
    folder = voc_set(tmp_path / "voc", files)
    assert names(folder) == files
    data, _ = check_data(f"voc:{folder}")
    ((path, part),) = save_annotations(tmp_path / "annotations.json", data.train)
    again, problems = check_data(f"coco:{path}:{part.folder}")
    assert not of_kind(problems)
    assert {one.key.id: one.file_name for one in again.train.images} == files


def test_two_folders_with_equal_stems_are_kept_apart(tmp_path: Path) -> None:
    for at, site in enumerate(("site1", "site2")):
        folder = voc_set(
            tmp_path / site, {"other": "other.jpg", "img_1": "img_1.jpg"} if at else {"img_1": "img_1.jpg"}
        )
        for xml in (folder / "Annotations").iterdir():
            xml.write_text(xml.read_text().replace("<xmin>3", f"<xmin>{10 + at}"))
    path = tmp_path / "data.yaml"
    path.write_text("train: [voc:site1:train, voc:site2:train]\n")
    data, _ = check_data(path)
    rows = [(one.key, one.path.parent.parent.name, one.boxes_M4[0, 0]) for one in data.train.images]
    assert rows == [
        (ImageKey(1, "img_1"), "site1", 9), (ImageKey(2, "other"), "site2", 10), (ImageKey(2, "img_1"), "site2", 10),
    ]  # fmt: skip
    written = save_annotations(tmp_path / "annotations.json", data.train)
    for (file, part), site in zip(written, ("site1", "site2"), strict=True):
        assert part.folder == tmp_path / site / "JPEGImages"
        again, problems = check_data(f"coco:{file}:{part.folder}")
        assert not of_kind(problems)
        assert len(again.train) == (1 if site == "site1" else 2)


def test_an_xml_that_names_another_image_does_not_take_its_file(tmp_path: Path) -> None:
    """a.JPG and b.jpg; a.xml was copied from b.xml."""
    folder = voc_set(tmp_path / "voc", {"a": "a.JPG", "b": "b.jpg"}, written="b.jpg")
    assert names(folder) == {"a": "a.JPG", "b": "b.jpg"}


@pytest.mark.parametrize("written", ["{}", "C:\\photos\\{}", "/home/me/photos/{}"])
def test_an_xml_may_name_the_file_where_none_has_its_stem(written: str, tmp_path: Path) -> None:
    folder = voc_set(tmp_path / "voc", {"1": "IMG_7.jpg", "sub/2": "sub/IMG_8.jpg"}, written=written)
    for xml, name in (("1.xml", "IMG_7.jpg"), ("sub/2.xml", "IMG_8.jpg")):
        path = folder / "Annotations" / xml
        path.write_text(path.read_text().replace("sub/", "") if xml.startswith("sub") else path.read_text())
        assert name in path.read_text()
    assert names(folder) == {"1": "IMG_7.jpg", "sub/2": "sub/IMG_8.jpg"}


def test_of_two_files_of_one_stem_the_xml_decides(tmp_path: Path) -> None:
    folder = voc_set(tmp_path / "voc", {"a": "a.png"}, written="{}")
    Image.new("RGB", (40, 30)).save(folder / "JPEGImages" / "a.jpg")
    assert names(folder) == {"a": "a.png"}
    xml = folder / "Annotations" / "a.xml"
    xml.write_text(xml.read_text().replace("a.png", ""))
    assert names(folder) == {"a": "a.jpg"}


def test_two_stems_of_one_file_are_named(tmp_path: Path) -> None:
    folder = voc_set(tmp_path / "voc", {"1": "IMG_7.jpg", "2": "IMG_8.jpg"}, written="IMG_7.jpg")
    _, problems = check_data(f"voc:{folder}")
    (case,) = of_kind(problems)["duplicate-image-file"]
    assert case.where == "image 2"
    assert "IMG_7.jpg" in case.detail


def test_lines_of_an_image_set(tmp_path: Path) -> None:
    """A byte order mark, Windows' ends of lines, a class's flags, and stems with spaces beside one without."""
    files = {stem: f"{stem}.jpg" for stem in ("first", "a b", "a", "c", "last one 1")}
    folder = voc_set(tmp_path / "voc", files)
    path = folder / "ImageSets" / "Main" / "train.txt"
    path.write_bytes("\ufefffirst 1\r\na b\r\na -1\r\n\r\n  c  \r\nlast one 1\r\n".encode())
    assert names(folder) == {"first": "first.jpg", **files}


def test_a_list_of_windows_paths(tmp_path: Path) -> None:
    folder = voc_set(tmp_path / "voc", {"cam1/0": "cam1/0.jpg"}, lines=["cam1\\0"])
    assert names(folder) == {"cam1\\0": "cam1/0.jpg"}
    path = folder / "ImageSets" / "Main" / "train.txt"
    path.write_text("..\\..\\secret\n")
    _, problems = check_data(f"voc:{folder}")
    assert "path-outside-folder" in of_kind(problems)


def coco(folder: Path, file_names: list[str]) -> str:
    content = {
        "images": [{"id": i, "file_name": name, "width": 40, "height": 30} for i, name in enumerate(file_names)],
        "annotations": [
            {"id": i, "image_id": i, "category_id": 5, "bbox": [1, 2, 9, 9]} for i in range(len(file_names))
        ],
        "categories": [{"id": 5, "name": "ant"}],
    }  # fmt: skip
    (folder / "ann.json").write_text(json.dumps(content))
    return f"coco:{folder / 'ann.json'}:{folder}"


def test_separators_of_another_system(tmp_path: Path) -> None:
    for at, name in enumerate(["cam1/0.png", "cam2/0.png", "odd\\name.png"]):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        noise = np.random.default_rng(at).integers(0, 255, (30, 40, 3), np.uint8)
        Image.fromarray(noise).save(tmp_path / name)
    # A file whose name has a backslash is that file.
    data, problems = check_data(coco(tmp_path, ["cam1\\0.png", ".\\cam2\\0.png", "odd\\name.png"]))
    assert not of_kind(problems)
    assert [one.path.relative_to(tmp_path).as_posix() for one in data.train.images] == [
        "cam1/0.png", "cam2/0.png", "odd\\name.png",
    ]  # fmt: skip
    ((path, part),) = save_annotations(tmp_path / "written.json", data.train)
    assert all((part.folder / row["file_name"]).is_file() for row in json.loads(path.read_text())["images"])


@pytest.mark.parametrize("name", ["..\\0.png", "a\\..\\..\\0.png", "../0.png", "/etc/0.png", "a\0.png", ""])
def test_names_that_lead_out_of_the_folder(name: str, tmp_path: Path) -> None:
    _, problems = check_data(coco(tmp_path, [name]))
    assert "path-outside-folder" in of_kind(problems)


def test_one_file_under_two_spellings_is_named(tmp_path: Path) -> None:
    (tmp_path / "cam").mkdir()
    Image.new("RGB", (40, 30)).save(tmp_path / "cam" / "0.png")
    for other in ("./cam/0.png", "cam//0.png", "cam\\0.png"):
        _, problems = check_data(coco(tmp_path, ["cam/0.png", other]))
        assert len(of_kind(problems)["duplicate-image-file"]) == 1, other
