"""Every kind of damage that YOLO's form can have, one by one; the rest of the data set stays sound."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from adept_hub.cli.main import main
from adept_hub.errors import DataError
from adept_training.labels.check import check_data
from adept_training.labels.datasets import open_data
from adept_training.labels.problems import KINDS, of_kind
from tests.training.labels.formats.yolo_written import TWO, write_yolo
from tests.training.labels.written import picture, save, write_coco

IMAGES, LABELS = Path("images/train"), Path("labels/train")


def label(text: str) -> Callable[[Path], None]:
    """Add lines to the labels of image b."""
    return lambda root: (root / LABELS / "b.txt").write_text(TWO + text) and None


def yaml(before: str, after: str) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        text = (root / "data.yaml").read_text()
        assert before in text
        (root / "data.yaml").write_text(text.replace(before, after))

    return change


def listed(*lines: str) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        (root / "train.txt").write_text(
            "".join(f"{line}\n" for line in ("./images/train/a.png", "./images/train/b.png", *lines))
        )
        yaml("train: images/train", "train: train.txt")(root)

    return change


def new_image(make: Callable[[Path], object]) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        (root / LABELS / "new.txt").write_text(TWO)
        make(root / IMAGES / "new.png")

    return change


def two_with_one_label_file(root: Path) -> None:
    picture(root / IMAGES / "b.bmp", 30)


def copy_to_val(root: Path) -> None:
    shutil.copy(root / IMAGES / "b.png", root / "images/val/b.png")


def directory_as_label(root: Path) -> None:
    (root / LABELS / "b.txt").unlink()
    (root / LABELS / "b.txt").mkdir()


def pipe_as_label(root: Path) -> None:
    (root / LABELS / "b.txt").unlink()
    os.mkfifo(root / LABELS / "b.txt")


def no_labels(root: Path) -> None:
    for path in (root / LABELS).iterdir():
        path.unlink()


def empty_split(root: Path) -> None:
    shutil.rmtree(root / "images/val")
    (root / "images/val").mkdir()


#: Kind -> the damage, the images of train that are left, and the objects of image b.
DAMAGE: list[tuple[str, Callable[[Path], object], int, int]] = [
    ("unreadable-annotations", lambda root: (root / LABELS / "b.txt").write_bytes(b"0 0.5 \xff"), 1, -1),
    ("unreadable-annotations", directory_as_label, 1, -1),
    ("unreadable-annotations", pipe_as_label, 1, -1),
    ("missing-section", yaml("names: [wolf, ant]", "colors: [red]"), 2, 0),
    ("missing-section", yaml("val: images/val", "val: images/vla"), 2, 2),
    ("missing-section", no_labels, 2, 0),
    ("malformed-record", yaml("ant]", "ant, 7]"), 2, 2),
    ("malformed-record", yaml("ant]", "ant, ' ']"), 2, 2),
    ("malformed-record", yaml("[wolf, ant]", "{0: wolf, 1: ant, x: owl}"), 2, 2),
    ("malformed-record", yaml("ant]", "ant]\nnc: 3"), 2, 2),
    ("malformed-record", yaml("ant]", "ant]\nnc: two"), 2, 2),
    ("malformed-record", label("0.5 0.5 0.5 0.2 0.3\n"), 2, 2),
    ("malformed-record", label("nan 0.5 0.5 0.2 0.3\n"), 2, 2),
    ("malformed-record", label("1 0.5 0.5 0.2 0.3 0.99\n"), 2, 2),
    ("missing-image", listed("./images/train/none.png"), 2, 2),
    ("missing-image", listed("./images/train/a.png/x.png"), 2, 2),
    ("unreadable-image", new_image(lambda path: path.write_bytes(b"no picture")), 2, 2),
    ("unreadable-image", listed("images/tr\0ain/b.png"), 2, 2),
    ("path-outside-folder", listed("../secret.png"), 2, 2),
    ("path-outside-folder", listed("/etc/secret.png"), 2, 2),
    ("path-outside-folder", listed("https://example.com/b.png"), 2, 2),
    ("extreme-shape", new_image(lambda path: Image.new("RGB", (510, 10)).save(path)), 2, 2),
    ("duplicate-image-id", listed("images/val/../train/b.png"), 2, 2),
    ("duplicate-image-file", two_with_one_label_file, 2, 2),
    ("duplicate-image-content", new_image(lambda path: shutil.copy(path.with_name("b.png"), path)), 3, 2),
    ("image-in-two-splits", copy_to_val, 2, 2),
    ("image-without-objects", lambda root: (root / LABELS / "b.txt").unlink(), 2, 0),
    ("image-without-objects", lambda root: (root / LABELS / "b.txt").write_text("\n \n"), 2, 0),
    ("duplicate-category-id", yaml("[wolf, ant]", "{0: wolf, 1: ant, '1': owl}"), 2, 2),
    ("duplicate-category-name", yaml("ant]", "ant, wolf]"), 2, 2),
    ("unknown-category", label("2 0.5 0.5 0.2 0.3\n"), 2, 2),
    ("unknown-category", label("-1 0.5 0.5 0.2 0.3\n"), 2, 2),
    ("unknown-category", label("ant 0.5 0.5 0.2 0.3\n"), 2, 2),
    ("category-without-objects", yaml("ant]", "ant, owl]"), 2, 2),
    ("unknown-image", lambda root: (root / LABELS / "gone.txt").write_text(TWO), 2, 2),
    ("malformed-box", label("1 0.5 0.5 0.2\n"), 2, 2),
    ("malformed-box", label("1 0.5 0.5 0.2 wide\n"), 2, 2),
    ("malformed-box", label("1 0.5 0.5 0.2 0_3\n"), 2, 2),
    ("malformed-box", label("1\n"), 2, 2),
    ("malformed-box", label("1 20 15 10 9\n"), 2, 2),
    ("non-finite-box", label("1 0.5 nan 0.2 0.3\n"), 2, 2),
    ("non-finite-box", label("1 0.5 0.1 inf 0.3\n"), 2, 2),
    ("non-finite-box", label("1 0.5 0.1 0.2 0.3 nan 0.4\n"), 2, 2),
    ("degenerate-box", label("1 0.5 0.5 0 0.3\n"), 2, 2),
    ("degenerate-box", label("1 0.5 0.5 0.3 -0.3\n"), 2, 2),
    ("degenerate-box", label("1 0.5 0.5 0.5 0.6 0.5 0.7\n"), 2, 2),
    ("box-outside-image", label("1 1.5 0.5 0.2 0.3\n"), 2, 2),
    ("box-out-of-range", label("1 0.9 0.5 0.4 0.3\n"), 2, 3),
    ("tiny-box", label("1 0.5 0.5 0.01 0.3\n"), 2, 3),
    ("duplicate-object", label(TWO[:19]), 2, 3),
    ("malformed-mask", label("1 0.1 0.1 0.5 0.1 0.5 0.5 0.1\n"), 2, 2),
]  # fmt: skip
#: Sizes are read from the images, and labels have no ids and flags.
IMPOSSIBLE = {"bad-image-size", "size-mismatch", "duplicate-annotation-id", "malformed-flag"}
#: Tested below, or of several files.
ELSEWHERE = {"categories-differ", "empty-split", "no-objects", "object-without-mask", "bad-area"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two images in each split, whose objects are polygons in val alone."""
    names = {f"{split}/{name}": TWO for split in ("train", "val") for name in ("a", "b")}
    return write_yolo(tmp_path / "set", names, "names: [wolf, ant]\n").parent


