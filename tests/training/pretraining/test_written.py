"""What a pre-training logs, field by field, against values worked out from its settings alone."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from adept_training.pretraining.asked import Asked, next_commands
from adept_training.pretraining.pretrain import pretrain
from tests.training.support import RandomBoxes, tiny, write_photographs

#: 19 of 20 images are trained on: 4 steps an epoch of four images each, of which one and a half are the warm-up.
SETTINGS = (
    "method.name=soco", "method.momentum=0.9", "data.held_out=5", "schedule.epochs=3", "schedule.warmup_epochs=1.5",
    "schedule.warmup_start=0.25", "schedule.final_lr=0.125", "optimizer.lr=0.5", "engine.log_every=5",
    "engine.probe_every=4", "engine.precision=fp32", "views.sizes=[32,32,32]",
)  # fmt: skip
ASKED = Asked(images="my photos", proposals="boxes", init=None, trackers=(), preview=False, report=False)


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    """The records of a run of twelve steps by kind."""
    folder = tmp_path_factory.mktemp("pretrained")
    source = write_photographs(folder / "photographs", 20)
    result = pretrain(tiny(*SETTINGS), source, RandomBoxes(), folder / "run", asked=ASKED)
    assert (result.folder, result.steps, result.planned_steps) == (folder / "run", 12, 12)
    assert (result.interrupted, result.finished_before) == (False, False)
    records = [json.loads(line) for line in (folder / "run" / "log.jsonl").read_text().splitlines()]
    by_kind: dict[str, list[dict[str, Any]]] = {}
    for record in records:
        by_kind.setdefault(record.pop("kind"), []).append(record)
    return by_kind


def lr(step: int) -> float:
    """Linear from a quarter of the peak over the first six steps, then half a cosine down to the last rate."""
    if step < 6:
        return 0.5 * (0.25 + 0.75 * step / 6)
    return 0.125 + (0.5 - 0.125) * (1 + math.cos(math.pi * (step - 6) / 6)) / 2


def momentum(step: int) -> float:
    """From the recipe's to 1 by half a cosine."""
    return 1 - 0.1 * (1 + math.cos(math.pi * step / 12)) / 2


def test_the_first_record_says_what_is_trained_on(log: dict[str, list[dict[str, Any]]]) -> None:
    (start,) = log["start"]
    assert start.pop("time") > 1.7e9
    assert start == {
        "step": 0, "steps": 12, "images": 19, "held_out": 1, "held_out_boxes": 6, "resumed": False, "processes": 1,
        "asked": {**asdict(ASKED), "trackers": []}, "precision": "fp32", "precision_reason": "",
    }  # fmt: skip


def test_every_record_of_training_follows_the_schedules(log: dict[str, list[dict[str, Any]]]) -> None:
    assert [record["step"] for record in log["train"]] == [5, 10, 12], "every five steps, and the last"
    kept = 1.0
    for step in range(12):
        kept *= momentum(step)
        record = next((record for record in log["train"] if record["step"] == step + 1), None)
        if record is None:
            continue
        assert record["lr"] == pytest.approx(lr(step), rel=1e-5)
        assert record["momentum"] == pytest.approx(momentum(step), rel=1e-5)
        assert record["epoch"] == pytest.approx((step + 1) / 4)
        assert record["random_share"] == pytest.approx(kept, rel=1e-4)
        assert record["replaced"] == 0
        assert record["images_per_s"] > 0
        assert 0 <= record["data_wait"] <= 1
        assert record["loss"] == pytest.approx(record["contrast_12"] + record["contrast_13"], rel=1e-4)


def test_probes_are_at_both_ends_and_in_between(log: dict[str, list[dict[str, Any]]]) -> None:
    assert [record["step"] for record in log["probe"]] == [0, 4, 8, 12]
    names = {"head_rank"} | {name.removeprefix("target_") for name in log["probe"][0] if name.startswith("target_")}
    assert {f"{network}_{name}" for network in ("online", "target") for name in names} <= log["probe"][0].keys()
    (end,) = log["end"]
    assert (end["step"], end["interrupted"]) == (12, False)
    assert end["seconds"] > 0
    last = {name: value for name, value in log["probe"][-1].items() if name not in ("step", "time")}
    assert {name: end[name] for name in last} == last


@pytest.mark.parametrize("license", ["mit", "unstated"])
def test_the_next_commands_name_the_run_s_own_folders(license: str) -> None:
    commands = next_commands(Path("runs/my run"), license)
    stated = " --license apache-2.0" if license == "unstated" else ""
    assert commands == [
        "adept export 'runs/my run/export' --to detectron2 --out 'runs/my run/detectron2'",
        "adept finetune 'runs/my run/export' --data DATA --out 'runs/my run/finetune'",
        f"adept push 'runs/my run/export' ORG/NAME{stated}",
    ]


def test_a_run_is_continued_and_repeated_with_what_was_typed(tmp_path: Path) -> None:
    asked = Asked("my photos", "boxes", "start", ("mlflow", "wandb"), preview=True, report=False)
    words = f"adept pretrain --images 'my photos' --out {tmp_path}/{{}} --proposals boxes --init start "
    words += "--track mlflow --track wandb"
    assert asked.resume(tmp_path / "run") == words.format("run") + " --resume"
    assert asked.resume(tmp_path / "run", "--minutes", "9") == words.format("run") + " --minutes 9 --resume"
    changes = f" --recipe {tmp_path}/run/recipe.yaml --set a.b=1 --set c.d=2"
    assert asked.again(tmp_path / "run", ["a.b=1", "c.d=2"]) == words.format("run-2") + changes
    (tmp_path / "run" / "proposals").mkdir(parents=True)
    made = Asked("photos").again(tmp_path / "run", [])
    assert f"--out {tmp_path}/run-2 --proposals {tmp_path}/run/proposals --recipe" in made
    assert Asked("photos").resume(tmp_path / "run") == f"adept pretrain --images photos --out {tmp_path}/run --resume"
