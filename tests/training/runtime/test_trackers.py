"""Figures given to each tracker, read back from what its own library wrote; those not installed are skipped."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest

from adept_hub.errors import MissingExtraError, TrackerError
from adept_hub.io.schema import to_dict
from adept_training.runtime import trackers
from adept_training.runtime.journal import Journal
from adept_training.runtime.trackers import open_trackers, require_trackers
from tests.training.support import tiny

Curves = dict[str, dict[int, float]]


def _write(name: str, folder: Path) -> None:
    """Three steps, then a continuation from step 2, as after a kill; through the journal."""
    for first, steps, ending in ((0, (1, 2, 3), True), (2, (3, 4), False)):
        journal = Journal(folder / "log.jsonl", None, open_trackers([name], folder, to_dict(tiny()), first))
        for step in steps:
            journal.record("train", step=step, loss=1 / step, lr=0.5)
            journal.record("probe", step=step, target_objectness_auc=0.75)
        journal.record("proposals", step=steps[-1], boxes=[[1, 2]])
        journal.record("end", step=steps[-1], interrupted=ending)
        journal.close()


_WANTED: Curves = {
    "train/loss": {step: 1 / step for step in (1, 2, 3, 4)},
    "train/lr": dict.fromkeys((1, 2, 3, 4), 0.5),
    "probe/target_objectness_auc": dict.fromkeys((1, 2, 3, 4), 0.75),
}


def _check(found: Curves) -> None:
    assert found.keys() == _WANTED.keys()
    for name, curve in _WANTED.items():
        assert found[name] == pytest.approx(curve), name


def test_tensorboard_reads_what_was_logged(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    _write("tensorboard", tmp_path)
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    scalars = {name: events.Scalars(name) for name in events.Tags()["scalars"]}
    assert [e.step for e in scalars["train/loss"]] == [1, 2, 3, 4], "what is written again replaces what was there"
    _check({name: {e.step: e.value for e in found} for name, found in scalars.items()})
    text = events.Tensors("recipe/text_summary")[0].tensor_proto.string_val[0].decode()
    assert "batch_size: 4" in text


def test_mlflow_reads_what_was_logged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow: Any = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    _write("mlflow", tmp_path)
    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name("adept")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    assert (run.data.params["engine.batch_size"], run.data.params["method.rpn.views"]) == ("4", "v1")
    _check(
        {name: {m.step: m.value for m in client.get_metric_history(run.info.run_id, name)} for name in run.data.metrics}
    )


def test_mlflow_that_goes_away_does_not_end_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("mlflow")
    from mlflow.exceptions import MlflowException

    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    (tracker,) = open_trackers(["mlflow"], tmp_path, to_dict(tiny()), 0)

    def refuse(*_: Any, **__: Any) -> None:
        raise MlflowException("gone")

    monkeypatch.setattr(tracker._client, "log_batch", refuse)  # type: ignore[attr-defined]  # MLflow's own
    for step in (1, 2):
        tracker.log(step, {"train/loss": 1.0})
    tracker.close("done")
    assert [record.message for record in caplog.records].count("MLflow was lost: gone\nThe run continues without it; "
                                                              "log.jsonl has every metric.") == 1  # fmt: skip
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(TrackerError, match="Is MLFLOW_TRACKING_URI right"):
        open_trackers(["mlflow"], tmp_path / "other", to_dict(tiny()), 0)


def test_wandb_offline_reads_what_was_logged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wandb: Any = pytest.importorskip("wandb")
    from wandb.proto.wandb_internal_pb2 import Record

    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    _write("wandb", tmp_path)
    wandb.teardown()  # its writer is a process of its own
    found: Curves = {}
    files = sorted(tmp_path.glob("wandb/offline-run-*/run-*.wandb"))
    assert len(files) == 2
    assert len({path.name for path in files}) == 1, "the continuation is the same run"
    for path in files:
        for content in _leveldb_records(path.read_bytes()):
            record = Record()
            record.ParseFromString(content)
            for item in record.history.item:
                name = item.key or "/".join(item.nested_key)
                if not name.startswith("_"):
                    found.setdefault(name, {})[record.history.step.num] = json.loads(item.value_json)
    _check(found)


def _leveldb_records(content: bytes) -> list[bytes]:
    """LevelDB's log format after W&B's header of 7 bytes: blocks of 32 KiB; checksum, length, kind, data."""
    records, parts, at = [], b"", 7
    while at + 7 <= len(content):
        left = 32768 - at % 32768
        if left < 7:
            at += left
            continue
        _, length, kind = struct.unpack("<IHB", content[at : at + 7])
        parts += content[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, last
            records.append(parts)
            parts = b""
    return records


def test_trackio_reads_what_was_logged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    pytest.importorskip("trackio")
    from trackio.sqlite_storage import SQLiteStorage

    _write("trackio", tmp_path)
    found: Curves = {}
    for row in SQLiteStorage.get_logs("adept", tmp_path.name):
        for name in row.keys() - {"step", "timestamp"}:
            found.setdefault(name, {})[row["step"]] = row[name]
    _check(found)


def test_a_tracker_that_is_not_installed_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trackers.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"--track mlflow needs .*\npip install '\.\[mlflow\]'"):
        require_trackers(["mlflow"])


def test_every_tracker_has_an_extra_and_an_option() -> None:
    import tomllib

    from adept_training.cli.pretrain import TRACKER_NAMES

    root = Path(__file__).resolve().parents[3]
    extras = tomllib.loads((root / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(TRACKER_NAMES) == set(trackers.TRACKERS)
    for name in TRACKER_NAMES:
        assert [requirement.partition(">=")[0] for requirement in extras[name]] == [name]
