"""What a pre-training starts from: its pixels are kept, it is recorded with its license, and it suits the method."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from adept_hub.checkpoint.folder import read_config, read_tensors, replace_provenance
from adept_hub.cli.main import main
from adept_hub.errors import LicenseError, RecipeError, ResumeError
from adept_hub.io.schema import to_dict
from adept_hub.models.determined import DETERMINED_BY
from adept_hub.spec import PARTS, AnchorSpec, Preprocessing, Start
from adept_training.images import ImageSource
from adept_training.method import adept
from adept_training.pretraining.asked import Asked
from adept_training.pretraining.origin import (
    PretrainStart,
    check_start,
    open_pretrain_start,
    record_origin,
    recorded_origin,
)
from adept_training.pretraining.pretrain import pretrain
from adept_training.runtime.recipe_files import flatten
from tests.house import LICENSE, NAME, PIXELS, SPEC, House, write_house
from tests.training.support import RandomBoxes, tiny, write_photographs

#: The house's architecture; the anchors of the recipe are its own unless stated.
MODEL = (
    "model.depth=18", "model.fpn_channels=24", "model.head_conv_channels=40", "model.head_fc_channels=72",
    "model.levels.upper=[36,72,144,170]",
)  # fmt: skip
ANCHORS = ("model.anchors.sizes=[11,23,47,90]", "model.anchors.ratios=[0.4,1.7]")
QUICK = (*MODEL, *ANCHORS, "schedule.epochs=1", "schedule.warmup_epochs=0.5")
STILL = ("optimizer.lr=0.0", "optimizer.rpn_lr=0.0")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> ImageSource:
    return write_photographs(tmp_path_factory.mktemp("photographs"), 8)


def start(source: ImageSource, folder: Path, *settings: str, **options: Any) -> Path:
    options.setdefault("asked", Asked(report=False))
    pretrain(tiny(*settings), source, RandomBoxes(), folder, **options)
    return folder / "export"


@pytest.mark.parametrize("method", ["adept_joint", "adept_separate", "soco", "byol"])
def test_the_pixels_of_the_start_are_those_that_train_and_those_that_are_exported(
    method: str, house: House, source: ImageSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, seen = adept.apply_colors, []

    def spy(pixels: torch.Tensor, colors: Any, preprocessing: Preprocessing, plan: Any) -> torch.Tensor:
        seen.append(preprocessing)
        return real(pixels, colors, preprocessing, plan)

    monkeypatch.setattr(adept, "apply_colors", spy)
    export = start(source, tmp_path / "run", *QUICK, f"method.name={method}", init=house.folder)
    assert set(seen) == {PIXELS}
    config = read_config(export)
    assert (config.preprocessing, config.spec) == (PIXELS, SPEC)
    assert (config.license, config.provenance.starts) == (LICENSE, (Start(NAME, house.config.sha256, LICENSE),))
    assert f"| started from | {NAME}, {LICENSE}, SHA-256 {house.config.sha256} |" in (export / "README.md").read_text()
    assert "0.1, 0.2, 0.3; 0.4, 0.5, 0.6" in (export / "README.md").read_text()


def test_a_run_that_is_resumed_keeps_the_facts_without_being_told(
    house: House, source: ImageSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Checkpoints hold tensors alone; pixels, starts and license are those that it began with."""
    settings = (*QUICK, "method.name=adept_separate", "schedule.epochs=2")
    real = adept.apply_colors

    def interrupted(*arguments: Any) -> torch.Tensor:
        os.kill(os.getpid(), signal.SIGTERM)
        return real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(adept, "apply_colors", interrupted)
        export = start(source, tmp_path / "run", *settings, init=house.folder, license="mit", relicense=True)
    assert not export.exists()
    other = write_house(tmp_path / "other", half=True)
    with pytest.raises(ResumeError, match=f"started from {NAME}.*\n.*Leave --init out"):
        start(source, tmp_path / "run", *settings, resume=True, init=other.folder)
    config = read_config(start(source, tmp_path / "run", *settings, resume=True))
    assert (config.preprocessing, config.license, config.provenance.relicensed) == (PIXELS, "mit", True)
    assert config.provenance.starts[-1].name == NAME
    (tmp_path / "run" / "start.json").write_text("{")
    with pytest.raises(ResumeError, match=r"start.json is not valid JSON"):
        start(source, tmp_path / "run", *settings, resume=True)
    (tmp_path / "run" / "start.json").unlink()
    with pytest.raises(ResumeError, match=r"has no start.json: .*mean and std.*unknown"):
        start(source, tmp_path / "run", *settings, resume=True)
    with pytest.raises(ResumeError, match=r"has no start.json"):
        start(source, tmp_path / "run", *settings, resume=True, init=house.folder)


