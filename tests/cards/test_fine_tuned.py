"""The card of a fine-tuned run: the metrics of this very detector, and the limitations of one."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import adept_hub
from adept_hub.cards.card import render_card
from adept_hub.cards.measurements import with_measurements
from adept_hub.checkpoint.folder import read_config, write_config
from adept_hub.cli.main import main
from adept_hub.errors import PublishError
from tests.cards.test_measurements import write

DATA = "pins test, 17 images, fine-tuned on 12 images"


@pytest.fixture
def tuned(make_checkpoint, tmp_path: Path) -> Path:
    """A run named pins: best of iteration 30, which its metrics are of, and last of 40."""
    run = tmp_path / "pins"
    for name, iterations in (("best", 30), ("last", 40)):
        folder, config, _ = make_checkpoint(half=True, folder=run / name)
        of_labels = replace(config.provenance, labeled=True, images=12, recipe={"detector": "mask_rcnn"}, metrics=())
        write_config(folder, replace(config, provenance=of_labels))
        detector = {"format_version": 2, "classes": ["pin"], "recipe": {}, "iterations": iterations}
        write(folder / "detector.json", detector)
    write(run / "metrics.json", measured())
    return run


def measured(**changes: Any) -> dict[str, Any]:
    """As ``adept finetune`` leaves them in metrics.json: the source is the start."""
    return {
        "source": "adept_joint", "data": "coco:/home/someone/test.json:~/pins/images", "trained_on": 12,
        "split": "test", "chosen": "best", "iteration": 30, "images": 17, "metrics": {"AP50": 40.25, "APs": None},
    } | changes  # fmt: skip


def metrics_of(folder: Path) -> list[tuple[str, float, str, str]]:
    found = with_measurements(read_config(folder), folder).provenance.metrics
    return [(m.name, m.value, m.data, m.command) for m in found]


def test_the_metrics_beside_a_run_are_on_its_card(tuned: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tuned / "metrics.json", measured(data="coco:/home/someone/pins.json:~/images"))
    assert main(["card", str(tuned)]) == 0
    card = capsys.readouterr().out
    command = "adept evaluate pins --data coco:pins.json:images --split test"
    assert f"| AP50 | 40.25 | - | {DATA} | self-reported | `{command}` |" in card
    assert "None yet" not in card
    assert "someone" not in card
    assert "APs" not in card


def test_a_path_with_spaces_is_shortened_to_its_last_part(tuned: Path) -> None:
    for data, words in (
        ("coco:/home/al smith/the clinic/test.json:~/the clinic/images", "coco:test.json:images"),
        ("coco:/a b/c.json:/d e coco:/a b/f.json:/d e", "'coco:c.json:d e' 'coco:f.json:d e'"),
        ("yolo:/my sets/the pins/data.yaml,val", "yolo:data.yaml,val"),
    ):
        write(tuned / "metrics.json", measured(data=data))
        assert metrics_of(tuned / "best")[0][3] == f"adept evaluate pins --data {words} --split test"


def test_only_the_detector_that_was_measured_has_the_metrics(tuned: Path) -> None:
    write(tuned / "metrics.json", measured(data="coco:pins.json:images"))
    command = "adept evaluate pins --data coco:pins.json:images --split test"
    assert metrics_of(tuned / "best") == [("AP50", 40.25, DATA, command)]
    assert metrics_of(tuned / "last") == []
    for source, best, last in (
        ("runs/pins", [7.5], []), ("runs/pins/best", [7.5], []), ("runs/pins/last", [], [7.5]),
    ):  # fmt: skip
        own = {"source": source, "split": "val", "images": 5, "metrics": {"AP75": 7.5}}
        write(tuned / "evaluations" / "bolts.json", own)
        for name, values in (("best", best), ("last", last)):
            found = [row for row in metrics_of(tuned / name) if row[0] == "AP75"]
            assert found == [("AP75", value, "bolts val, 5 images, fine-tuned on 12 images", "") for value in values]


def test_a_copy_of_metrics_among_the_evaluations_is_not_of_the_run_itself(tuned: Path) -> None:
    """Fine-tuned again from this detector, as docs/hub.md copies the files of several seeds."""
    copy = measured(source="runs/pins/best", data="", trained_on=3, metrics={"AP75": 7.5})
    write(tuned / "evaluations" / "bolts" / "0.json", copy)
    again = "bolts test, 17 images, fine-tuned on 3 images"
    assert [row for row in metrics_of(tuned / "best") if row[0] == "AP75"] == [("AP75", 7.5, again, "")]
    write(tuned / "evaluations" / "bolts" / "0.json", copy | {"source": "runs/other", "data": "coco:a.json:b"})
    with pytest.raises(PublishError, match="measured 'runs/other', not this checkpoint"):
        metrics_of(tuned / "best")


def test_metrics_of_another_run_are_refused(tuned: Path) -> None:
    other = {"source": "runs/other", "split": "val", "images": 5, "metrics": {"AP75": 7.5}}
    write(tuned / "evaluations" / "bolts.json", other)
    with pytest.raises(PublishError, match="measured 'runs/other', not this checkpoint"):
        metrics_of(tuned / "best")


def test_what_is_said_of_it_is_said_of_a_fine_tuned_detector(tuned: Path) -> None:
    config = read_config(tuned / "best")
    card = " ".join(render_card(config).split())
    assert "fine-tuned on 12 labeled images" in card
    assert "The parts of a Mask R-CNN (backbone, fpn, rpn, head), fine-tuned with labels." in card
    for of_pre_training in ("Selective-search boxes", "darkness", "Pre-trained parts", "not trained yet"):
        assert of_pre_training not in card
    one = replace(config, provenance=replace(config.provenance, images=1, notes=("Trained in the dark.",)))
    limits = render_card(one).split("## Limitations")[1]
    assert "on 1 labeled image:" in limits
    assert "- Trained in the dark." in limits


def test_labels_in_a_start_make_no_fine_tuned_detector(make_checkpoint: Callable[..., Any]) -> None:
    """Pre-training from a timm ResNet has labels in its past."""
    config = make_checkpoint()[1]
    card = render_card(replace(config, provenance=replace(config.provenance, labeled=True)))
    assert "Selective-search boxes" in card
    assert "Pre-trained parts" in card


def test_push_publishes_the_metrics_and_leaves_the_folder(tuned: Path) -> None:
    before = json.loads((tuned / "best" / "config.json").read_text())
    listed = dict(adept_hub.push_to_hub(tuned / "best", "org/pins", dry_run=True).files)
    assert [path for path in listed if path.startswith(".eval_results/")]
    assert json.loads((tuned / "best" / "config.json").read_text()) == before
