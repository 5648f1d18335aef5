"""A worker's error reaches the user as the worker wrote it."""

import ast
import os
import signal
import tempfile
import time
from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

import adept_training
from adept_hub.errors import DataError, RecipeError
from adept_training.runtime.workers import check_workers, plain_errors, worker_options

MESSAGE = "first line: with a colon\nsecond line"


class Broken(Dataset):
    def __init__(self, error: Exception) -> None:
        self.error = error

    def __len__(self) -> int:
        return 2

    def __getitem__(self, at: int) -> int:
        raise self.error


@pytest.mark.parametrize("workers", [0, 1])
def test_the_traceback_of_a_worker_is_left_out(workers: int) -> None:
    with pytest.raises(DataError) as caught, plain_errors():
        next(iter(DataLoader(Broken(DataError(MESSAGE)), num_workers=workers)))
    assert str(caught.value) == MESSAGE


def test_other_errors_pass() -> None:
    with pytest.raises(ZeroDivisionError), plain_errors():
        next(iter(DataLoader(Broken(ZeroDivisionError("x")), num_workers=1)))


@pytest.mark.skipif(os.name != "posix", reason="no sockets in folders")
def test_a_temporary_folder_that_is_too_deep_for_sockets_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With it torch prints an error in the worker, drops the batch and waits for ever."""
    with tempfile.TemporaryDirectory(dir="/tmp") as short:
        for length, fits in ((71, True), (72, False)):
            folder = Path(short) / ("x" * (length - len(short) - 1))
            folder.mkdir()
            monkeypatch.setattr(tempfile, "tempdir", str(folder))
            if fits:
                assert check_workers(1) == 1
                batch = next(iter(DataLoader([torch.ones(3)] * 4, num_workers=1, batch_size=4)))
                assert batch.shape == (4, 3)
                continue
            with pytest.raises(RecipeError, match=r"at most 71 bytes; .* is longer\.\n.*TMPDIR=/tmp.*workers=0"):
                check_workers(1)
            assert check_workers(0) == 0


@pytest.mark.skipif(os.name != "posix", reason="no such signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1])
def test_a_signal_to_the_group_leaves_the_workers_their_batches(number: int) -> None:
    """The main process ends the run after its iteration, for which it needs the next batch."""
    loader = DataLoader([torch.ones(3)] * 60, batch_size=1, **worker_options(1))
    batches = iter(loader)
    next(batches)
    (worker,) = batches._workers
    os.kill(worker.pid, number)
    time.sleep(0.2)
    assert sum(len(batch) for batch in batches) == 59
    assert worker.exitcode in (None, 0)


@pytest.mark.skipif(os.name != "posix", reason="no such signals")
def test_a_worker_that_waited_in_vain_does_not_fail_the_main_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """An iteration, or writing its state, may take longer than a worker has left after SIGTERM."""
    monkeypatch.setattr("adept_training.runtime.workers._LAST_SECONDS", 1)
    batches = iter(DataLoader([torch.ones(3)] * 60, batch_size=1, **worker_options(1)))
    next(batches)
    (worker,) = batches._workers
    os.kill(worker.pid, signal.SIGTERM)
    worker.join(20)
    assert worker.exitcode == 0
    time.sleep(0.1)  # torch's handler of SIGCHLD raises here if the worker failed


def test_every_loader_has_such_workers() -> None:
    calls = [
        (path, call)
        for path in Path(adept_training.__file__).parent.rglob("*.py")
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "DataLoader"
    ]
    assert len(calls) > 3
    for path, call in calls:
        options = [ast.unparse(keyword.value) for keyword in call.keywords if keyword.arg is None]
        assert options == ["worker_options(workers)"], f"{path}:{call.lineno}"
