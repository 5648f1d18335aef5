"""What a fine-tuning started from: recorded with its license in the config, the card, the run and the report."""

from __future__ import annotations

import io
import json
import shlex
from pathlib import Path

import pytest
import torch
from torchvision.models import resnet18

from adept_hub.checkpoint.folder import read_config
from adept_hub.cli.main import main
from adept_hub.errors import DataError, LicenseError, RecipeError, ResumeError
from adept_hub.io.digest import sha256_file
from adept_hub.spec import Start
from adept_training.finetuning.origin import check_detector_of
from adept_training.finetuning.recipe import load_finetune_recipe
from adept_training.finetuning.run import finetune
from adept_training.labels.datasets import open_data
from tests.house import LICENSE, NAME, TUNE, House, HouseData, write_house

QUICK = (*TUNE, "schedule.iterations=1", "engine.evaluations=0")


@pytest.fixture
def tuned(house: House, house_data: HouseData, tmp_path: Path) -> Path:
    """A run of one iteration from the house on the house's labels."""
    recipe = load_finetune_recipe(None, QUICK)
    finetune(house.source, open_data(house_data.words()), recipe, tmp_path / "run", accelerator="cpu")
    return tmp_path / "run"


def test_the_chain_of_starts_and_its_license(house: House, house_data: HouseData, tuned: Path, tmp_path: Path) -> None:
    data, recipe = open_data(house_data.words()), load_finetune_recipe(None, QUICK)
    source, first = str(tuned / "last"), read_config(tuned / "last")
    with pytest.raises(
        LicenseError, match=r"(?s)adept_joint_r18_fpn24.finetuned.*mit is not known.*--license mit --relicense"
    ):
        finetune(source, data, recipe, tmp_path / "second", accelerator="cpu", license="mit")
    assert not (tmp_path / "second").exists(), "refused before any work"
    finetune(source, data, recipe, tmp_path / "second", accelerator="cpu", license="mit", relicense=True)
    second = read_config(tmp_path / "second" / "last")
    assert (second.license, second.provenance.relicensed) == ("mit", True)
    assert second.provenance.starts == (
        Start(NAME, house.config.sha256, LICENSE),
        Start("adept_joint_r18_fpn24.finetuned", first.sha256, LICENSE),
    )
    run = json.loads((tmp_path / "second" / "run.json").read_text())
    assert [start["name"] for start in run["starts"]] == [NAME, "adept_joint_r18_fpn24.finetuned"]


def test_the_command_states_the_license(house: House, house_data: HouseData, tmp_path: Path, capsys) -> None:
    settings = [word for setting in QUICK for word in ("--set", setting)]
    words = ["finetune", house.source, "--data", *house_data.words(), "--out", str(tmp_path / "run"), "--device", "cpu"]
    assert main([*words, *settings, "--license", "mit"]) == 1
    assert f"The start, {NAME}, is under {LICENSE}" in capsys.readouterr().err
    assert main([*words, *settings, "--license", "mit", "--relicense"]) == 0
    assert read_config(tmp_path / "run" / "last").license == "mit"


def test_a_run_is_not_continued_from_other_weights(house: House, house_data: HouseData, tmp_path: Path) -> None:
    data, recipe = open_data(house_data.words()), load_finetune_recipe(None, TUNE)
    finetune(house.source, data, recipe, tmp_path / "run", accelerator="cpu", stop_at=1)
    write_house(house.folder, half=True, overwrite=True)
    with pytest.raises(ResumeError, match=f"started from {NAME}"):
        finetune(house.source, data, recipe, tmp_path / "run", accelerator="cpu", resume=True)


