"""Which image is meant: joined parts that share ids, ids that are text, and files that keep both."""

from __future__ import annotations

import contextlib
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from adept_hub.cli.main import main
from adept_hub.detectors.detections import Detections
from adept_hub.detectors.recipe import DetectorRecipe
from adept_hub.errors import DataError
from adept_training.finetuning.detector import build_detector
from adept_training.labels.check import check_data
from adept_training.labels.datasets import open_data
from adept_training.labels.identity import ImageKey, in_order, read_id, spelled
from adept_training.labels.problems import of_kind
from adept_training.labels.records import LabeledImage, Split
from adept_training.labels.subsets import Budget, draw
from adept_training.metrics.coco_files import load_detections, save_detections
from adept_training.metrics.confusion import confusion
from adept_training.metrics.evaluate import evaluate, evaluate_detections
from adept_training.metrics.predict import predict
from adept_training.metrics.recall import proposal_recall
from adept_training.metrics.report.page import write_predictions, write_report
from tests.house import AP_BOTH, HouseData
from tests.training.made import image, imperfect, split


def perfect(truth: Split) -> dict[ImageKey, Detections]:
    return {
        one.key: Detections(one.boxes_M4, np.linspace(0.9, 0.8, len(one)), one.labels_M) for one in truth.images
    }  # fmt: skip


def joined(data: HouseData, name: str = "joined.yaml") -> Path:
    """val and other as one split: the same four text ids twice, for other images."""
    path = data.val.parent / name
    words = [f"coco:{file.name}:." for file in (data.val, data.other)]
    path.write_text(f"train: coco:{data.train.name}:.\nval: [{', '.join(words)}]\n")
    return path


@pytest.fixture
def both(house_data: HouseData) -> Split:
    return open_data(joined(house_data)).report_split


@pytest.mark.parametrize(
    ("value", "image_id"),
    [(0, 0), (-3, -3), (7.0, 7), ("000001", "000001"), ("1", "1"), ("a b", "a b"),
     (True, None), (None, None), (1.5, None), (float("nan"), None), (float("inf"), None), ("", None), ("\ud800", None),
     ([1], None), ({}, None)],
)  # fmt: skip
def test_an_id_is_a_number_or_a_text_and_stays_one(value, image_id) -> None:
    found = read_id(value)
    assert found == image_id
    assert type(found) is type(image_id)


def test_ids_are_in_pycocotools_order() -> None:
    assert sorted([10, 9, -1], key=in_order) == sorted([10, 9, -1])
    assert sorted(["10", "9", "001", "a"], key=in_order) == sorted(["10", "9", "001", "a"])
    assert spelled(1) == spelled("1") != spelled("01")


def test_a_split_refuses_two_images_with_one_key_and_results_of_others() -> None:
    one, two = image(1, [[0, 0, 9, 9]], [1]), image("1", [[0, 0, 9, 9]], [2])
    with pytest.raises(ValueError, match="one key"):
        split(one, one)
    with pytest.raises(ValueError, match="unlisted part"):
        split(image(1, [], [], part=2))
    truth = split(one, two)
    with pytest.raises(KeyError, match="has no image"):
        truth.subset([ImageKey(1, "2")])
    with pytest.raises(ValueError, match="lacks 1 of the images"):
        evaluate_detections(truth, {**perfect(truth), ImageKey(2, 1): Detections.none()})


def test_every_metric_keeps_parts_apart_that_share_ids(both: Split, tmp_path: Path) -> None:
    assert len({one.key for one in both.images}) == 8
    assert len({one.key.id for one in both.images}) == 4
    figures = evaluate_detections(both, perfect(both)).flat()
    assert figures["AP"] == figures["AR100"] == figures["VOC_AP50"] == figures["VOC07_AP50"] == 100
    assert not any(figures[f"TIDE_{kind}"] for kind in ("Cls", "Loc", "Both", "Dupe", "Bkg", "Miss", "FalseNeg"))
    np.testing.assert_array_equal(confusion(both, perfect(both)).matrix(), np.diag([0, 4, 4, 4]))
    # What one part's images hold is wrong on the other's.
    exchanged = {ImageKey(5 - key.part, key.id): one for key, one in perfect(both).items()}
    assert evaluate_detections(both, exchanged).flat()["AP"] < 70
    # The page shows the worst image of the part that it is in, and pictures of both parts.
    first, last = both.images[0], both.images[4]
    assert first.key.id == last.key.id
    found = perfect(both)
    one = found[first.key]
    found[first.key] = Detections(one.boxes_D4[:2], one.scores_D[:2], one.labels_D[:2])
    evaluation = evaluate_detections(both, {key: one for key, one in found.items() if key != last.key})
    write_report(evaluation, tmp_path / "report.html", "joined")
    captions = (tmp_path / "report.html").read_text().split("Worst images: Miss")[1]
    assert f"{last.key.id} of {both.part(last.key).source}: 3 x Miss" in captions
    assert f"{first.key.id} of {both.part(first.key).source}: 1 x Miss" in captions
    written = write_predictions(evaluation, tmp_path / "pictures", 8)
    assert len(set(written)) == len(list((tmp_path / "pictures").rglob("*.jpg"))) == 8


