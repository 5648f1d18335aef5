"""The share of the random start in exported weights, by the product of all momenta: logged, saved, exported, told."""

from __future__ import annotations

import argparse
import json
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import adept_training.pretraining.pretrain as module
from adept_hub.checkpoint.folder import read_config, write_config
from adept_hub.cli.main import main
from adept_training.cli.pretrain import _tell
from adept_training.images import ImageSource
from adept_training.pretraining.asked import Asked
from adept_training.pretraining.pretrain import PretrainResult, pretrain
from adept_training.pretraining.run import Run
from tests.training.support import RandomBoxes, tiny, write_photographs

SMALL = ("views.sizes=[32,32,32]", "method.name=soco", "method.momentum=0.8")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> ImageSource:
    return write_photographs(tmp_path_factory.mktemp("photographs"), 12)


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> ImageSource:
    """Photographs for two steps: enough where the share itself is not worked out."""
    return write_photographs(tmp_path_factory.mktemp("few"), 4)


def _run(source: ImageSource, folder: Path, *settings: str, **options: Any) -> float | None:
    """Run it and return the share in the export's config."""
    options.setdefault("asked", Asked(report=False))
    result = pretrain(tiny(*SMALL, *settings), source, RandomBoxes(), folder, **options)
    if result.interrupted:
        return None
    share = read_config(folder / "export").provenance.random_share
    assert result.random_share == share
    assert json.loads((folder / "run.json").read_text())["random_share"] == pytest.approx(share, rel=1e-4)
    return share


def _product(folder: Path) -> float:
    product = 1.0
    for line in (folder / "log.jsonl").read_text().splitlines():
        record = json.loads(line)
        if record["kind"] == "train":
            product *= record["momentum"]
            assert record["random_share"] == pytest.approx(product, rel=1e-4)
    return product


def test_it_is_the_product_of_all_momenta_also_after_a_signal(
    source: ImageSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = module.update_target

    def update(*arguments: Any) -> None:
        real(*arguments)
        os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(module, "update_target", update)
        assert _run(source, tmp_path / "r") is None
    share = _run(source, tmp_path / "r", resume=True, asked=Asked())
    # 0.8 to 1 by a cosine in six steps: 1 - 0.1 (cos(pi k / 6) + 1).
    assert share == pytest.approx(0.8 * 0.81340 * 0.85 * 0.9 * 0.95 * 0.98660, rel=1e-4)
    assert share == pytest.approx(_product(tmp_path / "r"), rel=1e-4)
    card = (tmp_path / "r" / "export" / "README.md").read_text()
    assert "\n---\n\n> **Caution: 47% of these weights are still their random initial values" in card
    assert "Caution: 47% of these weights" in (tmp_path / "r" / "report.html").read_text()


def test_a_bounded_run_leaves_nothing_and_a_time_limit_counts(
    few: ImageSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """25 s of 10,000 planned steps: by a clock of 1 s per step the run reaches 25, whose momentum is 1 - 20 / 25."""
    assert _run(few, tmp_path / "all", "method.momentum_bound=run") == 0.0, "two steps: 1 - 20 / 2 is below zero"
    monkeypatch.setattr(Run, "seconds", lambda run: 1.0 * run.progress.step)
    settings = ("method.momentum_bound=run", "schedule.epochs=10000", f"engine.max_minutes={25 / 60}")
    _run(few, tmp_path / "limited", *settings)
    records = [json.loads(line) for line in (tmp_path / "limited" / "log.jsonl").read_text().splitlines()]
    momenta = [record["momentum"] for record in records if record["kind"] == "train"]
    assert len(momenta) == 25
    assert momenta[:2] == pytest.approx([0.8, 0.8 + 0.2 * 0.00394], abs=1e-4), "the pace is unknown: the schedule's"
    assert momenta[2:] == pytest.approx([0.2] * 23)


def test_the_start_and_the_exported_network_count(few: ImageSource, tmp_path: Path) -> None:
    assert _run(few, tmp_path / "online", "export.network=online") == 0.0
    share = _run(few, tmp_path / "first")
    assert share is not None
    first = tmp_path / "first" / "export"
    assert _run(few, tmp_path / "second", init=first) == pytest.approx(share**2), "a share of a share"
    # The frozen parts are the start's own.
    assert _run(few, tmp_path / "separate", "method.name=adept_separate", init=first) == pytest.approx(share)
    # A start without FPN and head: theirs are random.
    _run(few, tmp_path / "byol", "method.name=byol", "method.momentum_bound=run")
    assert _run(few, tmp_path / "third", init=tmp_path / "byol" / "export") == pytest.approx(share)
    assert _run(few, tmp_path / "fourth", "method.name=byol", init=tmp_path / "byol" / "export") == 0.0
    config = read_config(first)
    write_config(first, replace(config, provenance=replace(config.provenance, random_share=None)))
    unknown = pretrain(tiny(*SMALL), few, RandomBoxes(), tmp_path / "fifth", init=first, asked=Asked(report=False))
    assert unknown.random_share is None
    assert read_config(tmp_path / "fifth" / "export").provenance.random_share is None


def test_the_commands_say_it_in_their_first_line(
    source: ImageSource, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _run(source, tmp_path / "r", "schedule.epochs=1", "schedule.warmup_epochs=0")
    config = read_config(tmp_path / "r" / "export")
    share = config.provenance.random_share
    assert share is not None
    line = f"caution: {share:.0%} of these weights are still their random initial values"
    export = ["export", str(tmp_path / "r" / "export"), "--to", "torchvision"]
    export += ["--parts", "backbone", "fpn", "head", "--out"]
    assert main([*export, str(tmp_path / "tv")]) == 0
    assert capsys.readouterr().out.startswith(line)
    assert main([*export, str(tmp_path / "json"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["caution"].startswith(line)
    write_config(tmp_path / "r" / "export", replace(config, provenance=replace(config.provenance, random_share=0.05)))
    assert main([*export, str(tmp_path / "small")]) == 0
    assert "caution" not in capsys.readouterr().out


@pytest.mark.parametrize(("share", "told"), [(0.3, True), (0.05, False), (None, False)])
def test_pretrain_says_it_first(
    share: float | None, told: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    args = argparse.Namespace(out=tmp_path, json=False)
    outcome = PretrainResult(tmp_path, 9, 9, False, {}, {}, random_share=share)
    _tell(args, outcome)
    out = capsys.readouterr().out
    assert out.startswith("caution: 30% of these weights") == told
    assert ("caution" in out) == told
    _tell(argparse.Namespace(out=tmp_path, json=True), outcome)
    assert json.loads(capsys.readouterr().out)["random_share"] == share
