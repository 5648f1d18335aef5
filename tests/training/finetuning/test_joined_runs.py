"""Runs on joined parts: the best checkpoint, the data set's own class order, and subsets that are empty."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from adept_hub.checkpoint.folder import read_config
from adept_hub.cli.main import main
from adept_hub.detectors.folder import DetectorConfig
from adept_hub.detectors.recipe import DetectorRecipe
from adept_hub.errors import DataError
from adept_training.finetuning import session as module
from adept_training.finetuning.detector import build_detector, save_detector
from adept_training.finetuning.recipe import load_finetune_recipe
from adept_training.finetuning.run import finetune
from adept_training.labels.datasets import open_data
from adept_training.metrics.evaluate import evaluate_detections
from tests.house import AP_BOTH, CLASSES, TUNE, House, HouseData
from tests.training.labels.test_identity import joined, perfect


def test_the_best_is_chosen_by_all_parts_of_a_joined_validation(
    house: House, house_data: HouseData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the first of two validations everything is found in val and half in other, at the second in val alone."""
    data = open_data(joined(house_data))
    assert data.val is not None
    everything = perfect(data.val)
    first, last = (next(key for key in everything if key.part == part) for part in (2, 3))
    rounds = iter([{key: one for key, one in everything.items() if key.part == 2 or key == last},
                   {key: one for key, one in everything.items() if key.part == 2}])  # fmt: skip
    assert first.id == last.id
    monkeypatch.setattr(module, "evaluate", lambda model, split: evaluate_detections(split, next(rounds, everything)))
    recipe = load_finetune_recipe(None, TUNE)
    outcome = finetune(house.source, data, recipe, tmp_path / "run", accelerator="cpu")
    history = json.loads((tmp_path / "run" / "evaluations.json").read_text())
    assert [at for at, _ in history] == [2, 4]
    assert [ap for _, ap in history] == pytest.approx([AP_BOTH, 5100 / 101], abs=1e-3)
    assert (outcome.chosen, outcome.best_iteration) == ("best", 2)
    ids = json.loads((tmp_path / "run" / "run.json").read_text())["image_ids"]
    assert list(ids.values()) == [["0007", "12b", "7", "a 1"]]


def test_a_detector_is_evaluated_on_another_order_of_its_classes(
    house: House, house_data: HouseData, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = DetectorRecipe(test_side=64, max_side=90, score_threshold=0.0, detections=9)
    model = build_detector(house.source, 3, recipe, 0)
    config = DetectorConfig(house.source, CLASSES, recipe, 0, {})
    save_detector(tmp_path / "best", model, config, house.config.spec, read_config(house.folder))
    results = []
    for at, classes in enumerate([CLASSES, CLASSES[::-1]]):
        path = house_data.val.parent / f"{at}.yaml"
        path.write_text(f"train: coco:val.json:.\nclasses: [{', '.join(classes)}]\n")
        words = ["--data", str(path), "--device", "cpu", "--json", "--save-detections", str(tmp_path / f"{at}.json")]
        assert main(["evaluate", str(tmp_path / "best"), *words]) == 0
        report = json.loads(capsys.readouterr().out)
        results.append((report["metrics"], report["per_class"], json.loads((tmp_path / f"{at}.json").read_text())))
    assert results[0] == results[1]
    assert results[0][2], "something is found, though at random"
    path.write_text("train: coco:val.json:.\nclasses: [zebra, mouse]\n")
    assert main(["evaluate", str(tmp_path / "best"), "--data", str(path)]) == 1


def test_a_subset_without_images_does_not_become_all_of_them(house_data: HouseData, tmp_path: Path) -> None:
    data = open_data(house_data.words())
    with pytest.raises(DataError, match="no objects to train on"):
        finetune(
            "scratch", data, load_finetune_recipe(None, TUNE), tmp_path / "run", subset=replace(data.train, images=())
        )


def test_the_labels_of_joined_parts_are_named_by_one_file(
    house: House, house_data: HouseData, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = joined(house_data)
    path.write_text(path.read_text().split("val: ")[1].join(["train: ", ""]))
    assert main(["data", "subset", str(path), "--labels", "3img", "--seed", "5", "--out", str(tmp_path / "few")]) == 0
    expected = [json.loads(file.read_text())["image_ids"] for file in sorted((tmp_path / "few").glob("subset.part*"))]
    assert sorted(map(len, expected)) == [1, 2]
    words = ["--device", "cpu", *(word for setting in TUNE for word in ("--set", setting))]
    run = ["finetune", house.source, "--data", str(path), "--out", str(tmp_path / "run"), *words]
    assert main([*run, "--labels", str(tmp_path / "absent.json")]) == 1
    assert f"There is no file {tmp_path / 'absent.json'}" in capsys.readouterr().err
    assert main([*run, "--labels", str(tmp_path / "few" / "subset.json")]) == 0
    ids = json.loads((tmp_path / "run" / "run.json").read_text())["image_ids"]
    assert list(ids.values()) == expected
