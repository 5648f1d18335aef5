"""Log metrics to TensorBoard, Weights & Biases, MLflow or trackio as well, each through its own library.

Destination and account are the libraries' own settings and environment variables. Only the first process tracks, from
records that are written anyway, so that a tracked run is bit-identical to an untracked one.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import logging
import os
import shlex
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

import yaml

from adept_hub.arguments.choices import check_choice
from adept_hub.errors import MissingExtraError, TrackerError
from adept_hub.io.read import BoundedReader
from adept_hub.io.write import atomic_file
from adept_training.runtime.recipe_files import flatten

logger = logging.getLogger(__name__)

PROJECT = "adept"
_IDS = "trackers.json"
_PARAMS = 100  # MLflow's limit per call


class Tracker(Protocol):
    """Logs scalars by name and step; closed with the state of the run: ``done``, ``interrupted`` or ``stopped``."""

    def log(self, step: int, values: dict[str, float]) -> None: ...

    def close(self, state: str) -> None: ...


def require_trackers(names: Iterable[str]) -> None:
    """Check that the packages of trackers are installed, before anything expensive is done.

    Raises:
        MissingExtraError: a package is missing.
        OptionValueError: a tracker is unknown.
    """
    for name in names:
        check_choice("track", name, TRACKERS)
        if importlib.util.find_spec(name) is None:
            raise MissingExtraError(f"--track {name}", name, name)


def open_trackers(names: Iterable[str], folder: Path, settings: Mapping[str, Any], step: int) -> list[Tracker]:
    """Start, or at a ``step`` above zero continue, the run of ``folder`` in each tracker.

    Args:
        names: keys of `TRACKERS`.
        folder: folder of the run; its name is the run's name in the tracker.
        settings: configuration of the run, as nested plain values.
        step: number of finished steps.

    Raises:
        MissingExtraError: a package is not installed. TrackerError: the service refuses.
    """
    require_trackers(names)
    return [TRACKERS[name](folder, settings, step) for name in names]


class TensorBoard:
    """Event files in RUN/tensorboard: ``tensorboard --logdir RUN``."""

    def __init__(self, folder: Path, settings: Mapping[str, Any], step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        # Steps after the checkpoint of a killed session are written again.
        purge = step + 1 if step else None
        self._writer: Any = SummaryWriter(str(folder / "tensorboard"), purge_step=purge)
        if step == 0:
            self._writer.add_text("recipe", f"```yaml\n{yaml.safe_dump(dict(settings), sort_keys=False)}```", 0)

    def log(self, step: int, values: dict[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def close(self, state: str) -> None:
        self._writer.close()


class WandB:
    """A W&B run with files in RUN/wandb; configured by W&B's WANDB_MODE=offline, WANDB_PROJECT and others."""

    def __init__(self, folder: Path, settings: Mapping[str, Any], step: int) -> None:
        wandb: Any = importlib.import_module("wandb")
        try:
            self._run: Any = wandb.init(
                project=os.environ.get("WANDB_PROJECT") or PROJECT, name=folder.name, dir=str(folder),
                config=dict(settings), id=_known(folder, "wandb") if step else None, resume="allow",
            )  # fmt: skip
        except wandb.errors.Error as error:
            raise TrackerError(
                f"Weights & Biases refuses: {' '.join(str(error).split())}\n"
                "Log in once (wandb login), or keep the run here: export WANDB_MODE=offline"
            ) from error
        _remember(folder, "wandb", self._run.id)

    def log(self, step: int, values: dict[str, float]) -> None:
        self._run.log(values, step=step)

    def close(self, state: str) -> None:
        self._run.finish(exit_code=0 if state == "done" else 1)


class MLflow:
    """An MLflow run, configured by MLflow's MLFLOW_TRACKING_URI and MLFLOW_EXPERIMENT_NAME."""

    _ENDS = {"done": "FINISHED", "interrupted": "KILLED", "stopped": "FAILED"}  # noqa: RUF012  # never changed

    def __init__(self, folder: Path, settings: Mapping[str, Any], step: int) -> None:
        mlflow: Any = importlib.import_module("mlflow")
        self._entities: Any = importlib.import_module("mlflow.entities")
        self._error: type[Exception] = importlib.import_module("mlflow.exceptions").MlflowException
        self._client: Any = mlflow.MlflowClient()
        self._lost = False
        try:
            self._id: str = (step and _known(folder, "mlflow")) or self._create(folder, settings)
        except self._error as error:
            raise TrackerError(
                f"MLflow refuses: {' '.join(str(error).split())}\nIs MLFLOW_TRACKING_URI right?"
            ) from error
        _remember(folder, "mlflow", self._id)

    def _create(self, folder: Path, settings: Mapping[str, Any]) -> str:
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or PROJECT
        experiment = self._client.get_experiment_by_name(name)
        where = experiment.experiment_id if experiment else self._client.create_experiment(name)
        run_id: str = self._client.create_run(where, run_name=folder.name).info.run_id
        params = [self._entities.Param(key, str(value)) for key, value in flatten(dict(settings)).items()]
        for first in range(0, len(params), _PARAMS):
            self._client.log_batch(run_id, params=params[first : first + _PARAMS])
        return run_id

    def log(self, step: int, values: dict[str, float]) -> None:
        now = int(1000 * time.time())
        metrics = [self._entities.Metric(name, value, now, step) for name, value in values.items()]
        self._send(lambda: self._client.log_batch(self._id, metrics=metrics))

    def close(self, state: str) -> None:
        self._send(lambda: self._client.set_terminated(self._id, status=self._ENDS[state]))

    def _send(self, call: Any) -> None:
        """Send to the server; losing it must not fail days of training."""
        if self._lost:
            return
        try:
            call()
        except self._error as error:
            self._lost = True
            logger.warning("MLflow was lost: %s\nThe run continues without it; log.jsonl has every metric.", error)


class Trackio:
    """A trackio run on this machine: ``trackio show --project adept``."""

    def __init__(self, folder: Path, settings: Mapping[str, Any], step: int) -> None:
        trackio: Any = importlib.import_module("trackio")
        self._run: Any = trackio.init(
            project=PROJECT, name=folder.name, config=dict(settings), resume="allow" if step else "never"
        )

    def log(self, step: int, values: dict[str, float]) -> None:
        self._run.log(values, step=step)

    def close(self, state: str) -> None:
        self._run.finish()


#: By the name for ``--track``, which is also that of the package and the extra.
TRACKERS: dict[str, type[TensorBoard] | type[WandB] | type[MLflow] | type[Trackio]] = {
    "tensorboard": TensorBoard, "wandb": WandB, "mlflow": MLflow, "trackio": Trackio,
}  # fmt: skip


def _known(folder: Path, name: str) -> str | None:
    return _all_known(folder / _IDS).get(name)


def _remember(folder: Path, name: str, run_id: str) -> None:
    path = folder / _IDS
    ids = _all_known(path)
    with atomic_file(path) as temporary:
        temporary.write_text(json.dumps({**ids, name: run_id}), encoding="utf-8")


def _all_known(path: Path) -> dict[str, str]:
    if not os.path.lexists(path):
        return {}
    reader = BoundedReader(
        TrackerError, remedy=f"Remove it to start a new run in the tracker: rm {shlex.quote(str(path))}"
    )
    content = reader.json(path)
    if not isinstance(content, dict) or not all(isinstance(run_id, str) for run_id in content.values()):
        raise reader.refuse(path, "does not contain run ids")
    return content
