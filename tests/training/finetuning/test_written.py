"""What a fine-tuning writes and returns, field by field, for a run of known evaluations on a part of the labels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import adept_training.finetuning.session as module
from adept_hub.checkpoint.folder import read_config
from adept_hub.detectors.folder import read_detector
from adept_hub.io.schema import to_dict
from adept_hub.spec import Start
from adept_training.finetuning.recipe import load_finetune_recipe, lr_factor
from adept_training.finetuning.run import finetune
from adept_training.labels.datasets import open_data
from tests.house import ANCHORS, CLASSES, LICENSE, NAME, TUNE, House, HouseData

#: AP of the validations after iterations 2, 4 and 6.
APS = {2: 11.0, 4: 33.0, 6: 22.0}
SETTINGS = (*TUNE, "schedule.iterations=6", "engine.evaluations=3", "engine.log_every=2", "norms.precise_batches=0",
            "engine.batch_size=2", "schedule.warmup=4", "schedule.warmup_start=0.5")  # fmt: skip


class Evaluated:
    """An evaluation with one figure."""

    def __init__(self, ap: float) -> None:
        self.ap = ap

    def flat(self) -> dict[str, float | None]:
        return {"AP": self.ap, "AP50": self.ap + 1, "AR": None}

    def as_json(self) -> dict[str, Any]:
        return {"images": 5, "metrics": self.flat()}


@pytest.fixture
def written(house: House, house_data: HouseData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Any]:
    """A finished run of six iterations on one of the two labeled images."""
    asked: list[str] = []

    def evaluate(model: Any, split: Any) -> Evaluated:
        asked.append(split.name)
        return Evaluated(APS[2 * len(asked)] if len(asked) <= 3 else 55.0)

    monkeypatch.setattr(module, "evaluate", evaluate)
    monkeypatch.setattr(module, "learned_nothing", lambda history, ap, step: f"{history} {ap} {step}")
    data = open_data(house_data.words(house_data.train, house_data.val, house_data.other))
    subset = data.train.subset([data.train.images[1].key])
    recipe = load_finetune_recipe(None, SETTINGS)
    result = finetune(
        house.source, data, recipe, tmp_path / "run", subset=subset, accelerator="cpu", license="mit", relicense=True
    )
    assert asked == ["val", "val", "val", "test"]
    return tmp_path / "run", (result, data, subset)


def test_every_field_that_a_run_leaves(written: tuple[Path, Any], house: House) -> None:
    run, (result, data, subset) = written
    start = Start(NAME, house.config.sha256, LICENSE)
    caution = "[(2, 11.0), (4, 33.0), (6, 22.0)] 55.0 6"

    assert (result.folder, result.iterations, result.planned_iterations, result.interrupted) == (run, 6, 6, False)
    assert (result.chosen, result.best_iteration, result.best_ap) == ("best", 4, 33.0)
    assert (result.report_split, result.report.ap, result.caution) == ("test", 55.0, caution)

    content = json.loads((run / "metrics.json").read_text())
    assert content.pop("seconds") > 0
    assert content == {
        "source": house.source, "data": data.spec, "trained_on": len(subset), "split": "test", "chosen": "best",
        "iteration": 4, "validation": [[2, 11.0], [4, 33.0], [6, 22.0]], "images": 5,
        "metrics": {"AP": 55.0, "AP50": 56.0, "AR": None}, "caution": caution,
    }  # fmt: skip
    content = json.loads((run / "run.json").read_text())
    assert "202" in content.pop("load_report")
    key = subset.images[0].key
    assert content == {
        "source": house.source, "data": data.spec, "classes": list(CLASSES), "starts": [to_dict(start)],
        "image_ids": {part.source: [key.id] if key.part == part.number else [] for part in subset.parts},
    }  # fmt: skip
    assert json.loads((run / "evaluations.json").read_text()) == [[2, 11.0], [4, 33.0], [6, 22.0]]

    for name, iterations, metrics in (("best", 4, 55.0), ("last", 6, None)):
        provenance, (_, config) = read_config(run / name).provenance, read_detector(run / name)
        # Two images an iteration, of which there is one.
        assert (provenance.images, provenance.epochs, provenance.labeled) == (1, 2.0 * iterations, True)
        assert (provenance.starts, provenance.relicensed, provenance.method) == ((start,), True, "adept_joint")
        assert provenance.data == f"labels of 3 classes, from {NAME}"
        assert read_config(run / name).license == "mit"
        assert (config.source, config.classes, config.iterations) == (house.source, CLASSES, iterations)
        assert config.metrics.get("AP") == metrics
        assert tuple(config.recipe.anchors) == ANCHORS


def test_every_field_of_a_run_s_log(written: tuple[Path, Any]) -> None:
    run, _ = written
    recipe = load_finetune_recipe(None, SETTINGS)
    records = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    trained = [record for record in records if record["kind"] == "train"]
    assert [record["step"] for record in trained] == [2, 4, 6]
    for record in trained:
        assert record["lr"] == pytest.approx(recipe.peak_lr * lr_factor(record["step"] - 1, recipe), rel=1e-5)
        assert record["images_per_s"] > 0
        assert 0 <= record["data_wait"] < 1
        terms = [value for name, value in record.items() if name.startswith("loss_")]
        assert len(terms) == 4
        assert record["loss"] == pytest.approx(sum(terms), rel=1e-4)
    assert trained[0]["lr"] != trained[1]["lr"], "within the warm-up and behind it"
    validations = [record for record in records if record["kind"] == "validation"]
    assert [(record["step"], record["AP"], record["AP50"], record["AR"]) for record in validations] == [
        (step, ap, ap + 1, None) for step, ap in APS.items()
    ]
    end = records[-1]
    assert (end["kind"], end["step"], end["interrupted"], end["AP"], end["AP50"]) == ("end", 6, False, 55.0, 56.0)
    assert end["seconds"] > 0