def test_pictures_of_one_stem_do_not_overwrite_each_other(tmp_path: Path) -> None:
    made = []
    for at, name in enumerate(["a.png", "a.bmp", "cam/a.png", "b.png"]):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (200, 200), (60 * at, 0, 0)).save(tmp_path / name)
        made.append(replace(image(at, [[9, 9, 50, 50]], [1]), path=tmp_path / name, file_name=name))
    written = write_predictions(evaluate_detections(split(*made), {}), tmp_path / "out")
    assert [path.relative_to(tmp_path / "out").as_posix() for path in written] == [
        "a.jpg", "a.bmp.jpg", "cam/a.jpg", "b.jpg",
    ]  # fmt: skip
    assert [Image.open(path).getpixel((90, 90))[0] // 50 for path in written] == [0, 1, 2, 3]


def test_a_subset_of_parts_that_share_ids_does_not_depend_on_their_order(both: Split) -> None:
    turned = replace(both, images=both.images[::-1])
    for budget in (Budget(1, "img"), Budget(3, "img"), Budget(1, "shot")):
        for seed in range(3):
            one, two = (draw(truth, budget, seed).images for truth in (both, turned))
            assert {key(o) for o in one} == {key(o) for o in two}


def key(one: LabeledImage) -> tuple:
    return one.key, one.boxes_M4.tobytes()


def test_a_detector_on_a_joined_split_finds_in_each_image_what_it_finds_in_it_alone(house, both: Split) -> None:
    recipe = DetectorRecipe(test_side=64, max_side=90, score_threshold=0.0, detections=7)
    model = build_detector(house.source, 3, recipe, 0)
    found, proposed = predict(model, both)
    assert len(found) == len(proposed) == 8
    for one in both.images:
        alone, _ = predict(model, both.subset([one.key]))
        np.testing.assert_array_equal(found[one.key].boxes_D4, alone[one.key].boxes_D4)
    first, last = both.images[0].key, both.images[4].key
    assert not np.array_equal(found[first].scores_D, found[last].scores_D)
    assert evaluate(model, both).flat() == evaluate_detections(both, found, proposal_recall(both, proposed)).flat()


def ids_of(rows: list[dict]) -> list[tuple]:
    return sorted((row["image_id"], row["category_id"]) for row in rows)


def pycocotools_ap(annotations: Path, results: Path) -> float:
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(annotations))
        evaluation = COCOeval(truth, truth.loadRes(str(results)), "bbox")
        for step in (evaluation.evaluate, evaluation.accumulate, evaluation.summarize):
            step()
    return 100 * float(evaluation.stats[0])


