"""What W&B, MLflow and trackio are asked for, by stand-ins for their libraries that write down every call."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from adept_hub.errors import TrackerError
from adept_hub.io.schema import to_dict
from adept_training.runtime import trackers
from adept_training.runtime.recipe_files import flatten
from adept_training.runtime.trackers import open_trackers
from tests.training.support import tiny

RECIPE = tiny("engine.seed=5")


class ServiceError(Exception):
    pass


class Stub:
    """Writes down every method called on it and returns what was prepared for it."""

    def __init__(self, **answers: Any) -> None:
        self.calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []
        self.answers = answers

    def __getattr__(self, name: str) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            self.calls.append((name, args, kwargs))
            answer = self.answers.get(name)
            if isinstance(answer, Exception):
                raise answer
            return answer

        return call


@pytest.fixture(autouse=True)
def _installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trackers.importlib.util, "find_spec", lambda name: object())
    for name in ("WANDB_PROJECT", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(name, raising=False)


def test_wandb_continues_the_run_whose_id_the_folder_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, asked = Stub(), []
    run.id = "id 7"

    def init(**options: Any) -> Any:
        asked.append(options)
        return run

    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(init=init, errors=SimpleNamespace(Error=ServiceError)))
    for step, state in ((0, "interrupted"), (4, "done"), (0, "stopped")):
        (tracker,) = open_trackers(["wandb"], tmp_path, to_dict(RECIPE), step)
        tracker.log(step + 1, {"train/loss": 0.5})
        tracker.close(state)
        monkeypatch.setenv("WANDB_PROJECT", "mine")
    same = {"name": tmp_path.name, "dir": str(tmp_path), "config": to_dict(RECIPE), "resume": "allow"}
    assert asked == [
        {"project": "adept", "id": None, **same}, {"project": "mine", "id": "id 7", **same},
        {"project": "mine", "id": None, **same},
    ]  # fmt: skip
    assert run.calls == [
        ("log", ({"train/loss": 0.5},), {"step": 1}), ("finish", (), {"exit_code": 1}),
        ("log", ({"train/loss": 0.5},), {"step": 5}), ("finish", (), {"exit_code": 0}),
        ("log", ({"train/loss": 0.5},), {"step": 1}), ("finish", (), {"exit_code": 1}),
    ]  # fmt: skip


def test_wandb_that_refuses_says_how_to_log_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = Stub(init=ServiceError("no\n key"))
    module.errors = SimpleNamespace(Error=ServiceError)
    monkeypatch.setitem(sys.modules, "wandb", module)
    with pytest.raises(TrackerError, match=r"refuses: no key\n.*wandb login"):
        open_trackers(["wandb"], tmp_path, to_dict(RECIPE), 0)


def _mlflow(monkeypatch: pytest.MonkeyPatch, **answers: Any) -> Stub:
    client = Stub(**{"create_experiment": "e 9", "create_run": SimpleNamespace(info=SimpleNamespace(run_id="r 1")),
                     **answers})  # fmt: skip
    entities = SimpleNamespace(Param=lambda *values: values, Metric=lambda *values: values)
    monkeypatch.setitem(sys.modules, "mlflow", SimpleNamespace(MlflowClient=lambda: client))
    monkeypatch.setitem(sys.modules, "mlflow.entities", entities)
    monkeypatch.setitem(sys.modules, "mlflow.exceptions", SimpleNamespace(MlflowException=ServiceError))
    return client


def test_mlflow_gets_every_setting_once_and_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client = _mlflow(monkeypatch)
    monkeypatch.setattr(trackers, "_PARAMS", 7)
    monkeypatch.setattr(trackers.time, "time", lambda: 12.5)
    (tracker,) = open_trackers(["mlflow"], tmp_path, to_dict(RECIPE), 0)
    names = [name for name, _, _ in client.calls]
    assert names[:3] == ["get_experiment_by_name", "create_experiment", "create_run"]
    assert client.calls[1:3] == [
        ("create_experiment", ("adept",), {}), ("create_run", ("e 9",), {"run_name": tmp_path.name})
    ]  # fmt: skip
    batches = [kwargs["params"] for name, _, kwargs in client.calls if name == "log_batch"]
    assert all(len(batch) == 7 for batch in batches[:-1])
    params = [param for batch in batches for param in batch]
    assert params == [(key, str(value)) for key, value in flatten(to_dict(RECIPE)).items()]
    assert json.loads((tmp_path / "trackers.json").read_text()) == {"mlflow": "r 1"}

    client.calls.clear()
    tracker.log(3, {"train/loss": 0.5, "train/lr": 0.1})
    tracker.close("interrupted")
    metrics = [("train/loss", 0.5, 12500, 3), ("train/lr", 0.1, 12500, 3)]
    assert client.calls == [
        ("log_batch", ("r 1",), {"metrics": metrics}), ("set_terminated", ("r 1",), {"status": "KILLED"})
    ]  # fmt: skip

    # Continued, it is the same run; begun again in the same folder, another one in the experiment that there is.
    client.calls.clear()
    open_trackers(["mlflow"], tmp_path, to_dict(RECIPE), 3)
    assert client.calls == []
    client.answers["get_experiment_by_name"] = SimpleNamespace(experiment_id="e 4")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "mine")
    open_trackers(["mlflow"], tmp_path, to_dict(RECIPE), 0)
    assert client.calls[:2] == [
        ("get_experiment_by_name", ("mine",), {}), ("create_run", ("e 4",), {"run_name": tmp_path.name})
    ]  # fmt: skip


def test_mlflow_that_goes_away_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    client = _mlflow(monkeypatch)
    (tracker,) = open_trackers(["mlflow"], tmp_path, to_dict(RECIPE), 0)
    client.calls.clear()
    client.answers["log_batch"] = ServiceError("gone")
    with caplog.at_level(logging.WARNING):
        tracker.log(1, {"train/loss": 0.5})
        tracker.log(2, {"train/loss": 0.5})
        tracker.close("done")
    assert [name for name, _, _ in client.calls] == ["log_batch"]
    assert len(caplog.records) == 1
    client.answers["create_run"] = ServiceError("no such\nserver")
    with pytest.raises(TrackerError, match=r"MLflow refuses: no such server\n.*MLFLOW_TRACKING_URI"):
        open_trackers(["mlflow"], tmp_path / "other", to_dict(RECIPE), 0)


def test_trackio_continues_a_run_of_that_name_only_when_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Stub()
    module = Stub(init=run)
    monkeypatch.setitem(sys.modules, "trackio", module)
    for step in (0, 6):
        (tracker,) = open_trackers(["trackio"], tmp_path, to_dict(RECIPE), step)
        tracker.log(step + 1, {"train/loss": 0.5})
        tracker.close("done")
    same = {"project": "adept", "name": tmp_path.name, "config": to_dict(RECIPE)}
    assert [kwargs for _, _, kwargs in module.calls] == [{**same, "resume": "never"}, {**same, "resume": "allow"}]
    assert [(name, kwargs) for name, _, kwargs in run.calls] == [
        ("log", {"step": 1}), ("finish", {}), ("log", {"step": 7}), ("finish", {}),
    ]  # fmt: skip


def test_ids_of_several_trackers_are_kept_side_by_side_and_a_damaged_file_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "trackers.json").write_text('{"wandb": "w"}')
    _mlflow(monkeypatch)
    open_trackers(["mlflow"], tmp_path, to_dict(RECIPE), 0)
    assert json.loads((tmp_path / "trackers.json").read_text()) == {"wandb": "w", "mlflow": "r 1"}
    for text in ('{"mlflow": 3}', "[]"):
        (tmp_path / "trackers.json").write_text(text)
        with pytest.raises(TrackerError, match=r"does not contain run ids(.|\n)*rm "):
            open_trackers(["mlflow"], tmp_path, to_dict(RECIPE), 2)
