"""What was measured beside a checkpoint comes onto its card: means and spreads by hand, and nobody else's figures."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import adept_hub
from adept_hub.cards.card import render_card
from adept_hub.cards.measurements import read_measurements, with_measurements
from adept_hub.checkpoint.folder import CONFIG, read_config, write_config
from adept_hub.errors import PublishError
from adept_hub.spec import CheckpointConfig, Metric
from tests.hub.loopback import Hub
from tests.hub.loopback_state import OWNER


def figures(**changes: Any) -> dict[str, Any]:
    """As ``adept finetune`` leaves them in metrics.json."""
    return {
        "source": "runs/photos/export",
        "data": "voc:/home/someone/data/bccd",
        "trained_on": 1205,
        "split": "test",
        "images": 72,
        "metrics": {"AP50": 40.0, "TIDE_Loc": 6.0, "APs": None, "RPN_AR100": 9.5},
    } | changes


def write(path: Path, content: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


@pytest.fixture
def run(make_checkpoint, tmp_path: Path) -> tuple[Path, CheckpointConfig]:
    """(A run named photos with a checkpoint in export/ that has one metric of its own, its config)."""
    export, config, _ = make_checkpoint(half=True, folder=tmp_path / "photos" / "export")
    own = (Metric("AP50", 1.0, "bccd test, 72 images, fine-tuned on 1,205 images", "self-reported"),)
    own += (Metric("rpn_recall", 0.5, "held-out photographs", "self-reported"),)
    config = replace(config, provenance=replace(config.provenance, metrics=own))
    write_config(export, config)
    return tmp_path / "photos", config


def test_seeds_become_a_mean_and_a_spread(run) -> None:
    folder, config = run
    for seed, ap in enumerate((40.0, 42.0, 47.0)):  # mean 43, deviations -3, -1, 4: sample variance 26 / 2 = 13
        metrics = {"AP50": ap, "TIDE_Loc": 6.0 + seed, "APs": None}
        write(folder / "evaluations" / "bccd" / f"seed{seed}.json", figures(metrics=metrics))
    found = {metric.name: metric for metric in with_measurements(config, folder / "export").provenance.metrics}
    where = "bccd test, 72 images, fine-tuned on 1,205 images"
    assert found["AP50"] == Metric("AP50", 43.0, where, "self-reported", spread="± 3.6, 3 runs")
    assert found["TIDE_Loc"] == Metric("TIDE_Loc", 7.0, where, "self-reported", spread="± 1, 3 runs")
    assert found["rpn_recall"].value == 0.5, "what was known before and is not measured anew stays"
    assert sorted(found) == ["AP50", "TIDE_Loc", "rpn_recall"], "a figure that is none is left out"


def test_a_figure_of_one_data_set_replaces_none_of_another(run) -> None:
    """The checkpoint's own AP50 was measured on these images after fine-tuning on 1,205; this one after 12."""
    folder, config = run
    write(folder / "metrics.json", figures(trained_on=12, metrics={"AP50": 33.0}))
    found = {(m.data, m.name): m.value for m in with_measurements(config, folder / "export").provenance.metrics}
    assert found == {
        ("bccd test, 72 images, fine-tuned on 1,205 images", "AP50"): 1.0,
        ("bccd test, 72 images, fine-tuned on 12 images", "AP50"): 33.0,
        ("held-out photographs", "rpn_recall"): 0.5,
    }


def test_figures_of_other_data_stay_apart(run) -> None:
    folder, config = run
    write(folder / "metrics.json", figures())
    rpn = {"source": config.name, "split": "val", "images": 5000, "metrics": {"RPN_AR100": 20.0}}
    write(folder / "evaluations" / "coco2017.json", rpn)  # as adept evaluate SOURCE --json: the file says what data
    write(folder / "export" / "evaluations" / "x.json", figures(data="coco:/a/ann,v2.json:/b", source="photos"))
    found = [
        (m.name, m.value, m.data, m.spread) for m in with_measurements(config, folder / "export").provenance.metrics
    ]
    bccd, ann = (f"{data} test, 72 images, fine-tuned on 1,205 images" for data in ("bccd", "ann"))
    assert sorted(found) == sorted(
        [("rpn_recall", 0.5, "held-out photographs", "")]
        + [(n, v, d, "") for d in (bccd, ann) for n, v in (("AP50", 40.0), ("TIDE_Loc", 6.0), ("RPN_AR100", 9.5))]
        + [("RPN_AR100", 20.0, "coco2017 val, 5,000 images, not fine-tuned", "")]
    )
    assert not any("someone" in data or "/" in data for _, _, data, _ in found), "a path of a machine on a card"