def test_results_of_joined_parts_are_read_and_written_a_file_for_each(
    house_data: HouseData, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["evaluate", "none", "--data", str(joined(house_data)), "--json", "--detections"]
    saved = tmp_path / "out" / "found.json"
    given = [str(house_data.perfect), str(house_data.half)]
    assert main([*words, *given, "--save-detections", str(saved)]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["metrics"]["AP"] == pytest.approx(AP_BOTH, abs=1e-3)
    files = [Path(path) for path in report["detections"]]
    assert [path.name for path in files] == ["found.part1.json", "found.part2.json"]
    assert set(saved.parent.iterdir()) == set(files)
    for path, original, truth in zip(files, given, (house_data.val, house_data.other), strict=True):
        rows = json.loads(path.read_text())
        expected = json.loads(Path(original).read_text())
        assert {(r["image_id"], r["category_id"]) for r in rows} == {
            (r["image_id"], r["category_id"]) for r in expected
        }
        assert pycocotools_ap(truth, path) == pytest.approx(pycocotools_ap(truth, Path(original)))
    for again in ([str(saved)], [str(path) for path in files]):
        assert main([*words, *again]) == 0
        assert json.loads(capsys.readouterr().out)["metrics"] == report["metrics"]
    # one file cannot say which part is meant
    assert main([*words, str(files[0])]) == 1
    told = capsys.readouterr().err
    assert "joins 2 parts that share ids: give a file per part, in this order: coco:" in told
    assert main([*words, str(saved), str(files[0]), str(files[1])]) == 1


def test_an_older_single_file_is_not_read_in_place_of_the_parts(both: Split, tmp_path: Path) -> None:
    saved = tmp_path / "found.json"
    one = both.per_file()[0]
    assert save_detections(saved, one, perfect(one)) == [saved]
    save_detections(saved, both, perfect(both))
    assert evaluate_detections(both, load_detections([saved], both)).flat()["AP"] == 100


def test_parts_whose_ids_all_differ_share_a_file_unless_they_number_categories_differently(tmp_path: Path) -> None:
    def part(name: str, ids: list, categories: dict[int, str]) -> str:
        numbers = list(categories)
        content = {
            "images": [{"id": i, "file_name": f"{i}.png", "width": 200, "height": 200} for i in ids],
            "annotations": [{"id": at, "image_id": i, "category_id": numbers[at % 2], "bbox": [9, 9, 50, 40]}
                            for at, i in enumerate(ids)],
            "categories": [{"id": k, "name": v} for k, v in categories.items()],
        }  # fmt: skip
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
        return f"coco:{name}.json:."

    from adept_training.labels.sources import read_data

    two = {4: "cat", 6: "dog"}
    first = part("first", [1, 2], two)
    for other, ids, categories, files in [
        ("apart", [3, 4], two, 1),
        ("same", [2, 3], two, 2),
        ("spelled", ["1", "x"], two, 2),
        ("numbered", [5, 6], {14: "cat", 16: "dog"}, 2),
    ]:
        path = tmp_path / f"{other}.yaml"
        path.write_text(f"train: [{first}, {part(other, ids, categories)}]\n")
        truth = read_data(path)[0].train
        written = save_detections(tmp_path / f"{other}.found.json", truth, perfect(truth))
        assert len(written) == files, other
        rows = [row for file in written for row in json.loads(file.read_text())]
        assert [row["image_id"] for row in rows] == [1, 2, *ids]
        assert [row["category_id"] for row in rows] == [4, 6, *categories]
        assert (
            evaluate_detections(truth, load_detections([tmp_path / f"{other}.found.json"], truth)).flat()["AP"] == 100
        )


def test_1_and_its_text_are_not_one_image(house_data: HouseData, tmp_path: Path) -> None:
    content = json.loads(house_data.val.read_text())
    content["images"][0]["id"] = 7  # another has the id "7"
    for row in content["annotations"]:
        row["image_id"] = 7 if row["image_id"] == "0007" else row["image_id"]
    house_data.val.write_text(json.dumps(content))
    data, problems = check_data(house_data.words(house_data.val))
    (case,) = of_kind(problems)["duplicate-image-id"]
    assert "a number and a string with the same digits" in case.detail
    assert "unknown-image" not in of_kind(problems)
    assert len(data.train) == 3
    with pytest.raises(DataError, match="duplicate-image-id"):
        open_data(house_data.words(house_data.val))


def test_annotations_whose_image_ids_are_of_another_type_are_told_so(house_data: HouseData) -> None:
    content = json.loads(house_data.val.read_text())
    for row in content["annotations"]:
        row["image_id"] = 7 if row["image_id"] == "0007" else 8
    house_data.val.write_text(json.dumps(content))
    _, problems = check_data(house_data.words(house_data.val))
    details = {problem.detail for problem in of_kind(problems)["unknown-image"]}
    assert details == {"image_id 7, a number where the image has a string, or vice versa", "image_id 8"}


def test_the_same_images_twice_in_a_split_are_named(house_data: HouseData) -> None:
    path = house_data.val.parent / "twice.yaml"
    word = f"coco:{house_data.val.name}:."
    path.write_text(f"train: [{word}, {word}]\n")
    data, problems = check_data(path)
    assert len(of_kind(problems)["duplicate-image-id"]) == len(data.train) == 4


def test_train_and_val_of_one_file_are_one_part_and_pooled_once(house_data: HouseData) -> None:
    path = house_data.val.parent / "pool.yaml"
    one, two = (f"coco:{file.name}:." for file in (house_data.val, house_data.other))
    path.write_text(f"train: {one}\nval: [{two}, {one}]\ntest: {two}\n")
    data = open_data(path)
    assert [part.number for split in data.splits() for part in split.parts] == [1, 2, 1, 2]
    assert len(data.pool()) == 8
    assert data.pool().apart


@pytest.mark.parametrize("ids", [["000001", "2"], [10, 9], ["a b", "ä"]])
def test_results_keep_the_type_of_every_id(ids: list, tmp_path: Path) -> None:
    truth = split(*(image(i, [[10, 10, 90, 60]], [2]) for i in ids))
    found = imperfect(truth, objects_missed=0)
    (path,) = save_detections(tmp_path / "found.json", truth, found)
    assert {row["image_id"] for row in json.loads(path.read_text())} == set(ids)
    again = load_detections([path], truth)
    assert evaluate_detections(truth, again).flat() == evaluate_detections(truth, found).flat()
