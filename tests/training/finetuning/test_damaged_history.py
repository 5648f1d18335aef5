"""What a fine-tuning and an experiment have measured survives damaged files."""

from __future__ import annotations

import json
import logging
import shutil
from dataclasses import asdict
from pathlib import Path

import pytest

from adept_hub.detectors.folder import DetectorConfig
from adept_hub.errors import OutputExistsError
from adept_hub.spec import DetectorSpec
from adept_training.comparing.runs import RUNS, RunResult, _finished, _keep
from adept_training.finetuning.detector import build_detector, save_detector
from adept_training.finetuning.history import read_history, write_history
from adept_training.finetuning.recipe import load_finetune_recipe
from tests.training.conftest import TINY

HISTORY = [(2, 12.5), (4, None), (6, 30.25)]


@pytest.fixture(scope="module")
def best(tmp_path_factory: pytest.TempPathFactory) -> Path:
    spec = DetectorSpec(depth=18, fpn_channels=16, head_conv_channels=16, head_fc_channels=32)
    recipe = load_finetune_recipe(None, TINY).detector
    folder = tmp_path_factory.mktemp("run") / "best"
    model = build_detector("scratch", 2, recipe, 0, spec)
    save_detector(folder, model, DetectorConfig("scratch", ("a", "b"), recipe, 1, {}), spec, None)
    return folder


@pytest.fixture
def run(best: Path, tmp_path: Path) -> Path:
    shutil.copytree(best, tmp_path / "best")
    write_history(tmp_path, HISTORY)
    records = [{"kind": "validation", "step": at, "AP": ap, "AP50": 50.0} for at, ap in HISTORY]
    lines = [b'{"kind": "train", "step": 1}', *(json.dumps(record).encode() for record in records)]
    (tmp_path / "log.jsonl").write_bytes(b"\n".join([*lines[:2], b'{"kind": "val\xc3', *lines[2:]]) + b"\n")
    return tmp_path


def test_evaluations_up_to_the_step_count(run: Path) -> None:
    assert read_history(run, 6) == (HISTORY, [])
    assert read_history(run, 5) == (HISTORY[:2], [])
    assert read_history(run / "nowhere", 6) == ([], [])


@pytest.mark.parametrize(
    "content",
    [b"", b"[[2, 12.5], [4, nu", b"\xff", b"[" * 50_000, b"{}", b"3", b"[[2]]", b"[[-2, 1.0]]", b"[[2, -1.0]]",
     b'[["2", 1.0]]', b"[[2, 1e999]]", b"[[2, NaN]]", b"[[2, true, 3]]"],
)  # fmt: skip
def test_the_log_stands_in_for_damaged_evaluations(content: bytes, run: Path) -> None:
    (run / "evaluations.json").write_bytes(content)
    history, told = read_history(run, 6)
    assert history == HISTORY
    assert len(told) == 1
    assert "Read 3 from the log instead (1 lines incomplete)" in told[0]
    (run / "log.jsonl").unlink()
    assert read_history(run, 6)[0] == []


@pytest.mark.parametrize("damage", ["gone", "torn"])
def test_without_a_whole_best_detector_it_is_chosen_anew(damage: str, run: Path) -> None:
    if damage == "gone":
        shutil.rmtree(run / "best")
    else:
        path = run / "best" / "model.safetensors"
        path.write_bytes(path.read_bytes()[:-10])
    history, told = read_history(run, 6)
    assert history == []
    assert "the next evaluation selects one" in told[0]


CELLS = [RunResult("a", "10%", seed, "recipe", 3, 7, 1.5, {"AP": 20.0 + seed, "AP75": None}) for seed in range(3)]
TORN = [
    b'{"plan": "p", "source": "\xc3', b"null", b"[]", b"[" * 100_000, b'{"plan": "p"}', b"{}",
    json.dumps({"plan": "p", **asdict(CELLS[0]), "seed": "0"}).encode(),
    json.dumps({"plan": "p", **asdict(CELLS[0]), "metrics": {"AP": "high"}}).encode(),
    json.dumps({"plan": "p", **asdict(CELLS[0]), "seconds": float("nan")}).encode(),
]  # fmt: skip


@pytest.mark.parametrize("torn", TORN, ids=lambda line: line[:40].decode("utf-8", "backslashreplace"))
def test_a_torn_line_costs_its_own_cell_alone(torn: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    _keep(tmp_path, CELLS[0], "p")
    with (tmp_path / RUNS).open("ab") as file:
        file.write(torn)  # without the end of its line, as a kill leaves it
    for cell in CELLS[1:]:
        _keep(tmp_path, cell, "p")
    assert list(_finished(tmp_path, "p").values()) == CELLS
    assert [record.getMessage().split(" of ")[0] for record in caplog.records] == ["1 incomplete lines"]


def test_cells_of_another_plan_are_still_refused(tmp_path: Path) -> None:
    _keep(tmp_path, CELLS[0], "another")
    with pytest.raises(OutputExistsError, match="another recipe or other data"):
        _finished(tmp_path, "p")