def test_the_table_is_whole() -> None:
    assert {kind for kind, *_ in DAMAGE} | IMPOSSIBLE | ELSEWHERE == set(KINDS)
    assert len({kind for kind, *_ in DAMAGE} | ELSEWHERE) >= 28


def test_what_is_sound_is_sound(root: Path) -> None:
    assert check_data(f"yolo:{root / 'data.yaml'}")[1] == []


@pytest.mark.parametrize(
    ("kind", "damage", "images", "objects"), DAMAGE, ids=[f"{i}-{d[0]}" for i, d in enumerate(DAMAGE)]
)
def test_damage_is_named_and_the_rest_is_kept(
    kind: str, damage: Callable[[Path], object], images: int, objects: int, root: Path
) -> None:
    damage(root)
    data, problems = check_data(f"yolo:{root / 'data.yaml'}")
    found = of_kind(problems)
    assert kind in found, sorted(found)
    # What follows from it: without an object, a class or a split may be empty, too.
    follows = {"no-objects", "image-without-objects", "empty-split", "category-without-objects", "unknown-category"}
    assert found.keys() - follows <= {kind}
    assert len(data.train) == images
    assert {len(image) for image in data.train.images if image.path.stem == "b"} == (
        {objects} if objects >= 0 else set()
    )
    if KINDS[kind][0] == "error":
        with pytest.raises(DataError, match="The data set is damaged"):
            open_data(f"yolo:{root / 'data.yaml'}", skip_damaged=False)