@pytest.mark.parametrize(
    ("parts", "lacking"),
    [(("backbone",), "no fpn and no head"), (("backbone", "head", "rpn"), "no fpn"), (("fpn", "head"), "no backbone")],
)
def test_separate_training_refuses_a_start_that_lacks_what_it_freezes(
    parts: tuple[str, ...], lacking: str, source: ImageSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    body = write_house(tmp_path / "body", parts=parts)
    with pytest.raises(RecipeError, match=f"has {lacking}:.*random.*\n.*--method soco --init"):
        start(source, tmp_path / "run", *QUICK, "method.name=adept_separate", init=body.folder)

    def no_proposals(*_: Any, **__: Any) -> None:
        raise AssertionError("proposals, which can take hours, come after the check")

    monkeypatch.setattr("adept_training.calls.pretraining.run_proposals", no_proposals)
    settings = [word for setting in QUICK for word in ("--set", setting)]
    words = ["pretrain", "--images", str(tmp_path), "--method", "adept_separate", "--init", str(body.folder)]
    monkeypatch.setattr("adept_training.calls.pretraining.open_images", lambda *_, **__: source)
    assert main([*words, "--out", str(tmp_path / "run"), *settings]) == 1
    assert f"has {lacking}" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_joint_training_may_start_from_a_backbone(source: ImageSource, tmp_path: Path) -> None:
    """Widths, levels and anchors are the recipe's: a backbone has none."""
    body = write_house(tmp_path / "body", parts=("backbone",))
    export = start(source, tmp_path / "run", "schedule.epochs=1", "model.fpn_channels=40", *STILL, init=body.folder)
    tensors = read_tensors(export, read_config(export))
    assert read_config(export).spec == tiny("model.fpn_channels=40").model
    assert torch.equal(tensors["backbone.conv1.weight"], body.parts.state_dict()["backbone.conv1.weight"])
    assert read_config(export).preprocessing == PIXELS


def test_a_start_of_another_architecture_says_what_to_set(house: House, source: ImageSource, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"differ in fpn_channels, .*levels.upper") as caught:
        start(source, tmp_path / "run", "method.name=adept_separate", init=house.folder)
    typed = shlex.split(str(caught.value).splitlines()[1].partition(": ")[2])
    assert set(typed[::2]) == {"--set"}
    words = typed[1::2]
    export = start(source, tmp_path / "run", *words, "method.name=adept_separate", init=house.folder)
    assert read_config(export).spec == replace(SPEC, anchors=AnchorSpec()), "the RPN is new, and so are its anchors"


@pytest.mark.parametrize(
    ("parts", "settings", "differ"),
    [
        (("backbone",), ("model.depth=34",), "depth"),
        (("backbone", "fpn"), (), "fpn_channels, levels.upper"),
        (("backbone", "rpn"), ANCHORS, "fpn_channels"),
        (("backbone", "rpn"), (), "fpn_channels, anchors.sizes, anchors.ratios"),
        (("backbone", "rpn"), ("method.name=soco",), ""),
        (("backbone", "fpn", "rpn", "head"), ("method.name=byol",), ""),
    ],
)
def test_only_what_the_parts_of_a_start_determine_is_compared(
    parts: tuple[str, ...], settings: tuple[str, ...], differ: str, tmp_path: Path
) -> None:
    house = write_house(tmp_path / "house", parts=parts)
    if not differ:
        check_start(tiny(*settings), house.config, house.folder)
        return
    with pytest.raises(RecipeError, match=f"model section differ in {re.escape(differ)}\\.\n"):
        check_start(tiny(*settings), house.config, house.folder)


def test_every_field_of_the_architecture_is_determined_by_some_part() -> None:
    assert set(DETERMINED_BY) == set(flatten(to_dict(SPEC, complete=True)))
    assert {part for parts in DETERMINED_BY.values() for part in parts} == set(PARTS)


def test_an_rpn_does_not_go_on_with_other_anchors(house: House, source: ImageSource, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"differ in anchors.sizes, anchors.ratios.*\n.*anchors.ratios=\[0.4, 1.7\]"):
        start(source, tmp_path / "run", *MODEL, init=house.folder)
    start(source, tmp_path / "run", *MODEL, "method.name=soco", "schedule.epochs=1", init=house.folder)


def test_a_more_permissive_license_is_refused_unless_it_is_claimed(
    house: House, source: ImageSource, tmp_path: Path
) -> None:
    for asked in ({"license": "apache-2.0"}, {}):
        settings = () if asked else ("export.license=apache-2.0",)
        with pytest.raises(LicenseError, match=r"(?s)apache-2.0 is not known.*--license apache-2.0 --relicense"):
            start(source, tmp_path / "run", *QUICK, *settings, init=house.folder, **asked)
    assert not (tmp_path / "run").exists()
    export = start(source, tmp_path / "run", *QUICK, init=house.folder, license="apache-2.0", relicense=True)
    config = read_config(export)
    assert (config.license, config.provenance.relicensed) == ("apache-2.0", True)
    assert "claims the right" in (export / "README.md").read_text()


def test_the_report_shows_the_whole_chain(house: House, source: ImageSource, tmp_path: Path) -> None:
    first = start(source, tmp_path / "one", *QUICK, init=house.folder)
    second = start(source, tmp_path / "two", *QUICK, init=first, asked=Asked())
    starts = read_config(second).provenance.starts
    assert [s.sha256 for s in starts] == [house.config.sha256, read_config(first).sha256]
    page = (tmp_path / "two" / "report.html").read_text()
    for s in starts:
        assert s.sha256 in page
    assert json.loads((tmp_path / "two" / "start.json").read_text())["license"] == LICENSE


def test_a_start_hands_on_every_fact_of_its_own(tmp_path: Path) -> None:
    """A start that was trained with labels, from another one, and that still has a share of its random values."""
    house = write_house(tmp_path / "house")
    before = Start("other_r18_fpn24.before", "cd" * 32, "mit")
    config = replace_provenance(house.folder, labeled=True, random_share=0.125, starts=(before,))
    found = open_pretrain_start(tiny(*QUICK), house.folder, tmp_path / "run", license="mit", relicense=True)
    record_origin(found, folder := tmp_path / "run")
    assert (
        found == recorded_origin(folder) == (PretrainStart(PIXELS, config.as_starts(), "mit", True, True, 0.125, 0.125))
    )
    assert config.as_starts() == (before, Start(NAME, config.sha256, LICENSE))


@pytest.mark.parametrize(
    ("labeled", "words"),
    [
        (True, ", trained without labels, from a start that was trained with them (oldest start: fasterrcnn.pth)."),
        (None, "; whether labels were used is unknown."),
        (False, ", trained without labels."),
    ],
)
def test_the_card_says_if_labels_were_used_anywhere(
    labeled: bool | None, words: str, source: ImageSource, tmp_path: Path
) -> None:
    house = write_house(tmp_path / "house")
    coco = Start("fasterrcnn.pth", "cd" * 32, LICENSE)
    replace_provenance(house.folder, labeled=labeled, method="torchvision", starts=(coco,))
    export = start(source, tmp_path / "run", *QUICK, init=house.folder)
    assert read_config(export).provenance.labeled is labeled
    card = (export / "README.md").read_text()
    assert f"two-stage detector (backbone, fpn, rpn, head){words}\n" in card.replace("\\", "")
    assert ("\n- self-supervised\n" in card) is (labeled is not None)


def test_without_a_start_there_is_none(source: ImageSource, tmp_path: Path) -> None:
    config = read_config(start(source, tmp_path / "run", *QUICK, "export.license=mit"))
    assert (config.license, config.provenance.starts, config.preprocessing) == ("mit", (), Preprocessing())
