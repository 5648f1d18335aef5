"""A damaged log costs its damaged lines, never the run or its report."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

import adept_training.pretraining.ending as module
from adept_hub.cli.main import main
from adept_hub.errors import DiskFullError
from adept_training.pretraining.pretrain import pretrain
from adept_training.pretraining.watch.log import read_log
from adept_training.pretraining.watch.report import write_report
from adept_training.runtime.journal import Journal
from tests.training.support import RandomBoxes, tiny, write_photographs

START = {"kind": "start", "time": 1.0, "step": 0, "steps": 9, "images": 12, "held_out": 0, "resumed": False}
DAMAGE = [
    b"\xc3", b'{"kind": "train", "step": 3, "loss": 0.\xff', b"\x00" * 300, b"[" * 100_000, b'{"a":' * 50_000,
    b'{"kind": "train", "step": 1' + b"0" * 5000 + b"}", b"null", b"[1, 2]", b'"text"', b"{}", b'{"kind": 3}',
    b'{"kind": null, "step": 1}', b'{"kind": "train"}', b'{"kind": "train", "step": "1"}',
    b'{"kind": "train", "step": -1}', b'{"kind": "train", "step": 1.5}', b'{"kind": "train", "step": true}',
    b'{"kind": "train", "step": 1, "loss": NaN}', b'{"kind": "probe", "step": []}', b'{"kind": "start", "step": 0}',
    b'{"kind": "start", "step": 0, "steps": 0, "images": 1}',
    b'{"kind": "start", "step": 0, "steps": 9, "images": "1"}',
    b'{"kind": "end", "step": 1}', b'{"kind": "end", "step": 1, "interrupted": "no"}',
    b'{"kind": "end", "step": 1, "interrupted": false, "seconds": "long"}', b'{"kind": "held_out", "boxes": 3}',
    b'{"kind": "proposals", "step": 1, "boxes": [[[1, 2, 3]]]}', b'{"kind": "proposals", "step": 1}',
]  # fmt: skip


def write_log(folder: Path, damage: bytes) -> None:
    """Three steps, with a damaged line between the second and the third."""
    train = [json.dumps({"kind": "train", "step": i, "loss": 1.5 * i}).encode() for i in (1, 2, 3)]
    lines = [json.dumps(START).encode(), *train[:2], damage, train[2]]
    (folder / "log.jsonl").write_bytes(b"".join(line + b"\n" for line in lines))


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda line: line[:50].decode("utf-8", "backslashreplace"))
def test_a_damaged_line_is_left_out_and_counted(damage: bytes, tmp_path: Path) -> None:
    write_log(tmp_path, damage)
    log = read_log(tmp_path)
    assert log.torn == 1
    assert log.series("loss") == ([1, 2, 3], [1.5, 3.0, 4.5])
    assert (log.step, log.state, log.start["steps"]) == (3, "unfinished", 9)


@pytest.mark.parametrize(
    "record",
    [{"kind": "train", "step": 3, "loss": "low"}, {"kind": "train", "step": 3, "loss": 10**400},
     {"kind": "train", "step": 3, "loss": None}, {"kind": "of another version", "step": 3}],
    ids=str,
)  # fmt: skip
def test_a_figure_that_is_none_is_no_figure(record: dict[str, object], tmp_path: Path) -> None:
    write_log(tmp_path, json.dumps(record).encode())
    log = read_log(tmp_path)
    assert (log.torn, log.series("loss")) == (0, ([1, 2, 3], [1.5, 3.0, 4.5]))


RECIPES = [
    b"", b"\xff\xfe", b"- 1", b"3", b"{", b"&a {x: *a}", b"engine: 3", b"engine: {batch_size: many}", b"[" * 5000,
    b"1: {2: 3}", b"method: {name: [adept_joint]}", b"when: 2020-01-01",
]  # fmt: skip


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda text: str(text[:20]))
def test_a_report_is_written_whatever_became_of_the_recipe(recipe: bytes, tmp_path: Path) -> None:
    write_log(tmp_path, b"{}")
    (tmp_path / "recipe.yaml").write_bytes(recipe)
    for name in ("preview.png", "held_out.png"):
        (tmp_path / name).write_bytes(b"\x89PNG\r\n\x1a\n half")
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write(json.dumps({"kind": "held_out", "boxes": [[[1, 2, 3, 4]]]}) + "\n")
        file.write(json.dumps({**START, "step": 3, "asked": {"images": 3, "trackers": "x", "more": 1}}) + "\n")
        file.write(json.dumps({"kind": "end", "step": 3, "interrupted": True, "seconds": 3}) + "\n")
    assert main(["report", str(tmp_path)]) == 0
    page = (tmp_path / "report.html").read_text()
    assert "1 incomplete line" in page
    assert "adept pretrain" in page


def test_numbers_that_are_not_finite_are_null_in_the_log(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "log.jsonl", None)
    journal.record("train", step=1, loss=float("nan"), boxes=[[float("inf"), 1.5]])
    journal.close()
    record = json.loads((tmp_path / "log.jsonl").read_text(), parse_constant=pytest.fail)
    assert (record["loss"], record["boxes"]) == (None, [[None, 1.5]])


def test_a_report_that_fails_does_not_fail_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("no axis")

    monkeypatch.setattr(module, "write_report", fail)
    source = write_photographs(tmp_path / "photographs", 4)
    outcome = pretrain(tiny("schedule.epochs=1", "schedule.warmup_epochs=0"), source, RandomBoxes(), tmp_path / "run")
    assert outcome.steps == 1
    assert (tmp_path / "run" / "export" / "config.json").is_file()
    told = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert told == [f"The report could not be written: no axis\nRun: adept report {tmp_path / 'run'}"]
    monkeypatch.undo()
    write_report([tmp_path / "run"], tmp_path / "run" / "report.html")


def test_a_full_disk_is_the_error_of_the_run_whatever_cannot_be_written_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Journal.record

    def full(self: Journal, kind: str, **values: object) -> None:
        if kind != "start" and values.get("step") != 0:
            raise DiskFullError("No space left while writing the log")
        real(self, kind, **values)

    monkeypatch.setattr(Journal, "record", full)
    source = write_photographs(tmp_path / "photographs", 4)
    with pytest.raises(DiskFullError, match="the log"):
        pretrain(tiny("schedule.epochs=2"), source, RandomBoxes(), tmp_path / "run")