@pytest.mark.parametrize("rows", ["1 0.5 0.5 0.2", "1 0.5 nan 0.2 0.3", "7 0.5 0.5 0.2 0.3", "1 1.5 0.5 0.2 0.3"])
def test_a_damaged_row_is_shown_with_its_file_its_line_and_a_command(
    rows: str, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    label(f"\n{rows}\n")(root)
    line = len((root / LABELS / "b.txt").read_text().splitlines())
    assert main(["data", "check", f"yolo:{root / 'data.yaml'}"]) == 1
    shown = capsys.readouterr().out
    assert f"train: image images/train/b.png, line {line} of labels/train/b.txt: " in shown
    assert "left out" in shown
    assert shown.rstrip().endswith("--skip-damaged")


def test_masks(root: Path) -> None:
    square = "0 0.25 0.2 0.75 0.2 0.75 0.8 0.25 0.8\n"
    line = "1 0.1 0.1 0.3 0.3 0.5 0.5\n"  # has a box, but no area
    (root / LABELS / "b.txt").write_text(square + square.replace("0.8", "0.7") + line + TWO[:19])
    (root / LABELS / "a.txt").write_text(square)
    data, problems = check_data(f"yolo:{root / 'data.yaml'}:train")
    assert {kind: [p.where.split(", ")[1] for p in rows] for kind, rows in of_kind(problems).items()} == {
        "object-without-mask": ["line 4 of labels/train/b.txt"], "bad-area": ["line 3 of labels/train/b.txt"],
    }  # fmt: skip
    assert data.train.has_masks
    (root / LABELS / "b.txt").write_text(square + TWO)  # two polygons and two boxes: no majority
    data, problems = check_data(f"yolo:{root / 'data.yaml'}:train")
    assert problems == []
    assert not data.train.has_masks
    assert data.train.images[1].boxes_M4[0].tolist() == [10, 6, 30, 24]


def test_problems_of_a_whole_split(root: Path, tmp_path: Path) -> None:
    empty_split(root)
    _, problems = check_data(f"yolo:{root / 'data.yaml'}")
    assert set(of_kind(problems)) == {"empty-split", "unknown-image"}  # val's labels lost their images
    save(tmp_path, write_coco(tmp_path))
    mixed = tmp_path / "mixed.yaml"
    mixed.write_text("train: yolo:set/data.yaml:train\nval: coco:train.json:train\n")
    assert "categories-differ" in of_kind(check_data(mixed)[1])
    (root / LABELS / "a.txt").write_text("5 0.5 0.5 0.1 0.1\n")
    (root / LABELS / "b.txt").write_text("")
    assert "no-objects" in of_kind(check_data(f"yolo:{root / 'data.yaml'}:train")[1])


def test_problems_of_the_classes_are_counted_once(root: Path) -> None:
    yaml("[wolf, ant]", "[wolf, ant, wolf, 7]")(root)
    found = of_kind(check_data(f"yolo:{root / 'data.yaml'}")[1])
    assert [len(found[kind]) for kind in ("duplicate-category-name", "malformed-record")] == [1, 1]


def test_labels_without_an_image_in_the_folder_of_a_list(root: Path) -> None:
    listed()(root)
    picture(root / IMAGES / "unlisted.png", 9)
    (root / LABELS / "unlisted.txt").write_text(TWO)
    (root / LABELS / "classes.txt").write_text("wolf\nant\n")
    assert check_data(f"yolo:{root / 'data.yaml'}")[1] == []
    (root / LABELS / "gone.txt").write_text(TWO)
    assert set(of_kind(check_data(f"yolo:{root / 'data.yaml'}")[1])) == {"unknown-image"}


def test_names_that_are_not_utf8(root: Path) -> None:
    shutil.copy(root / IMAGES / "b.png", os.fsencode(root / IMAGES) + b"/\xff.png")
    _, problems = check_data(f"yolo:{root / 'data.yaml'}")
    assert [(p.kind, str(p)) for p in problems] == [
        ("unreadable-image", "train: image images/train/\\udcff.png: its name is not UTF-8")
    ]


def test_pixels_and_scores_are_named_as_such(root: Path) -> None:
    (root / LABELS / "b.txt").write_text("0 20 15 10 9\n1 0.5 0.5 0.2 0.3 0.99\n")
    found = [str(p) for p in check_data(f"yolo:{root / 'data.yaml'}")[1]]
    assert "0 20 15 10 9: not shares of the image's sides, from 0 to 1" in found[0]
    assert "the sixth value is a score" in found[1]