def test_predictors_alone_are_not_trained_on_parts_that_the_source_lacks(house_data: HouseData, tmp_path: Path) -> None:
    source = write_house(tmp_path / "body", parts=("backbone", "fpn")).source
    recipe = load_finetune_recipe(None, [*QUICK, "optimizer.layers=last", "norms.policy=frozen"])
    with pytest.raises(RecipeError, match=r"no rpn, no head.*\n.*optimizer.layers=all"):
        finetune(source, open_data(house_data.words()), recipe, tmp_path / "run", accelerator="cpu")
    with pytest.raises(RecipeError, match="scratch has no backbone"):
        finetune("scratch", open_data(house_data.words()), recipe, tmp_path / "run", accelerator="cpu")


def test_what_a_run_started_from_is_in_its_report(tuned: Path, house_data: HouseData, tmp_path: Path) -> None:
    words = ["evaluate", str(tuned), "--data", *house_data.words(), "--report", str(tmp_path / "report")]
    assert main([*words, "--device", "cpu"]) == 0
    page = (tmp_path / "report" / "report.html").read_text()
    assert NAME in page
    assert LICENSE in page
    assert read_config(tuned / "last").provenance.starts[0].sha256 in page


@pytest.mark.parametrize("content", ['{"starts": 3}', '{"starts": [1]}', '{"starts": "x"}', "[]"])
def test_a_run_whose_record_of_its_start_is_damaged_is_not_continued(
    content: str, house: House, house_data: HouseData, tmp_path: Path
) -> None:
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    (tmp_path / "run" / "checkpoints" / "step-00000001.pt").touch()
    (tmp_path / "run" / "run.json").write_text(content)
    recipe = load_finetune_recipe(None, QUICK)
    with pytest.raises(ResumeError, match=r"run\.json .*is not what a run wrote(.|\n)*another --out"):
        finetune(house.source, open_data(house_data.words()), recipe, tmp_path / "run", resume=True, accelerator="cpu")


def test_a_checkpoint_that_is_passed_over_is_in_the_log(house: House, house_data: HouseData, tmp_path: Path) -> None:
    data, recipe = open_data(house_data.words()), load_finetune_recipe(None, [*QUICK, "schedule.iterations=3"])
    for resume, stop_at in ((False, 1), (True, 2)):
        finetune(
            house.source, data, recipe, tmp_path / "run", accelerator="cpu", resume=resume, stop_at=stop_at
        )  # fmt: skip
    damaged = tmp_path / "run" / "checkpoints" / "step-00000002.pt"
    damaged.write_bytes(damaged.read_bytes()[:-1])
    told = io.StringIO()
    finetune(house.source, data, recipe, tmp_path / "run", accelerator="cpu", resume=True, stop_at=2, stream=told)
    records = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    (record,) = (record for record in records if record["kind"] == "passed_over")
    assert record["step"] == 1
    assert record["text"].startswith(f"{damaged} is passed over: ")
    assert record["text"] in told.getvalue()


def test_classes_that_no_detector_can_have_are_refused_before_training() -> None:
    recipe = load_finetune_recipe(None, TUNE).detector.with_anchors(None)
    check_detector_of(("zebra",), recipe, 3)
    for classes in ((), ("z" * 100_000,)):
        with pytest.raises(DataError, match=r"The detector that the run would leave: .*\nChange the classes"):
            check_detector_of(classes, recipe, 3)


def test_a_file_of_another_project_is_a_start_with_its_layout(
    house_data: HouseData, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, out = tmp_path / "my net.pth", tmp_path / "run"
    torch.save(resnet18().state_dict(), file)
    words = ["--data", *house_data.words(), "--out", str(out), "--device", "cpu"]
    words += [word for setting in QUICK for word in ("--set", setting)]
    assert main(["finetune", str(file), *words]) == 1
    printed = capsys.readouterr().err
    assert "Several projects use exactly these names" in printed
    (source,) = [word.rstrip(",") for word in shlex.split(printed.splitlines()[1]) if word.startswith("torchvision:")]
    assert not out.exists()
    assert main(["finetune", source, *words]) == 0
    start, _ = read_config(out / "last").provenance.starts
    assert start == Start("my net.pth", sha256_file(file), "unknown")
    assert json.loads((out / "last" / "detector.json").read_text())["source"] == source
