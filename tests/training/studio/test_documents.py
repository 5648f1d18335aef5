"""Documents of the page against numbers worked by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from adept_hub.errors import DataError
from adept_training.labels.identity import ImageKey
from adept_training.labels.records import Split
from adept_training.pretraining.setup import make_samples
from adept_training.studio.errors import errors_document
from adept_training.studio.image_sets import ImageSet, open_sets
from adept_training.studio.objectness import as_ranks
from adept_training.studio.proposals import Tables, boxes_document, first_ranks, recall_document
from adept_training.studio.runs import runs_document
from adept_training.studio.sources import open_source
from adept_training.studio.views import ViewMaker
from tests.training import made
from tests.training.studio.conftest import OBJECTS, TABLE
from tests.training.support import tiny, tiny_detection


@pytest.fixture
def tables(boxes: Path) -> Tables:
    table = open_source(str(boxes)).table
    assert table is not None
    return Tables([("boxes", table)])


def test_first_box_that_covers_an_object() -> None:
    image = made.image("a", [[0, 0, 10, 10], [20, 20, 40, 40], [50, 50, 60, 60], [70, 70, 90, 90]], [1, 1, 2, 1], [2])
    # IoU with the first: 0.5 at rank 2; with the second: 9 / 20 at rank 3, 11 / 20 at rank 4; nothing on the fourth.
    found = np.array([[50, 50, 60, 60], [0, 0, 10, 5], [20, 20, 40, 29], [20, 20, 40, 31]], np.float32)
    assert first_ranks(image, found) == [2, 4, 0, None]
    assert first_ranks(image, found[:0]) == [None, None, 0, None]


def test_boxes_of_an_image_and_recall_of_all(tables: Tables, split: Split) -> None:
    (images,) = open_sets([], None, split)
    document = boxes_document(tables, images, 3)
    (one,) = document["tables"]
    assert one["boxes"] == [[float(v) for v in box] for box in TABLE]
    # The whole image covers neither; half of the first object does (IoU 0.5), and the second is a box itself.
    assert one["first"] == [2, 3]
    assert [truth["box"] for truth in document["truth"]] == [[float(v) for v in box] for box in OBJECTS]
    assert boxes_document(tables, images, 29)["tables"] == [None]
    (recall,) = recall_document(tables, images)["tables"]
    assert (recall["images"], recall["of"]) == (29, 30)
    assert dict(zip((1, 3, 10), recall["recall"], strict=False)) == {1: 0.0, 3: 100.0, 10: 100.0}


def test_errors_of_a_detector() -> None:
    truth = made.split(made.image("a", OBJECTS, [1, 2]), made.image("b", OBJECTS, [1, 2]), classes=2)
    found = {
        # right; the second object taken for class 1; nothing is there
        ImageKey(1, "a"): made.detections([OBJECTS[0], OBJECTS[1], [150, 150, 180, 180]], [0.9, 0.8, 0.7], [1, 1, 2]),
        # the first object right; the second not found
        ImageKey(1, "b"): made.detections([OBJECTS[0]], [0.6], [1]),
    }
    document = errors_document(truth, found)
    assert {one["kind"]: one["count"] for one in document["kinds"]} == {
        "Cls": 1, "Loc": 0, "Both": 0, "Dupe": 0, "Bkg": 1, "Miss": 1,
    }  # fmt: skip
    rows = {one["kind"]: one for one in document["errors"]}
    assert (rows["Cls"]["i"], rows["Cls"]["class"], rows["Cls"]["object_class"], rows["Cls"]["score"]) == (0, 0, 1, 0.8)
    assert rows["Cls"]["found"] == rows["Cls"]["object"] == [40.0, 40.0, 70.0, 70.0]
    assert (rows["Bkg"]["found"], "object" in rows["Bkg"]) == ([150.0, 150.0, 180.0, 180.0], False)
    assert (rows["Miss"]["i"], rows["Miss"]["object"], "found" in rows["Miss"]) == (1, [40.0, 40.0, 70.0, 70.0], False)
    # AP50: class 1 has precisions 1 and 2/3 at recalls 1/2 and 1, class 2 finds nothing.
    assert document["ap50"] == pytest.approx(100 * (51 + 50 * 2 / 3) / 101 / 2, abs=0.01)


def test_runs_of_a_comparison(comparison: Path, tmp_path: Path) -> None:
    document = runs_document(comparison)
    assert (document["sources"], len(document["runs"])) == (["scratch", "mine"], 6)
    (table,) = document["tables"]
    base, mine = table["cells"]
    assert (base["values"], base["gain"]) == ({"0": 10.0, "1": 11.0, "2": 12.0}, None)
    assert (mine["pairs"], mine["mean"]["mean"]) == ({"0": 2.0, "1": 3.0, "2": 4.0}, 14.0)
    # Student's t of two degrees of freedom, a deviation of 1 and three seeds.
    assert mine["gain"] == {"mean": 3.0, "half": pytest.approx(4.303 / 3**0.5, abs=0.001)}
    assert mine["word"] == "better"
    (tmp_path / "runs.jsonl").write_text("{")
    with pytest.raises(DataError, match="no finished run yet"):
        runs_document(tmp_path)


def test_ranks_of_a_map() -> None:
    ranks = as_ranks(torch.tensor([[-4.0, 9.0], [0.5, 3.0]]))
    torch.testing.assert_close(ranks, torch.tensor([[0.0, 1.0], [1 / 3, 2 / 3]]))


@pytest.mark.parametrize("recipe", [tiny("engine.seed=3"), tiny_detection("engine.seed=3")], ids=["adept", "detection"])
def test_views_are_those_that_training_draws(recipe, tables: Tables, folder: Path) -> None:
    """By the samples of a run on the whole source, at another place than the first."""
    (images,) = open_sets([], str(folder), None)
    maker, epoch, i = ViewMaker(recipe, tables, 0), 2, 4
    document = maker.document(images, i, epoch)
    keys = tables.table(0).keys()

    class Source:
        def read(self, key: str) -> bytes:
            return images.read(int(key.removeprefix("elsewhere/")))

    sample = make_samples(recipe, Source(), tables.table(0), keys, None)[epoch, i]
    trained = sample.objects if recipe.method.name == "detection" else sample.boxes1_S[0]
    expected = sorted(
        np.round(trained.boxes_NK4.tolist(), 1).tolist()[k] for k in range(len(trained.real_NK)) if trained.real_NK[k]
    )
    shown = sorted(one["box"] for one in document["panels"][0]["boxes"] if one["level"] >= 0)
    np.testing.assert_allclose(shown, expected, atol=0.051)
    assert not document["held_out"]
    assert document["panels"][-1]["positives"] is not None
    assert maker.document(images, 29, 0) == {"missing": "boxes"}


def test_names_of_a_list_are_those_below_its_common_folder() -> None:
    keys = ("/data/a/1.jpg", "/data/b/1.jpg")
    assert ImageSet("x", keys).names == ("a/1.jpg", "b/1.jpg")
    assert ImageSet("x", ("a/1.jpg", "/b.jpg")).names == ("a/1.jpg", "/b.jpg")
    assert ImageSet("x", ("/data/a/1.jpg",)).names == ("1.jpg",)