def test_what_is_pushed_has_the_figures_and_the_folder_is_left_as_it_was(
    hub: Hub, run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys
) -> None:
    monkeypatch.setenv("HF_TOKEN", OWNER)
    folder, config = run
    write(folder / "metrics.json", figures())
    (folder / "pictures").mkdir()
    (folder / "pictures" / "proposals_at_dusk.jpg").write_bytes(b"\xff\xd8")
    before = (folder / "export" / CONFIG).read_bytes()
    published = adept_hub.push_to_hub(folder, "org/mine")
    assert (folder / "export" / CONFIG).read_bytes() == before
    files = hub.repos["org/mine"].commits[published.commit].files
    card = files["README.md"].decode()
    measured, errors = card.split("## Errors (TIDE)")
    assert "| AP50 | 40 | - | bccd test, 72 images, fine-tuned on 1,205 images | self-reported | - |" in measured
    assert "| TIDE_Loc | 6 |" in errors
    assert "![proposals at dusk](pictures/proposals_at_dusk.jpg)" in card
    assert files["pictures/proposals_at_dusk.jpg"] == b"\xff\xd8"
    fetched = adept_hub.load_pretrained(published.source, num_classes=2, cache_dir=tmp_path / "cache")
    assert fetched.checkpoint_config == with_measurements(config, folder / "export")
    assert ".eval_results/bccd-test-72-images-fine-tuned-on-1-205-images.yaml" in files
    from adept_hub.cli.main import main

    assert main(["card", str(folder / "export")]) == 0
    assert capsys.readouterr().out == render_card(fetched.checkpoint_config, source=str(folder / "export"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (figures(source="runs/other/export"), "measured 'runs/other/export', not this checkpoint"),
        (figures(source="adept_joint"), "not this checkpoint"),
        (figures(metrics={"AP": "high"}), "a metric is not a number"),
        (figures(metrics=[1]), "is not a result of adept evaluate"),
        (figures(metrics={"AP": float("inf")}), "Infinity is not a valid number"),
        ({"AP": 1.0}, "is not a result of adept evaluate"),
        ([], "is not a result of adept evaluate"),
        (figures(images="many"), "the split or the number of images is not valid"),
        (figures(source=None), "not this checkpoint"),
    ],
)
def test_what_holds_no_figures_of_it_is_not_published(hub: Hub, run, content: object, message: str) -> None:
    folder, _ = run
    write(folder / "evaluations" / "x.json", content)
    with pytest.raises(PublishError, match=message) as caught:
        adept_hub.push_to_hub(folder, "org/mine")
    assert len(str(caught.value).splitlines()) <= 3
    assert hub.log == []


def test_names_that_could_not_be_read_again_are_refused(run) -> None:
    folder, config = run
    write(folder / "metrics.json", figures(metrics={"A\x00": 1.0}))
    with pytest.raises(PublishError, match="cannot be printed"):
        adept_hub.push_to_hub(folder, "org/mine", dry_run=True)
    assert read_config(folder / "export") == config


def test_a_source_with_a_commit_is_known_by_its_repository(tmp_path: Path) -> None:
    path = write(tmp_path / "x.json", figures(source="hf-hub:org/photos@main"))
    assert len(read_measurements([path], {"photos"})) == 3


def test_a_measurement_belongs_to_the_weights_not_to_the_name_of_a_folder(hub: Hub, run) -> None:
    folder, config = run
    write(folder / "metrics.json", figures(source="runs/renamed", weights=config.sha256))
    assert with_measurements(config, folder / "export").provenance.metrics[-1].value == 9.5
    write(folder / "metrics.json", figures(source=str(folder), weights="ab" * 32))
    with pytest.raises(PublishError, match=r"measured other weights, with the SHA-256 abababababab\.\.\., not these"):
        adept_hub.push_to_hub(folder, "org/mine", dry_run=True)
