"""Labels of Hugging Face datasets, against rows that are written by hand."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from adept_hub.errors import AdeptError
from adept_training.images import decode
from adept_training.labels.check import check_data
from adept_training.labels.datasets import open_data

datasets = pytest.importorskip("datasets")

#: Boxes x, y, width, height and classes of three images of 40 x 30 pixels; the second has none.
BOXES = [[[2, 3, 10, 8], [20, 5, 15, 25]], [], [[0, 0, 40, 30]]]
CLASSES = [[1, 0], [], [2]]
CORNERS = [[[2, 3, 12, 11], [20, 5, 35, 30]], [], [[0, 0, 40, 30]]]
NAMES = ["cat", "dog", "emu"]


def picture(number: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(number).integers(0, 256, (30, 40, 3), dtype=np.uint8))


def features(label: object, *, of_lists: bool) -> object:
    one = {
        "bbox": datasets.Sequence(datasets.Value("float32"), 4),
        "category": label,
        "iscrowd": datasets.Value("bool"),
    }
    lists = {name: datasets.Sequence(feature) for name, feature in one.items()}
    return datasets.Features({"image": datasets.Image(), "objects": lists if of_lists else [one]})


def save(folder: Path, *, boxes=BOXES, classes=CLASSES, label=None, of_lists: bool = True, **splits: list[int]) -> str:
    crowds = [[False] * len(row) for row in boxes]
    crowds[0][1] = True
    lists = [
        dict(zip(("bbox", "category", "iscrowd"), row, strict=True)) for row in zip(boxes, classes, crowds, strict=True)
    ]
    if not of_lists:
        lists = [[dict(zip(row, values, strict=True)) for values in zip(*row.values(), strict=True)] for row in lists]
    rows = {"image": [picture(i) for i in range(3)], "objects": lists}
    kind = features(label or datasets.ClassLabel(names=NAMES), of_lists=of_lists)
    whole = datasets.Dataset.from_dict(rows, features=kind)
    splits = splits or {"train": [0, 1, 2]}
    datasets.DatasetDict({name: whole.select(rows) for name, rows in splits.items()}).save_to_disk(folder)
    return f"hf-datasets:{folder}"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.parametrize("of_lists", [True, False])
def test_boxes_classes_and_pixels(tmp_path, of_lists: bool) -> None:
    train = open_data(save(tmp_path / "cells", of_lists=of_lists)).train
    assert train.classes == ("cat", "dog", "emu")
    assert [image.boxes_M4.tolist() for image in train.images] == CORNERS
    assert [image.labels_M.tolist() for image in train.images] == [[2, 1], [], [3]]
    assert [image.crowd_M.tolist() for image in train.images] == [[False, True], [], [False]]
    for number, image in enumerate(train.images):
        assert np.array_equal(decode(image.path.read_bytes(), "x"), np.asarray(picture(number)))


def test_corners_are_declared(tmp_path) -> None:
    word = save(tmp_path / "cells", boxes=CORNERS)
    assert [image.boxes_M4.tolist() for image in open_data(f"{word}?boxes=xyxy").train.images] == CORNERS


def test_the_other_convention_is_refused_with_the_words_for_it(tmp_path, cache) -> None:
    # (20, 5, 35, 30) would end at x = 55 in an image of 40 pixels.
    word = save(tmp_path / "corners", boxes=CORNERS)
    with pytest.raises(AdeptError, match=r"1 of 3 boxes do not fit .*\nWrite (.*)$") as raised:
        open_data(word)
    remedy = str(raised.value).rpartition("Write ")[2]
    assert open_data(remedy).train.images[0].boxes_M4.tolist() == CORNERS[0]
    # Right to left, and beyond: (2, 3, 10, 8) is a box in both conventions, (20, 5, 15, 25) in one.
    word = save(tmp_path / "sides")
    with pytest.raises(AdeptError, match=r"1 of 3 boxes do not fit .*\nWrite (.*)$") as raised:
        open_data(f"{word}?boxes=xyxy")
    assert open_data(str(raised.value).rpartition("Write ")[2]).train.images[0].boxes_M4.tolist() == CORNERS[0]


def test_splits_have_the_roles_of_their_names_or_of_their_places(tmp_path) -> None:
    word = save(tmp_path / "cells", test=[2], validation=[1, 2], train=[0, 2], extra=[0, 1, 2])
    data = open_data(word)
    assert [len(split or ()) for split in (data.train, data.val, data.test)] == [2, 2, 1]
    data = open_data(f"{word}:extra:test")
    assert [len(split or ()) for split in (data.train, data.val)] == [3, 1]
    assert data.test is None
    data = open_data([f"{word}:test", f"{word}:train"])
    assert [len(split or ()) for split in (data.train, data.val)] == [1, 2]


def test_names_as_text_are_classes(tmp_path) -> None:
    word = save(tmp_path / "cells", classes=[["dog", "cat"], [], ["emu"]], label=datasets.Value("string"))
    train = open_data(word).train
    assert train.classes == ("cat", "dog", "emu")
    assert train.images[0].labels_M.tolist() == [2, 1]


def test_a_copy_is_made_once_for_each_content(tmp_path, cache) -> None:
    word = save(tmp_path / "cells")
    first = open_data(word).train.images[0].path
    before = first.stat().st_mtime_ns
    assert open_data(word).train.images[0].path == first
    assert first.stat().st_mtime_ns == before
    save(tmp_path / "other", boxes=[[[1, 1, 5, 5], [2, 2, 6, 6]], [], [[3, 3, 7, 7]]])
    other = open_data(f"hf-datasets:{tmp_path / 'other'}").train
    assert other.images[0].path != first
    assert other.images[2].boxes_M4.tolist() == [[3, 3, 10, 10]]
    assert len(list((cache / "adept_hub" / "datasets").iterdir())) == 2


@pytest.mark.parametrize(
    ("ending", "message"),
    [
        (":tset", "no split 'tset'. Did you mean 'test'"),
        ("?boxes=xywz", "is not hf-datasets:NAME"),
        (":a:b:c:d", "is not hf-datasets:NAME"),
        ("2", "cannot be opened"),
    ],
)
def test_mistakes(tmp_path, ending: str, message: str) -> None:
    word = save(tmp_path / "cells", train=[0, 1], test=[2])
    with pytest.raises(AdeptError, match=message):
        open_data(word + ending)


def test_what_has_no_boxes_or_no_names_is_refused(tmp_path) -> None:
    numbered = save(tmp_path / "numbered", label=datasets.Value("int64"))
    with pytest.raises(AdeptError, match="have no names, because it is not a ClassLabel"):
        open_data(numbered)
    plain = datasets.Dataset.from_dict({"image": [picture(0)], "label": [1]}).cast_column("image", datasets.Image())
    plain.save_to_disk(tmp_path / "plain")
    with pytest.raises(AdeptError, match="has no boxes"):
        open_data(f"hf-datasets:{tmp_path / 'plain'}")
    with pytest.raises(AdeptError, match="no split train, only extra"):
        open_data(save(tmp_path / "extra", extra=[0]))


def test_damage_is_the_check_s(tmp_path) -> None:
    word = save(tmp_path / "cells", classes=[[1, -1], [], [2]])
    kinds = {problem.kind for problem in check_data(word)[1]}
    assert kinds == {"unknown-category", "category-without-objects", "image-without-objects"}


def test_values_that_are_missing_are_the_check_s_too(tmp_path) -> None:
    word = save(tmp_path / "cells", boxes=[[[2, 3, 10, 8], None], [], [[0, 0, 40, 30]]], classes=[[None, 0], [], [2]])
    kinds = [problem.kind for problem in check_data(word)[1] if problem.severity == "error"]
    assert kinds == ["malformed-record", "malformed-box"]


def test_an_unreadable_image_does_not_hide_the_other_convention(tmp_path) -> None:
    save(tmp_path / "cells", boxes=CORNERS)
    stored = datasets.load_from_disk(tmp_path / "cells")["train"]
    plain = stored.cast_column("image", datasets.Image(decode=False))
    rows = [
        row | {"image": {"bytes": b"broken" if i == 2 else row["image"]["bytes"], "path": None}}
        for i, row in enumerate(plain)
    ]
    damaged = datasets.Dataset.from_list(rows, features=stored.features)
    datasets.DatasetDict({"train": damaged}).save_to_disk(tmp_path / "damaged")
    with pytest.raises(AdeptError, match="1 of 2 boxes do not fit"):
        open_data(f"hf-datasets:{tmp_path / 'damaged'}")
